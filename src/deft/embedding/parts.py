"""Write a long embedding run in parts, so that a killed run resumes at the first part that is missing."""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from deft.embedding.samples import Embedded
from deft.files import read_json, write_bytes, write_json

MANIFEST = "manifest.json"
CONTENTS = b"contents"


class Parts:
    """The parts of one output, in `<output>.parts/`; they belong to one key and are dropped under another.

    `key` is a hash over what the vectors depend on: input rows, encoder, batch size. What stood in the files
    that the rows name is in each part.
    """

    def __init__(self, output: Path, *, key: str, rows: int, rows_per_part: int) -> None:
        self.folder = output.with_name(f"{output.name}.parts")
        self._rows, self._rows_per_part = rows, rows_per_part
        record = {"key": key, "rows": rows, "rows_per_part": rows_per_part}
        manifest = self.folder / MANIFEST
        if self.folder.exists() and (not manifest.is_file() or read_json(manifest) != record):
            shutil.rmtree(self.folder)
        if not manifest.is_file():
            write_json(manifest, record)

    def __len__(self) -> int:
        return -(-self._rows // self._rows_per_part)

    def rows(self, part: int) -> range:
        """Return the rows of the whole that a part holds."""
        start = part * self._rows_per_part
        return range(start, min(start + self._rows_per_part, self._rows))

    def exists(self, part: int) -> bool:
        """Tell whether a part was written whole."""
        return self._path(part).is_file()

    def contents(self, part: int) -> str:
        """Return the hash of what stood in the files that a part was made from."""
        metadata = pq.read_schema(self._path(part)).metadata or {}
        return str(metadata.get(CONTENTS, b"").decode())

    def write(self, part: int, embedded: Embedded) -> None:
        """Write one part atomically; its rows count from 0."""
        buffer = io.BytesIO()
        table = part_table(embedded).replace_schema_metadata({CONTENTS: embedded.contents})
        pq.write_table(table, buffer)
        write_bytes(self._path(part), buffer.getvalue())

    def read(self, part: int) -> Embedded:
        """Return one part as it was written."""
        return part_of(pq.ParquetFile(self._path(part)).read())

    def __iter__(self) -> Iterator[tuple[int, Embedded]]:
        """Yield the parts that were written, each with the number of its first row in the whole."""
        for part in range(len(self)):
            if self.exists(part):
                yield self.rows(part).start, self.read(part)

    def remove(self) -> None:
        """Delete the parts; the merged output has replaced them."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _path(self, part: int) -> Path:
        return self.folder / f"{part:05d}.parquet"


def part_table(embedded: Embedded, start: int = 0) -> Any:
    """Return a part as an Arrow table: row, reason (null where a vector exists), a binary column a block.

    The rows of `embedded` count from `start` in the table.
    """
    rows = [start + row for row in (*embedded.accepted, *embedded.rejected)]
    columns: dict[str, Any] = {
        "row": pa.array(rows, pa.int64()),
        "reason": pa.array([None] * len(embedded.accepted) + list(embedded.rejected.values()), pa.string()),
    }
    for number, block in enumerate(embedded.blocks):
        vectors = [row.tobytes() for row in block.astype("<f4")] + [None] * len(embedded.rejected)
        columns[f"block_{number}"] = pa.array(vectors, pa.binary())
    return pa.table(columns)


def part_of(table: Any) -> Embedded:
    """Return the part that `part_table` made a table of."""
    rows, reasons = table["row"].to_pylist(), table["reason"].to_pylist()
    accepted = [row for row, reason in zip(rows, reasons, strict=True) if reason is None]
    rejected = {row: reason for row, reason in zip(rows, reasons, strict=True) if reason is not None}
    blocks = []
    for name in table.column_names[2:]:
        content = b"".join(table[name].to_pylist()[: len(accepted)])
        blocks.append(np.frombuffer(content, dtype="<f4").reshape(len(accepted), -1 if accepted else 0))
    return Embedded(blocks, accepted, rejected)
