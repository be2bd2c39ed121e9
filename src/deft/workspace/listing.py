"""Which files exist, asked once a folder: a million rows cost a hundred system calls, not a million."""

from __future__ import annotations

import os


class Listing:
    """Folder listings, each read when a path in it is first asked for; what changes later is not seen."""

    def __init__(self) -> None:
        self._folders: dict[str, frozenset[str]] = {}

    def has_file(self, path: str) -> bool:
        """Say whether `path` is a file, directly or through a link."""
        folder, name = os.path.split(path)
        names = self._folders.get(folder)
        if names is None:
            names = self._folders[folder] = _file_names(folder)
        return name in names


def _file_names(folder: str) -> frozenset[str]:
    try:
        with os.scandir(folder) as entries:
            return frozenset(entry.name for entry in entries if entry.is_file())
    except OSError:
        return frozenset()
