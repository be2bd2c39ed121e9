"""Turn DeepPCB into a workspace: crops of real boards, split by board so that none stands on two sides.

The KPI and the held-out set are whole board groups; training, validation and the pool share the other groups
board by board. The training seed is small and lacks two defect types and three imaging conditions, as the
first weeks of a line do (research/engine.md section 1).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice, zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from deft import files
from deft.errors import InputRefused, UsageError
from deft.progress import NullProgress, Progress, Task
from deft.workspace.baseline_spec import write_baseline_spec
from deft.workspace.construction import CAMERA, POOL, new_workspace, row_prefix, write_tables
from deft.workspace.importers.conditions import CONDITIONS
from deft.workspace.importers.crops import BoardPair, Cut, cut, defect_crop, good_crops
from deft.workspace.importers.deeppcb_pictures import Darkroom
from deft.workspace.importers.deeppcb_source import DEFECT_TYPES, BoardFiles, Source, find_boards, read_board
from deft.workspace.layout import Workspace
from deft.workspace.rows import PASS

MADE_BY = "deft import deeppcb"
IMPORTER_VERSION = 1
BALANCED_SHARE = 1 / 3
TRAIN_BOARDS, VALIDATION_BOARDS = 0.09, 0.18
GOOD_A_BOARD = 16
SYNTHETIC_PAIRS = 600

UNIFORM = {name: 1 / len(CONDITIONS) for name in CONDITIONS}
SEED_CONDITIONS = {"green_white": 0.61, "green_warm": 0.34, "blue_side": 0.05}
POOL_CONDITIONS = {name: 0.325 if name in ("green_white", "green_warm") else 0.0875 for name in CONDITIONS}


@dataclass(frozen=True)
class Quota:
    """How many crops a split takes, of which defect types, under which conditions."""

    name: str
    good: int
    defective: int
    defects: tuple[str, ...] = DEFECT_TYPES
    conditions: Mapping[str, float] = field(default_factory=lambda: UNIFORM)


def quotas(pool_defect_share: float | None) -> tuple[Quota, ...]:
    """Return the quota of every split; the pool holds 3,000 crops with the given share of defects."""
    share = BALANCED_SHARE if pool_defect_share is None else pool_defect_share
    defective = round(3000 * share)
    return (
        Quota("train", 240, 120, ("open", "short", "mousebite", "copper"), SEED_CONDITIONS),
        Quota("validation", 400, 150),
        Quota("kpi", 900, 400),
        Quota("holdout", 700, 300),
        Quota(POOL, 3000 - defective, defective, conditions=POOL_CONDITIONS),
    )


def import_deeppcb(
    source: Path,
    workspace: Path,
    *,
    realistic: bool,
    seed: int = 0,
    kpi_groups: Sequence[str] = ("77000",),
    holdout_groups: Sequence[str] = ("50600",),
    pool_defect_share: float | None = None,
    progress: Progress | None = None,
) -> None:
    """Write a workspace at an empty or absent folder from a copy of DeepPCB.

    `realistic` photographs the boards under six imaging conditions; otherwise the crops stay black and white.
    `pool_defect_share` None balances the pool (a third are defects), 0.03 is like production. The same seed
    gives the same bytes; every crop's board, place and tolerances are in `provenance.csv`.
    """
    if pool_defect_share is not None and not 0 < pool_defect_share < 1:
        raise UsageError("share of defects in the pool lies between 0 and 1", value=pool_defect_share)
    found = find_boards(source)
    sides = split_boards(found, seed, kpi_groups, holdout_groups)
    with new_workspace(workspace) as site:
        darkroom = Darkroom(site, seed, realistic)
        job = _Job(darkroom, seed, progress or NullProgress())
        for quota in quotas(pool_defect_share):
            job.fill(quota, sides[quota.name])
        write_tables(site, job.rows)
        call = {"seed": seed, "realistic": realistic, "pool_defect_share": pool_defect_share}
        groups = {"kpi": list(kpi_groups), "holdout": list(holdout_groups)}
        _write_provenance(site, job, {**call, "groups": groups, "incomplete_boards": len(found.incomplete)})
        write_baseline_spec(site, workspace.expanduser().resolve(), lights=(CAMERA,))


def split_boards(
    source: Source, seed: int, kpi_groups: Sequence[str], holdout_groups: Sequence[str]
) -> dict[str, list[BoardFiles]]:
    """Return the boards of every split; a group that does not exist, or one named twice, is refused."""
    _require_groups(source, kpi_groups, holdout_groups)
    named = {*kpi_groups, *holdout_groups}
    others = [board for board in source.boards if board.group not in named]
    order = np.random.default_rng([seed, 0]).permutation(len(others))
    train = max(1, round(TRAIN_BOARDS * len(others)))
    validation = max(1, round(VALIDATION_BOARDS * len(others)))
    if len(others) < train + validation + 1:
        raise InputRefused(
            "too few boards are left for training, validation and the pool (three at least)",
            value=len(others),
            hint="name fewer groups for KPI and held-out set",
        )
    shuffled = [others[i] for i in order]
    return {
        "train": shuffled[:train],
        "validation": shuffled[train : train + validation],
        POOL: shuffled[train + validation :],
        "kpi": [board for board in source.boards if board.group in set(kpi_groups)],
        "holdout": [board for board in source.boards if board.group in set(holdout_groups)],
    }


def _require_groups(source: Source, kpi_groups: Sequence[str], holdout_groups: Sequence[str]) -> None:
    unknown = [group for group in (*kpi_groups, *holdout_groups) if group not in source.groups]
    if unknown or not kpi_groups or not holdout_groups:
        raise InputRefused(
            "KPI and held-out set need one board group each that exists",
            value=", ".join(unknown) or "none named",
            hint=f"groups found: {', '.join(source.groups)}",
        )
    shared = set(kpi_groups) & set(holdout_groups)
    if shared:
        raise InputRefused(
            "board group stands in the KPI set and in the held-out set", value=", ".join(shared)
        )


# --- filling splits --------------------------------------------------------------------------


@dataclass
class _Job:
    """One import at work: rows and provenance collect here, split by split."""

    darkroom: Darkroom
    seed: int
    progress: Progress
    rows: dict[str, list[dict[str, str]]] = field(default_factory=dict)
    provenance: list[dict[str, object]] = field(default_factory=list)

    def fill(self, quota: Quota, boards: Sequence[BoardFiles]) -> None:
        """Cut, choose and photograph the crops of one split."""
        rng = np.random.default_rng([self.seed, 1, len(self.rows)])
        with self.progress.task(f"cut {quota.name} crops", total=len(boards), unit="board") as task:
            good, defective = _cut_boards(rng, quota, boards, task)
        chosen = _choose(rng, quota, good, defective)
        looks = _assign_conditions(rng, quota, [f"b{board.identifier}" for board in boards])
        self.rows[quota.name] = []
        with self.progress.task(f"photograph {quota.name}", total=len(chosen), unit="crop") as task:
            for number, piece in enumerate(sorted(chosen, key=lambda piece: piece.board), 1):
                self._file(quota.name, piece, looks[piece.board], number)
                task.advance()
        if quota.name == POOL:
            self._synthesise(rng, good)

    def _file(self, split: str, piece: Cut, condition: str, number: int) -> None:
        name = f"c{number:04d}"
        rng = np.random.default_rng([self.seed, 2, len(self.rows), number])
        shot = self.darkroom.file_row(rng, split, piece, condition, name)
        self.rows[split].append(_table_row(piece, name, row_prefix(split), str(shot["condition"])))
        record = {"split": split, "component": f"{piece.board}/{name}/{name}", **_origin(piece)}
        self.provenance.append({**record, **shot})

    def _synthesise(self, rng: np.random.Generator, good: Sequence[Sequence[Cut]]) -> None:
        """Draw as many defects of each type on the pool's templates, skipping templates where none fits."""
        pieces = [piece for board in good for piece in board]
        wanted = min(SYNTHETIC_PAIRS, len(pieces)) // len(DEFECT_TYPES)
        with self.progress.task(
            "draw synthetic pairs", total=wanted * len(DEFECT_TYPES), unit="pair"
        ) as task:
            for defect in DEFECT_TYPES:
                queue = (pieces[index] for index in rng.permutation(len(pieces)))
                drawn = (self._file_synthetic(rng, piece, defect) for piece in queue)
                for _ in islice(filter(None, drawn), wanted):
                    task.advance()

    def _file_synthetic(self, rng: np.random.Generator, piece: Cut, defect: str) -> bool:
        record = self.darkroom.file_synthetic_pair(rng, piece, defect, len(self.provenance))
        if record is not None:
            self.provenance.append({"split": "synthetic", **_origin(piece), "label": defect, **record})
        return record is not None


