"""A tool call is data."""

from __future__ import annotations

from pathlib import Path

from deft.embedding.encoders import DEFT_PAIR
from deft.platforms.base import OWN_ENCODER, PRECISIONS, ToolCall
from deft.platforms.docker import DockerPlatform
from deft.platforms.embedded import EmbeddedPlatform
from deft.tools.visual_changenet import precision
from deft.workspace.layout import RunFolder


def test_a_call_spells_itself_in_the_containers_grammar():
    call = ToolCall(
        category="tmm",
        action="nearest_neighbors",
        spec=Path("/w/spec.yaml"),
        overrides={"topn": 5, "output_parquet": Path("/w/out.parquet")},
        reads=(),
        writes=Path("/w"),
        log=Path("/w/log"),
    )
    assert call.arguments() == [
        "tmm",
        "nearest_neighbors",
        "-e",
        "/w/spec.yaml",
        "topn=5",
        "output_parquet=/w/out.parquet",
    ]


def test_where_nothing_outlives_its_runner_there_is_nothing_to_end(tmp_path):
    assert EmbeddedPlatform().end(RunFolder(tmp_path)) == []


def test_pre_flight_holds_to_the_precisions_and_the_encoder_that_the_engine_has():
    assert (PRECISIONS, OWN_ENCODER) == (precision.PRECISIONS, DEFT_PAIR)


def test_a_platform_of_images_runs_no_engine_of_this_package():
    assert EmbeddedPlatform().runs_own_engine
    assert not DockerPlatform().runs_own_engine
