"""Every path of a workspace and of a run, in one place (contracts/loop.md "Workspace", "Run folder")."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from deft.errors import InputRefused

BASELINE = "baseline"
RUN_NAME = re.compile(r"run_\d{8}_\d{6}")
TIMESTAMP_FORMAT = "%Y-%m-%d_%H%M%S"


def timestamp(moment: datetime | None = None) -> str:
    """Return the name of a results folder: `%Y-%m-%d_%H%M%S` in local time."""
    return (moment or datetime.now()).strftime(TIMESTAMP_FORMAT)


def state_home() -> Path:
    """Return the folder of pending plans, approvals and the key: `$XDG_STATE_HOME/deft`."""
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "deft"


def cache_home() -> Path:
    """Return the folder of the private environment and of embedding caches: `$XDG_CACHE_HOME/deft`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "deft"


@dataclass(frozen=True)
class Workspace:
    """The user's folder; nothing outside `results/` is ever written."""

    root: Path

    @classmethod
    def at(cls, path: Path | str) -> Workspace:
        """Return the workspace at an existing folder, by its real path."""
        root = Path(path).expanduser()
        if not root.is_dir():
            raise InputRefused(
                "workspace does not exist",
                value=root,
                hint="deft demo, or deft import folders --help",
            )
        return cls(root.resolve())

    @property
    def environment_file(self) -> Path:
        return self.root / ".env"

    @property
    def specs(self) -> Path:
        return self.root / "specs"

    @property
    def baseline_spec(self) -> Path:
        return self.specs / "baseline_spec.yaml"

    @property
    def platform_settings(self) -> Path:
        return self.specs / "platforms.yaml"

    @property
    def training_table(self) -> Path:
        return self.root / "train" / "base" / "training_set.csv"

    @property
    def validation_table(self) -> Path:
        return self.root / "train" / "base" / "validation_set.csv"

    @property
    def kpi_table(self) -> Path:
        return self.root / "kpi" / "testing_set.csv"

    @property
    def holdout_table(self) -> Path:
        return self.root / "kpi" / "holdout_set.csv"

    @property
    def images(self) -> Path:
        """The image root of the tables: `kpi/images`, or `images` where only that exists."""
        newer = self.root / "images"
        older = self.root / "kpi" / "images"
        return newer if newer.is_dir() and not older.is_dir() else older

    @property
    def mining_pool(self) -> Path:
        return self.root / "augmentation" / "mining_pool"

    @property
    def mining_pool_table(self) -> Path:
        return self.mining_pool / "mining_pool.csv"

    @property
    def anomalygen(self) -> Path:
        return self.root / "augmentation" / "anomalygen"

    @property
    def reconstructed_images(self) -> Path:
        return self.anomalygen / "reconstructed_image"

    @property
    def original_images(self) -> Path:
        return self.anomalygen / "original_image"

    @property
    def defect_spec(self) -> Path:
        return self.anomalygen / "defect_spec.jsonl"

    @property
    def backbone(self) -> Path:
        return self.root / "augmentation" / "backbone"

    @property
    def data_folders(self) -> tuple[Path, ...]:
        """The folders that a user may keep elsewhere and link to; whatever lies in them stays in them."""
        return (
            *(self.root / "kpi", self.root / "kpi" / "images", self.root / "images", self.root / "train"),
            *(self.mining_pool.parent, self.mining_pool, self.mining_pool / "images"),
            *(self.anomalygen, self.reconstructed_images, self.original_images),
            *(self.backbone, self.results),
        )

    @property
    def results(self) -> Path:
        return self.root / "results"

    @property
    def provenance(self) -> Path:
        """How an importer or the demo made this workspace (seeds, imaging conditions); optional."""
        return self.root / "provenance.json"

    def runs(self) -> list[RunFolder]:
        """Return every run folder, oldest first."""
        found = self.results.glob("run_*") if self.results.is_dir() else []
        return [RunFolder(path) for path in sorted(found) if RUN_NAME.fullmatch(path.name)]


@dataclass(frozen=True)
class RunFolder:
    """One run on disk: `<workspace>/results/run_<YYYYMMDD_HHMMSS>/`."""

    root: Path

    @property
    def workspace(self) -> Workspace:
        return Workspace(self.root.parent.parent)

    @property
    def plan(self) -> Path:
        return self.root / "plan.json"

    @property
    def approval(self) -> Path:
        return self.root / "approval.json"

    @property
    def state(self) -> Path:
        return self.root / "deft_state.json"

    @property
    def log(self) -> Path:
        return self.root / "loop_log.jsonl"

    @property
    def report(self) -> Path:
        return self.root / "DEFT_Loop_Report.html"

    @property
    def best_model(self) -> Path:
        return self.root / "best_model.json"

    @property
    def inference_spec(self) -> Path:
        return self.root / "best_model_inference_spec.yaml"

    @property
    def runner(self) -> Path:
        """What the detached runner leaves while it works: lock, holder, progress, its output."""
        return self.root / ".runner"

    @property
    def synth_pool(self) -> SynthPool:
        return SynthPool(self.root / "synth_pool")

    def phase(self, name: str) -> Phase:
        """Return the folder of `baseline` or `iter<N>`."""
        return Phase(self.root / name)

    def summary(self, phase: str) -> Path:
        return self.root / f"{phase}_summary.md"


@dataclass(frozen=True)
class SynthPool:
    """The source pool, built once a run."""

    root: Path

    @property
    def manifest(self) -> Path:
        return self.root / "manifest.json"

    @property
    def images(self) -> Path:
        return self.root / "images"

    @property
    def synthetic_rows(self) -> Path:
        return self.root / "sdg_rows.csv"

    @property
    def source_table(self) -> Path:
        return self.root / "source_pool.csv"

    @property
    def source_parquet(self) -> Path:
        return self.root / "source_pool.parquet"

    @property
    def source_embeddings(self) -> Path:
        return self.root / "source_embeddings.parquet"


@dataclass(frozen=True)
class Phase:
    """One phase of a run: `baseline` or `iter<N>`."""

    root: Path

    @property
    def name(self) -> str:
        return self.root.name

    @property
    def number(self) -> int:
        """Return 0 for the baseline, N for `iter<N>`."""
        return 0 if self.name == BASELINE else int(self.name.removeprefix("iter"))

    @property
    def train(self) -> Path:
        return self.root / "train"

    @property
    def inference(self) -> Path:
        return self.root / "inference"

    @property
    def rca_results(self) -> Path:
        return self.root / "rca_results"

    @property
    def routing_results(self) -> Path:
        return self.root / "routing_results"

    @property
    def anomalygen(self) -> Path:
        return self.root / "anomalygen"

    @property
    def mining_filter(self) -> Path:
        return self.root / "mining_filter"

    @property
    def dataset(self) -> Path:
        return self.root / "dataset"

    @property
    def combined_table(self) -> Path:
        return self.dataset / f"train_combined_{self.name}.csv"

    @property
    def combined_provenance(self) -> Path:
        return self.dataset / f"train_combined_{self.name}_provenance.csv"

    @property
    def training_spec(self) -> Path:
        return self.dataset / "train_spec.yaml"

    @property
    def merge_validation(self) -> Path:
        return self.dataset / "merge_validation.json"


def phase_name(number: int) -> str:
    """Return `baseline` for 0, else `iter<N>`."""
    return BASELINE if number == 0 else f"iter{number}"
