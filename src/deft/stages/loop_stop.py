"""End the loop: write the hand-over of the best model, and say why it stopped."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from deft import files
from deft.metrics.figure_text import percent_text
from deft.run.handoff import write_handoff
from deft.stages.base import Outcome, Record, Stage, StageContext


class LoopStop(Stage):
    """Fill `handoff/` and publish its files at the root of the run."""

    name: ClassVar[str] = "loop_stop"

    def __init__(self, reason: str) -> None:
        self.reason = reason

    def place(self, context: StageContext) -> Path:
        return context.run.root / "handoff"

    def reads(self, context: StageContext) -> list[Path]:
        best = context.figures(context.incumbent)
        return [Path(best["best_ckpt_path"]), Path(best["training_spec"]), Path(best["inference_csv"])]

    def parameters(self, context: StageContext) -> Record:
        return {"reason": self.reason, "incumbent": context.incumbent}

    def work(self, context: StageContext, folder: Path) -> Outcome:
        record = write_handoff(context.run, context.state, folder)
        return Outcome(
            summary=f"{self.reason}: best is {record['iteration']} with {operating_rates(record)}",
            values={"stop_reason": self.reason},
        )

    def publish(self, context: StageContext, folder: Path) -> None:
        for target in (context.run.best_model, context.run.inference_spec):
            files.write_bytes(target, (folder / target.name).read_bytes())


def operating_rates(record: Record) -> str:
    """Return the FAR of a hand-over's threshold with the recall it belongs to: 100 % where none is noted."""
    far, recall = (percent_text(rate / 100) for rate in (record["far_pct"], record.get("recall_pct", 100.0)))
    return f"FAR {far} at {recall} recall"
