"""A table as blocks of a CSV file: pandas' form, by Arrow where no cell needs a quote."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pandas as pd
import pyarrow as pa
import pyarrow.csv

BLOCK_ROWS = 65_536


def csv_blocks(table: pd.DataFrame) -> Iterator[bytes]:
    """Yield a table as blocks of UTF-8 CSV without an index; empty cells stay empty.

    Text alone is written by Arrow, which is many times faster and refuses what would need a quote; the rest,
    and a block that it refuses, is written by pandas. The bytes are the same.
    """
    yield bytes(table.head(0).to_csv(index=False, lineterminator="\n").encode("utf-8"))
    is_text = len(table.columns) > 1 and all(isinstance(kind, pd.StringDtype) for kind in table.dtypes)
    for start in range(0, len(table), BLOCK_ROWS):
        block = table.iloc[start : start + BLOCK_ROWS]
        yield (_plain_bytes(block) if is_text else None) or _quoted_bytes(block)


def _plain_bytes(block: pd.DataFrame) -> bytes | None:
    content = io.BytesIO()
    options = pa.csv.WriteOptions(include_header=False, quoting_style="none")
    try:
        pa.csv.write_csv(pa.Table.from_pandas(block, preserve_index=False), content, options)
    except pa.ArrowException:
        return None
    return content.getvalue()


def _quoted_bytes(block: pd.DataFrame) -> bytes:
    return bytes(block.to_csv(index=False, header=False, lineterminator="\n").encode("utf-8"))