def _cut_boards(
    rng: np.random.Generator, quota: Quota, boards: Sequence[BoardFiles], task: Task
) -> tuple[list[list[Cut]], list[list[Cut]]]:
    """Return good and defective cuts board by board; the boards themselves are not kept in memory."""
    wanted = min(GOOD_A_BOARD, math.ceil(quota.good / len(boards)) + 1)
    good: list[list[Cut]] = []
    defective: list[list[Cut]] = []
    for board_files in boards:
        board = read_board(board_files)
        good.append([cut(board, crop) for crop in islice(good_crops(rng, board), wanted)])
        defective.append(_cut_defects(rng, quota, board))
        task.advance()
    return good, defective


def _cut_defects(rng: np.random.Generator, quota: Quota, board: BoardPair) -> list[Cut]:
    crops = (defect_crop(rng, board, box) for box in board.boxes if box.defect in quota.defects)
    return [cut(board, crop) for crop in crops if crop is not None]


def _choose(
    rng: np.random.Generator, quota: Quota, good: list[list[Cut]], defective: list[list[Cut]]
) -> list[Cut]:
    """Choose evenly: good crops over boards, defects over types; their ratio is kept if crops run out."""
    passes = _take_turns(good)[: quota.good]
    pieces = [piece for board in defective for piece in board]
    mixed = [pieces[i] for i in rng.permutation(len(pieces))]
    shuffled = [[piece for piece in mixed if piece.crop.defect == kind] for kind in quota.defects]
    faults = _take_turns(shuffled)[: min(quota.defective, round(len(passes) * quota.defective / quota.good))]
    if not passes or not faults:
        raise InputRefused(
            f"{quota.name} needs good and defective crops, found {len(passes)} and {len(faults)}",
            value=f"{len(good)} boards",
            hint="use more boards, or other groups",
        )
    return passes + faults


