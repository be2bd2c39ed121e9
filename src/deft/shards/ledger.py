"""The folder of a sharded piece of work: what each shard takes, and which shards are done for certain.

    plan.json  approval.json      what the user approved: kind of work, inputs by hash, settings
    shards.json                   what was settled once for all shards: encoder, calibration, rows
    shards.parquet                id, source, start, stop, sha256 of those rows
    shards/<id>.attempt-<a>.tmp   a worker is at it, or was killed
    shards/<id>.parquet  <id>.ok  a result, and the receipt that proves it

A result counts only if its receipt names exactly it. Nothing here is ever locked.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from deft import files
from deft.errors import Corruption, DeftError, InputRefused, UsageError

PLAN, FACTS, SHARDS = "plan.json", "shards.json", "shards.parquet"
TEMPORARY = re.compile(r"(?P<id>\d+)\.attempt-\d+(\.ok)?\.tmp")
NOT_DONE, NO_RECEIPT = "not done", "a result without a receipt"
COLUMNS = ("id", "source", "start", "stop", "sha256")


@dataclass(frozen=True)
class Shard:
    """Consecutive rows of one table, by number, and the hash of what stands in them."""

    id: str
    source: str
    start: int
    stop: int
    sha256: str


@dataclass(frozen=True)
class Receipt:
    """What a worker vouches for: which bytes, of how many rows, made from what by which encoder.

    `seen` is how the files looked that the rows name, where the work reads them.
    """

    shard: str
    attempt: int
    sha256: str
    rows: int
    inputs: str
    encoder: str
    seen: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> Receipt | None:
        """Read a receipt; None where there is none or it is none."""
        try:
            return cls(**json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None


@dataclass(frozen=True)
class ShardFolder:
    """One planned piece of sharded work on disk."""

    root: Path

    @classmethod
    def at(cls, path: Path) -> ShardFolder:
        """Return the folder that `deft shard plan` made; another one is refused."""
        root = path.expanduser().resolve()
        for name in (PLAN, FACTS, SHARDS):
            if not (root / name).is_file():
                raise InputRefused(f"folder holds no {name}", value=root, hint="deft shard plan --help")
        return cls(root)

    @cached_property
    def plan(self) -> dict[str, Any]:
        """Return the approved plan."""
        plan: dict[str, Any] = files.read_json(self.root / PLAN)
        return plan

    @cached_property
    def facts(self) -> dict[str, Any]:
        """Return what was settled once for all shards."""
        facts: dict[str, Any] = files.read_json(self.root / FACTS)
        return facts

    def setting(self, name: str) -> Any:
        """Return an approved setting."""
        return self.plan["settings"][name]["value"]

    @property
    def encoder(self) -> str:
        """Return the hash of the encoder's fingerprint that every receipt must name."""
        return files.sha256_of_record(self.facts["encoder"])

    @cached_property
    def shards(self) -> list[Shard]:
        """Return every shard in order; a table that is not the planned one is corruption."""
        path = self.root / SHARDS
        if files.sha256_of_file(path) != self.facts["shards_sha256"]:
            raise Corruption(
                "table of shards is not the planned one", value=path, hint="deft shard plan again"
            )
        table = files.read_parquet(path, required=COLUMNS)
        return [Shard(*row) for row in table[list(COLUMNS)].itertuples(index=False, name=None)]

    def shard(self, number: int) -> Shard:
        """Return one shard by its number."""
        if not 0 <= number < len(self.shards):
            raise UsageError("no such shard", value=number, hint=f"0 to {len(self.shards) - 1}")
        return self.shards[number]

    def result(self, shard: Shard) -> Path:
        return self.root / "shards" / f"{shard.id}.parquet"

    def receipt(self, shard: Shard) -> Path:
        return self.root / "shards" / f"{shard.id}.ok"

    def attempt(self, shard: Shard, attempt: int) -> Path:
        return self.root / "shards" / f"{shard.id}.attempt-{attempt}.tmp"

    # --- what is done ------------------------------------------------------------------------

    def fault(self, shard: Shard) -> str | None:
        """Say why a shard's result does not count; None where it is verified."""
        result = self.result(shard)
        if not self.receipt(shard).exists():
            return NO_RECEIPT if result.exists() else NOT_DONE
        receipt = Receipt.read(self.receipt(shard))
        if receipt is None:
            return "the receipt is damaged"
        if not result.is_file():
            return "a receipt without a result"
        if receipt.shard != shard.id or receipt.inputs != shard.sha256:
            return "the receipt is for other rows"
        if receipt.encoder != self.encoder:
            return "the receipt is for another encoder"
        if files.sha256_of_file(result) != receipt.sha256:
            return "the result is not the one of the receipt"
        if _rows(result) != receipt.rows:
            return "the receipt names another number of rows"
        return "images of its rows changed since" if self._changed(shard, receipt) else None

    def _changed(self, shard: Shard, receipt: Receipt) -> bool:
        from deft.shards.work import work_of  # which needs this module

        return work_of(self).changed(shard, receipt.seen)

    def unfinished(self) -> list[Shard]:
        """Return the shards without a receipt, which is quick to see; `faults` verifies them all."""
        return [shard for shard in self.shards if not self.receipt(shard).exists()]

    def faults(self) -> dict[Shard, str]:
        """Verify every result; return what is wrong by shard."""
        found = ((shard, self.fault(shard)) for shard in self.shards)
        return {shard: reason for shard, reason in found if reason is not None}

    def again(self, shards: Sequence[Shard]) -> str:
        """Return the command that does some shards again."""
        ids = " ".join(f"--id {int(shard.id)}" for shard in shards[:20])
        return f"deft shard run {shlex.quote(str(self.root))} {ids if len(shards) <= 20 else ''}".strip()

    def temporaries(self) -> Iterator[tuple[str, Path]]:
        """Yield what workers are at or left behind: id of the shard and file."""
        for path in sorted((self.root / "shards").glob("*.tmp")):
            match = TEMPORARY.fullmatch(path.name)
            if match:
                yield match["id"], path


def write_ledger(root: Path, shards: Sequence[Shard], facts: dict[str, Any]) -> None:
    """Write the table of shards and what was settled for all of them."""
    table = pd.DataFrame([asdict(shard) for shard in shards], columns=list(COLUMNS))
    path = files.write_parquet(root / SHARDS, table)
    files.make_folder(root / "shards")
    files.write_json(root / FACTS, {**facts, "shards_sha256": files.sha256_of_file(path)})


def incomplete(folder: ShardFolder, faults: dict[Shard, str]) -> DeftError:
    """Return what to tell about shards that do not count: how many, why, and the command for them."""
    shown = "; ".join(f"{shard.id}: {reason}" for shard, reason in list(faults.items())[:5])
    return InputRefused(
        f"{len(faults)} of {len(folder.shards)} shards do not count",
        value=shown + ("; …" if len(faults) > 5 else ""),
        hint=folder.again(list(faults)),
    )


def _rows(result: Path) -> int | None:
    try:
        return int(pq.ParquetFile(result).metadata.num_rows)
    except (pa.ArrowException, OSError):
        return None
