"""Replace many files together, at the price of a few commits of the disk instead of one a file.

Each file is whole under its name, old or new, whenever the power goes; only which of them are already new is
not said before the end.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from types import TracebackType

from deft import files


class FileBatch:
    """Files that are written aside, and made durable and given their names when the block ends.

    A block that fails leaves no file of its own behind. `write` may be called by several threads.
    """

    def __init__(self) -> None:
        self._written: list[tuple[Path, Path]] = []

    def __enter__(self) -> FileBatch:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._publish()
        finally:
            for temporary, _ in self._written:
                with contextlib.suppress(OSError):
                    temporary.unlink(missing_ok=True)

    def write(self, path: Path, content: bytes) -> None:
        """Write what `path` is to hold."""
        files.make_folder(path.parent)
        temporary = files.temporary_of(path)
        self._written.append((temporary, path))
        try:
            files.write_new(temporary, [content], durable=False)
        except OSError as error:
            files.name_file(error, path)
            raise

    def _publish(self) -> None:
        for temporary, _ in self._written:
            files.sync_file(temporary)
        for temporary, path in self._written:
            os.replace(temporary, path)
        for folder in dict.fromkeys(path.parent for _, path in self._written):
            files.sync_folder(folder)
