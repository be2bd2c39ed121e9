"""Work in shards as a step: one approved plan, then workers and a reducer that do only what it says."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from deft import files
from deft.embedding.precision import EXACT, settled_precision
from deft.embedding.sets import EMBEDDING
from deft.embedding.table_writer import STORAGES
from deft.embedding.tables import EmbeddingTable, table_rows
from deft.errors import InputRefused, NotApproved, UsageError
from deft.guard import approval
from deft.platforms.base import Platform
from deft.preflight.settings import DEFAULT, ENCODER_PATHS, USER, Settings
from deft.progress import Progress
from deft.run.gate import check_drift
from deft.shards import embedding_work, mining_work
from deft.shards.embedding_work import EmbeddingWork
from deft.shards.ledger import FACTS, SHARDS, ShardFolder
from deft.shards.mining_work import MiningWork
from deft.shards.planning import plan_embedding, plan_mining, shard_count
from deft.shards.reduce import clear_up, require_verified
from deft.shards.work import EMBEDDING as EMBEDDING_WORK
from deft.shards.work import MINING
from deft.steps.gate import APPROVAL, Record, Step, require_files
from deft.steps.mine import MINING_SPEC, OPTIONS, MiningRequest, Settled, mining_spec, write_selection
from deft.steps.mining_tables import MiningTable
from deft.tools.image_embeddings import ImageEmbeddingsConfig
from deft.workspace.layout import Workspace

KIND = "shard"
BATCH_SIZE = 64
LEDGER = (SHARDS, FACTS, "shards/")
ENCODER_SETTINGS = ("encoder", "encoder_path", "num_gpus")
RULE_OPTIONS = {name: option for name, option in OPTIONS.items() if name not in ENCODER_SETTINGS}


@dataclass(frozen=True)
class EmbeddingShards(Settled):
    """A table of images to embed in shards; `given` by setting, None where the user said nothing."""

    table: Path
    output: Path
    given: Mapping[str, Any]

    @cached_property
    def settings(self) -> Settings:
        """Return every setting with its source."""
        encoder = self.given.get("model") or "SigLIP"
        if encoder not in ENCODER_PATHS:
            raise UsageError("unknown encoder", value=encoder, hint=", ".join(ENCODER_PATHS))
        storage, statistics = self.given.get("storage"), self.given.get("statistics_parquet")
        if storage not in (None, *STORAGES):
            raise UsageError("storage is not known", value=storage, hint=", ".join(STORAGES))
        defaults = {
            "model": encoder,
            "model_path": ENCODER_PATHS[encoder],
            "batch_size": BATCH_SIZE,
            "statistics_parquet": "",
            "precision": settled_precision(self.given.get("precision") or EXACT),
            "storage": STORAGES[0],
            "shards": shard_count(EMBEDDING_WORK, table_rows(self.table), self.given.get("shards")),
        }
        chosen = {name: _choose(self.given.get(name), default) for name, default in defaults.items()}
        chosen["precision"]["value"] = defaults["precision"]  # `auto` is settled here, for all machines
        if statistics is not None:
            chosen["statistics_parquet"] = {"value": str(statistics), "source": USER}
        return {**_fixed(work=EMBEDDING_WORK, input=str(self.table)), **chosen}

    def step(self) -> Step:
        """Check the table, the encoder and the weights, and say what would happen."""
        require_files([self.table])
        MiningTable.read(self.table)
        weights, statistics = Path(self._value("model_path")), Path(self._value("statistics_parquet"))
        files_read = [path for path in (weights, statistics) if path.is_file()]
        options = {
            "--encoder": self._value("model"),
            "--encoder-path": self._value("model_path"),
            "--statistics": self._value("statistics_parquet"),
            "--precision": self._value("precision"),
            "--storage": self._value("storage"),
            "--shards": self._value("shards"),
        }
        words = [KIND, "plan", EMBEDDING_WORK, str(self.table), "--output-dir", str(self.output)]
        words += [word for name, value in options.items() if value for word in (name, str(value))]
        return Step(
            kind=KIND,
            arguments=tuple(words),
            inputs=(self.table, *files_read),
            settings=self.settings,
            results=self.output,
            writes=(*LEDGER, embedding_work.OUTPUT),
            calls={},
            timestamped=False,
        )

    def work(self, folder: Path, platform: Platform, progress: Progress) -> Record:
        """Write the ledger."""
        given = {name: self._value(name) for name in embedding_work.CONFIG}
        config = ImageEmbeddingsConfig(str(self.table), str(folder / embedding_work.OUTPUT), **given)
        plan_embedding(config, table_rows(self.table), self._value("shards"), folder)
        return _planned(folder)


@dataclass(frozen=True)
class MiningShards(Settled):
    """Targets and a pool with vectors, to be searched in shards; `given` by setting."""

    targets: Path
    pool: Path
    output: Path
    given: Mapping[str, Any]
    shards: int | None

    @cached_property
    def _request(self) -> MiningRequest:
        fingerprint = EmbeddingTable.open(self.pool).fingerprint or {}
        encoder = fingerprint.get("model")
        known = {"encoder": encoder} if encoder in ENCODER_PATHS else {}
        return MiningRequest(self.targets, self.pool, self.output, "embedded", {**self.given, **known})

    @cached_property
    def settings(self) -> Settings:
        """Return every setting with its source."""
        rule = {name: self._request.settings[name] for name in RULE_OPTIONS}
        count = shard_count(MINING, table_rows(self.pool), self.shards)
        shards = {"value": count, "source": DEFAULT if self.shards is None else USER}
        sides = _fixed(work=MINING, targets=str(self.targets), pool=str(self.pool))
        return {**sides, **rule, "shards": shards}

    def step(self) -> Step:
        """Check both tables and that a search can find anything, and say what would happen."""
        tables = [MiningTable.read(path) for path in (self.targets, self.pool)]
        for table in tables:
            if not table.is_embedded:
                raise InputRefused(
                    f"table has no column {EMBEDDING}",
                    value=table.path,
                    hint="deft shard plan embedding TABLE",
                )
        mining_work.Sides.open(self.targets, self.pool, self._value("filter_by_label"))
        options = [(RULE_OPTIONS[name], str(self._value(name))) for name in RULE_OPTIONS]
        options = [(option, "none" if value == "None" else value) for option, value in options]
        words = [KIND, "plan", MINING, str(self.targets), str(self.pool), "--output-dir", str(self.output)]
        words += [word for pair in options if pair != ("--synthetic-share", "none") for word in pair]
        return Step(
            kind=KIND,
            arguments=(*words, "--shards", str(self._value("shards"))),
            inputs=(self.targets, self.pool),
            settings=self.settings,
            results=self.output,
            writes=(*LEDGER, MINING_SPEC, "mined.parquet", "neighbours.parquet", "knn_summary.csv"),
            calls={},
            timestamped=False,
            advice=self._request.coverage(*tables),
        )

    def work(self, folder: Path, platform: Platform, progress: Progress) -> Record:
        """Write the ledger."""
        rule = mining_work.rule_of(self._value)
        plan_mining(self.targets, self.pool, rule, self._value("shards"), folder)
        return _planned(folder)


def _choose(given: Any, default: Any) -> dict[str, Any]:
    return {"value": default, "source": DEFAULT} if given is None else {"value": given, "source": USER}


def _fixed(**values: str) -> Settings:
    return {name: {"value": value, "source": USER} for name, value in values.items()}


def _planned(folder: Path) -> Record:
    return {"shards": len(ShardFolder.at(folder).shards), "next": f"deft shard run {folder}"}


# --- the shards of an approved plan ----------------------------------------------------------


def approved_folder(path: Path) -> ShardFolder:
    """Return a planned folder whose plan the user approved; raises NotApproved.

    A worker may run where the user's signing key is not (another machine's home): there the approval must
    name exactly this plan, and the launcher, which runs beside the key, has checked the signature.
    """
    folder = ShardFolder.at(path)
    record = approval.read_record(str(folder.root / APPROVAL))
    try:
        if os.path.exists(os.path.join(approval.state_home(), "key")):
            approval.check(record, folder.plan, in_use=True)
        elif record is None or record.get("plan_sha256") != approval.plan_sha256(folder.plan):
            raise approval.ApprovalFault("nobody approved this plan")
    except (approval.ApprovalFault, OSError, KeyError) as fault:
        raise NotApproved(
            str(fault), value=folder.root, hint=f"again: {folder.plan.get('command')}"
        ) from None
    return folder


def reduce_shards(folder: ShardFolder) -> Record:
    """Make one result of all shards, once every one of them is verified and the inputs are as approved."""
    check_drift(folder.plan, Workspace(Path(folder.plan["workspace"])))
    require_verified(folder)
    record = _embedded(folder) if folder.setting("work") == EMBEDDING_WORK else _mined(folder)
    clear_up(folder)
    return {"folder": str(folder.root), **record}


def _embedded(folder: ShardFolder) -> Record:
    return EmbeddingWork(folder).reduce()


def _mined(folder: ShardFolder) -> Record:
    work = MiningWork(folder)
    sides = work.sides()
    files.write_yaml(folder.root / MINING_SPEC, mining_spec(folder.setting))
    return write_selection(folder.root, sides.pool, work.selection(sides))
