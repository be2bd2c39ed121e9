"""A gap analysis has its metrics.json wherever it ran."""

from __future__ import annotations

from pathlib import Path

import pytest

from deft import files
from deft.platforms import gap_metrics
from deft.platforms.base import ToolCall
from deft.platforms.embedded import EmbeddedPlatform
from deft.platforms.gap_metrics import complete_metrics
from deft.progress import NullProgress

SCORES = "input_path,object_name,label,siamese_score\na,U1,PASS,0.1\na,U2,bridge,0.9\n"


@pytest.fixture
def call(tmp_path: Path) -> ToolCall:
    spec = {"dataset": {"classify": {"input_map": {"Top": 0}, "image_ext": ".png"}}}
    files.write_text(tmp_path / "scores" / "inference.csv", SCORES)
    return ToolCall(
        category="gap_analysis",
        action="vcn_aoi",
        spec=None,
        overrides={
            "inference_results_dir": tmp_path / "scores",
            "train_config": files.write_yaml(tmp_path / "train.yaml", spec),
            "results_dir": tmp_path / "rca",
        },
        reads=(),
        writes=tmp_path / "rca",
        log=tmp_path / "rca" / "gap.log",
    )


def test_what_an_image_left_out_is_what_the_engine_writes_and_nothing_else_is_touched(call: ToolCall) -> None:
    EmbeddedPlatform().run([call], NullProgress())
    before = {path.name: path.read_bytes() for path in call.writes.iterdir()}
    (call.writes / "metrics.json").unlink()
    complete_metrics(call, NullProgress())
    assert {path.name: path.read_bytes() for path in call.writes.iterdir()} == before


def test_metrics_that_are_there_and_other_calls_are_left_alone(
    call: ToolCall, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gap_metrics, "EmbeddedPlatform", lambda: pytest.fail("it ran"))
    files.write_text(call.writes / "metrics.json", "{}")
    complete_metrics(call, NullProgress())
    other = ToolCall("embedding", "image_embeddings", None, {}, (), call.writes / "other", call.log)
    complete_metrics(other, NullProgress())
