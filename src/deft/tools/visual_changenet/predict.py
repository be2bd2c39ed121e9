"""Score tables with a checkpoint: `evaluate` prints rates, `inference` writes `inference.csv`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from omegaconf import DictConfig

from deft import files
from deft.embedding.pair_network import load_weights, read_checkpoint
from deft.tools.output import report_progress, say
from deft.tools.visual_changenet.data import SplitSource
from deft.tools.visual_changenet.engine import Engine, engine_of, mean_outputs, rates
from deft.tools.visual_changenet.precision import require_precision, set_threads
from deft.tools.visual_changenet.status import StatusLog, recorded
from deft.workspace.rows import is_pass

SCORE = "siamese_score"
BLOCK_ROWS = 1024


def inference(config: DictConfig) -> None:
    """Score `dataset.classify.infer_dataset` and write `inference.csv`: its columns, then `siamese_score`."""
    with recorded(config, "inference") as (folder, log):
        engine = _engine(config)
        log.write("Starting Visual ChangeNet inference.", status="STARTED")
        source = SplitSource.from_config(config, "infer")
        table = source.read_unlabelled(config.dataset.classify.batch_size)
        scores = _score(config, engine, "inference", source, table, log)
        files.write_csv(folder / "inference.csv", with_scores(table, scores))
        say("Completed")


def with_scores(table: pd.DataFrame, scores: npt.NDArray[np.float32]) -> pd.DataFrame:
    """Return the table with its scores last, each the shortest text that reads back as the same float32.

    A table that has the column already keeps it in place.
    """
    return table.assign(**{SCORE: [str(score) for score in scores]})


def evaluate(config: DictConfig) -> None:
    """Score `dataset.classify.test_dataset` and report the rates at `model.classify.eval_margin`."""
    with recorded(config, "evaluate") as (_, log):
        engine = _engine(config)
        log.write("Starting Visual ChangeNet evaluate.", status="STARTED")
        source = SplitSource.from_config(config, "test")
        table = source.read_labelled(config.dataset.classify.batch_size)
        is_defect = ~is_pass(table["label"])
        scores = _score(config, engine, "evaluate", source, table, log)
        margin = config.model.classify.eval_margin
        found = rates(scores, is_defect, margin)
        say(
            f"Tot Comp {len(scores)} Total Accuracy {found['acc']:.2f} False Negative {found['fnr']:.2f} "
            f"False Alarm {found['fpr']:.2f} Defect Correctly Captured {found['defect_acc']:.2f} "
            f"for Margin {margin}"
        )
        kpi = {f"test_{key}": found[key] for key in ("acc", "fpr", "fnr")}
        log.write("Test metrics generated.", kpi=kpi | {"defect_acc": found["defect_acc"]})


def _engine(config: DictConfig) -> Engine:
    require_precision(config.train.precision)
    return engine_of(config)


def _score(
    config: DictConfig, engine: Engine, action: str, source: SplitSource, table: pd.DataFrame, log: StatusLog
) -> npt.NDArray[np.float32]:
    set_threads(config.train.embedded.threads)
    path = Path(config[action].checkpoint)
    log.write(f"Loading checkpoint: {path}")
    checkpoint = read_checkpoint(path)
    engine.require_same(checkpoint, path)
    network = engine.build(pretrained=False)
    load_weights(network, checkpoint["state_dict"], path)
    scoring = engine.for_scoring(network)
    found = []
    for images in source.blocks(table, BLOCK_ROWS):
        found.append(mean_outputs(engine, scoring, images, rotations=engine.rotations))
        report_progress(sum(map(len, found)), len(table), "pair")
    return engine.scores(np.concatenate(found))
