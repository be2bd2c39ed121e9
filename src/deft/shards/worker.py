"""Do one shard, on whatever machine, as often as anybody likes: the first whole result stands.

A worker writes `<id>.attempt-<a>.tmp`, makes it durable, and links it to `<id>.parquet`, which only one of
several can; then it leaves the receipt. A result without a valid receipt is put aside by whoever does the
shard next.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import asdict, replace
from itertools import count
from pathlib import Path

from deft import files
from deft.errors import StateConflict
from deft.shards.ledger import NO_RECEIPT, NOT_DONE, Receipt, Shard, ShardFolder
from deft.shards.work import work_of
from deft.streams import creating, publish_first

DONE, DONE_BEFORE, OTHER_WAS_FIRST = "done", "done before", "another attempt was first"


def run_shard(
    folder: ShardFolder,
    number: int,
    attempt: int | None = None,
    progress: Callable[[int], None] = lambda rows: None,
) -> str:
    """Do one shard unless its result is there and verified; return what became of this attempt.

    `attempt` takes the first number that is free where it is None. Raises StateConflict for one that has
    begun already, InputRefused when the rows are no longer the planned ones.
    """
    shard, work = folder.shard(number), work_of(folder)
    if folder.fault(shard) is None:
        return DONE_BEFORE
    for tried in count(1) if attempt is None else (attempt,):
        written = folder.attempt(shard, tried)
        try:
            with creating(written) as stream:
                seen = work.seen(shard)  # first: what is replaced during the work is replaced since
                rows = work.compute(shard, stream, progress)
        except FileExistsError:
            continue
        draft = Receipt(shard.id, tried, "", rows, shard.sha256, folder.encoder, seen)
        return _publish(folder, shard, written, draft)
    raise StateConflict(
        "this attempt has begun already", value=f"shard {number}, attempt {attempt}", hint="another --attempt"
    )


def _publish(folder: ShardFolder, shard: Shard, written: Path, draft: Receipt) -> str:
    """Give a whole result its name and its receipt, unless a verified one stands already."""
    try:
        receipt = replace(draft, sha256=files.sha256_of_file(written))
        fault = folder.fault(shard)
        if fault is None:
            return OTHER_WAS_FIRST
        _make_room(folder, shard, fault, receipt)
        publish_first(written, folder.result(shard))
        first = _leave_receipt(folder.receipt(shard), receipt)
        return DONE if first else OTHER_WAS_FIRST
    except FileNotFoundError:
        return OTHER_WAS_FIRST  # a reducer has verified the other attempt and cleared up this one
    finally:
        written.unlink(missing_ok=True)


def _make_room(folder: ShardFolder, shard: Shard, fault: str, receipt: Receipt) -> None:
    """Put what does not count out of the way; a result without a receipt counts if it is this very one."""
    result = folder.result(shard)
    if fault not in (NOT_DONE, NO_RECEIPT):
        folder.receipt(shard).unlink(missing_ok=True)
    if result.exists() and files.sha256_of_file(result) != receipt.sha256:
        _put_aside(result, receipt.attempt)


def _put_aside(result: Path, attempt: int) -> None:
    with contextlib.suppress(FileNotFoundError):
        result.rename(result.with_name(f"{result.stem}.put-aside-{attempt}"))


def _leave_receipt(path: Path, receipt: Receipt) -> bool:
    """Write a receipt in one step unless there is one; say whether it was the first."""
    draft = path.with_name(f"{receipt.shard}.attempt-{receipt.attempt}.ok.tmp")
    files.write_json(draft, asdict(receipt))
    try:
        return publish_first(draft, path)
    finally:
        draft.unlink(missing_ok=True)
