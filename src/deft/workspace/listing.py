"""Which files exist, asked once a folder: a million rows cost a hundred system calls, not a million."""

from __future__ import annotations

import os

from deft.workspace.safe_path import Roots, is_below


class Listing:
    """Folder listings, each read when a path in it is first asked for; what changes later is not seen."""

    def __init__(self, roots: Roots) -> None:
        self._roots = roots
        self._folders: dict[str, frozenset[str]] = {}
        self._real: dict[str, str] = {}

    def has_file(self, path: str) -> bool:
        """Say whether `path` is a file that lies in the roots, directly or through a link."""
        folder, name = os.path.split(path)
        names = self._folders.get(folder)
        if names is None:
            names = self._folders[folder] = self._file_names(folder)
        return name in names

    def _file_names(self, folder: str) -> frozenset[str]:
        if not os.path.isdir(folder) or not self._holds(folder):
            return frozenset()
        try:
            with os.scandir(folder) as entries:
                return frozenset(entry.name for entry in entries if entry.is_file() and self._stays(entry))
        except (OSError, ValueError):
            return frozenset()

    def _holds(self, folder: str) -> bool:
        real = self._real_folder(folder)
        return any(is_below(real, root) for root in self._roots.folders)

    def _real_folder(self, folder: str) -> str:
        """Return a folder with every link followed; what its parent leads to is asked once."""
        if folder not in self._real:
            parent, name = os.path.split(folder)
            is_plain = os.path.isabs(folder) and name not in ("", ".", "..") and not os.path.islink(folder)
            real = os.path.join(self._real_folder(parent), name) if is_plain else os.path.realpath(folder)
            self._real[folder] = real
        return self._real[folder]

    def _stays(self, entry: os.DirEntry[str]) -> bool:
        return not entry.is_symlink() or self._roots.hold(entry.path)