def _take_turns(queues: Sequence[Sequence[Cut]]) -> list[Cut]:
    """Return the first of each queue, then the second of each, and so on."""
    return [piece for turn in zip_longest(*queues) for piece in turn if piece is not None]


def _assign_conditions(rng: np.random.Generator, quota: Quota, boards: Sequence[str]) -> dict[str, str]:
    """Give each board one condition so that the shares are met as nearly as whole boards allow."""
    edges = np.cumsum(list(quota.conditions.values()))
    positions = (np.arange(len(boards)) + 0.5) / len(boards) * edges[-1]
    names = list(quota.conditions)
    conditions = [names[int(i)] for i in np.searchsorted(edges, positions)]
    return {board: conditions[i] for board, i in zip(boards, rng.permutation(len(boards)), strict=True)}


# --- records ---------------------------------------------------------------------------------


def _table_row(piece: Cut, name: str, prefix: str, condition: str) -> dict[str, str]:
    defect = piece.crop.defect
    return {
        "input_path": f"{prefix}{piece.board}/{name}",
        "golden_path": f"{prefix}golden/{piece.board}/{name}",
        "label": defect or PASS,
        "object_name": name,
        "project": "DeepPCB",
        "boardname": piece.board,
        "comp_type_2": piece.group,
        "mpass_mfail": "mfail" if defect else "mpass",
        "is_valid": "1",
        "comp_name": name,
        "part_type": "bare_board",
        "description": f"crop at {piece.crop.x} {piece.crop.y} ({condition})",
        "comp_type_1": "bare_board",
    }


def _origin(piece: Cut) -> dict[str, object]:
    return {
        "label": piece.crop.defect or PASS,
        "board": piece.board,
        "group": piece.group,
        "x": piece.crop.x,
        "y": piece.crop.y,
    }


def _write_provenance(workspace: Workspace, job: _Job, call: dict[str, Any]) -> None:
    table = pd.DataFrame(job.provenance)
    counts = table.groupby(["split", "label"], sort=True).size()
    record = {
        "made_by": MADE_BY,
        "importer_version": IMPORTER_VERSION,
        **call,
        "conditions": sorted(table["condition"].unique()),
        "counts": {split: counts[split].to_dict() for split in counts.index.unique("split")},
        "boards": table.groupby("split")["board"].nunique().to_dict(),
    }
    files.write_json(workspace.provenance, record)
    files.write_csv(workspace.provenance.with_suffix(".csv"), table)
