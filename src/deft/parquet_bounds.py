"""How large a Parquet table becomes when it is read, found out before it is.

Repeated values cost a table nothing on disk: a file of a kilobyte may stand for a terabyte. The bound grows
with the file, so a large honest table is read and a small file stays small.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from deft.errors import InputRefused

FLOOR_BYTES = 128 * 1024 * 1024
GROWTH = 64


def require_bounded(path: Path) -> None:
    """Refuse a Parquet file whose cells would take far more memory than the file takes on disk.

    Raises InputRefused, naming the file, for that and for what is no readable Parquet table.
    """
    allowed = FLOOR_BYTES + GROWTH * path.stat().st_size
    try:
        with pq.ParquetFile(path) as file:
            needed, texts = _announced(file.metadata), _text_columns(file.schema_arrow)
        if needed <= allowed and texts:
            with pq.ParquetFile(path, read_dictionary=texts) as file:
                needed = _length_of_texts(file, texts, allowed)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise InputRefused(f"file is not a readable Parquet table ({str(error)[:200]})", value=path) from None
    if needed > allowed:
        raise InputRefused(
            f"table would take more than {allowed >> 20} MiB of memory, {GROWTH} times its file", value=path
        )


def _announced(metadata: Any) -> int:
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    chunks = (group.column(number) for group in groups for number in range(group.num_columns))
    return sum(chunk.total_uncompressed_size + 8 * chunk.num_values for chunk in chunks)


def _text_columns(schema: Any) -> list[str]:
    is_text = (pa.types.is_string, pa.types.is_binary, pa.types.is_large_string, pa.types.is_large_binary)
    return [field.name for field in schema if any(check(field.type) for check in is_text)]


def _length_of_texts(file: Any, columns: list[str], allowed: int) -> int:
    """Add up how long all texts are, each distinct one held once; stop where it is too much."""
    total = 0
    for batch in file.iter_batches(columns=columns):
        for column in batch.columns:
            lengths = pc.binary_length(column.dictionary)
            total += pc.sum(pc.take(lengths.cast(pa.int64()), column.indices)).as_py() or 0
        if total > allowed:
            break
    return total
