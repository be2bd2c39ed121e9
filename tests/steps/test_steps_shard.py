"""Shards begin with an approved plan, and workers and reducer do only what it says."""

from __future__ import annotations

from pathlib import Path

import pytest

from deft import files
from deft.shards.ledger import ShardFolder
from shard_fixtures import Embedding, Mining


@pytest.fixture
def mining(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Mining:
    return Mining(tmp_path, capsys)


@pytest.fixture
def folder(mining: Mining) -> ShardFolder:
    return mining.plan("cut", 2)


def test_a_plan_is_shown_and_nothing_is_written_before_the_yes(mining: Mining, say) -> None:
    said = say("shard", "plan", "mining", mining.targets, mining.pool, "--output-dir", mining.place / "cut")
    assert said.code == 4
    assert "setting  top_k_per_target = 5 (default)" in said.err
    assert str(mining.pool.name) in said.err
    assert not (mining.place / "cut").exists()


def test_the_plan_names_its_settings_with_their_sources(folder: ShardFolder) -> None:
    settings = folder.plan["settings"]
    assert settings["min_similarity"] == {"value": "p25", "source": "user"}
    assert settings["knn_metric"] == {"value": "cosine", "source": "default"}
    assert settings["shards"] == {"value": 2, "source": "user"}
    assert folder.plan["kind"] == "shard"
    assert set(folder.plan["inputs"]) == {"targets.parquet", "pool.parquet"}


@pytest.mark.parametrize("verb", ["run", "reduce"])
def test_an_edited_plan_is_refused_by_worker_and_reducer(folder: ShardFolder, say, verb: str) -> None:
    plan = files.read_json(folder.root / "plan.json")
    plan["settings"]["top_k_per_target"]["value"] = 500
    files.write_json(folder.root / "plan.json", plan)
    said = say("shard", verb, folder.root)
    assert said.code == 4
    assert "changed after its approval" in said.record["error"]["fact"]


@pytest.mark.parametrize("verb", ["run", "reduce"])
def test_without_its_approval_nothing_is_done(folder: ShardFolder, say, verb: str) -> None:
    (folder.root / "approval.json").unlink()
    assert "nobody approved this plan" in say("shard", verb, folder.root).record["error"]["fact"]


def test_a_worker_far_from_the_users_key_holds_the_plan_to_its_hash(
    folder: ShardFolder, say, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "another machine"))
    assert say("shard", "run", folder.root, "--id", 0).code == 0
    plan = files.read_json(folder.root / "plan.json")
    files.write_json(folder.root / "plan.json", {**plan, "advice": ["more"]})
    assert say("shard", "run", folder.root, "--id", 1).code == 4
    assert not (tmp_path / "another machine").exists()


def test_tables_without_vectors_are_sent_to_be_embedded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], say
) -> None:
    table = Embedding(tmp_path, capsys).table
    said = say("shard", "plan", "mining", table, table, "--output-dir", tmp_path / "cut")
    assert said.code == 3
    assert said.record["error"]["hint"] == "deft shard plan embedding TABLE"


@pytest.mark.parametrize(
    ("words", "fact"),
    [
        (("--encoder", "none"), "unknown encoder"),
        (("--storage", "int8", "--encoder", "SigLIP"), "storage is not known"),
        (("--shards", "0"), "at least 1 shard"),
    ],
)
def test_settings_that_are_none_are_refused_before_the_plan(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], say, words: tuple[str, ...], fact: str
) -> None:
    table = Embedding(tmp_path, capsys).table
    said = say("shard", "plan", "embedding", table, "--output-dir", tmp_path / "cut", *words)
    assert fact in said.record["error"]["fact"]
