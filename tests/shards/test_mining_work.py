"""However a search is cut up and whoever does it, it finds to the byte what `deft mine` finds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from deft.embedding.candidates import Rule
from deft.embedding.selection import select
from deft.embedding.sets import EmbeddingSet, write_embeddings
from deft.errors import InputRefused, StateConflict
from deft.shards.mining_work import Sides, rows_digest
from deft.shards.worker import run_shard
from deft.steps.mine import write_selection
from deft.steps.shard import reduce_shards
from shard_fixtures import FINGERPRINT, RESULTS, ROWS, Mining, bytes_of, draw_vectors

RULE = Rule(top_k=7, metric="cosine", label_filter="class", min_similarity="p25", synthetic_share=0.3)


def unsharded(mining: Mining, rule: Rule = RULE) -> dict[str, str]:
    sides = Sides.open(mining.targets, mining.pool, rule.label_filter)
    place = mining.place / "whole"
    write_selection(place, sides.pool, select(sides.targets, sides.pool, rule, already=set()))
    return bytes_of(place)


@pytest.mark.parametrize("shards", [1, 3, 16])
def test_the_result_is_that_of_one_search_whatever_the_number_of_shards(mining: Mining, shards: int) -> None:
    folder = mining.plan("cut", shards)
    for number in np.random.default_rng(shards).permutation(shards):
        run_shard(folder, int(number))
    assert reduce_shards(folder)["mined"] > 0
    assert bytes_of(folder.root) == unsharded(mining)


def test_the_result_does_not_depend_on_how_the_vectors_are_stored(mining: Mining) -> None:
    whole = unsharded(mining)
    for storage in ("float32", "float16"):  # the drawn values are whole numbers: exact in both
        draw_vectors(mining.pool, ROWS, seed=2, storage=storage)
        assert unsharded(mining) == whole


@pytest.mark.parametrize("words", [("--filter-by-label", "label"), ("--metric", "euclidean")])
def test_every_rule_of_a_search_holds_in_shards(mining: Mining, words: tuple[str, str]) -> None:
    folder = mining.plan("cut", 4, *words, "--min-similarity", "none")
    for number in range(4):
        run_shard(folder, number)
    reduce_shards(folder)
    settings = {"--filter-by-label": "label_filter", "--metric": "metric"}
    rule = Rule(**{"top_k": 5, "label_filter": "none", settings[words[0]]: words[1]})
    assert bytes_of(folder.root) == unsharded(mining, rule)


def test_the_digest_of_rows_does_not_depend_on_how_they_are_read(
    mining: Mining, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = Sides.open(mining.targets, mining.pool, "none").pool
    before = rows_digest(pool, 100, 1_200)
    monkeypatch.setattr("deft.embedding.tables.BLOCK_ROWS", 7)
    assert rows_digest(pool, 100, 1_200) == before
    assert rows_digest(pool, 101, 1_200) != before


def test_a_pool_that_changed_since_the_plan_is_refused_by_worker_and_reducer(mining: Mining) -> None:
    folder = mining.plan("cut", 2)
    run_shard(folder, 0)
    run_shard(folder, 1)
    draw_vectors(mining.place / "again.parquet", ROWS, seed=3).replace(mining.pool)
    with pytest.raises(StateConflict, match=r"changed.*pool\.parquet"):
        reduce_shards(folder)
    folder.receipt(folder.shard(1)).unlink()
    with pytest.raises(InputRefused, match="rows 751 to 1500 changed since the shards were planned"):
        run_shard(folder, 1)
    assert not list((folder.root / "shards").glob("*.tmp"))


def test_tables_of_two_encoders_are_refused_at_the_plan(mining: Mining, say) -> None:
    side = EmbeddingSet.read(mining.targets)
    other = {**FINGERPRINT, "identity": "other"}
    write_embeddings(mining.targets, pa.Table.from_pandas(side.table), side.matrix, other)
    said = say("shard", "plan", "mining", mining.targets, mining.pool, "--output-dir", mining.place / "cut")
    assert said.code == 3
    assert "different encoders" in said.record["error"]["fact"]


def test_results_name_their_files(mining: Mining) -> None:
    folder = mining.plan("cut", 1)
    run_shard(folder, 0)
    reduce_shards(folder)
    assert {path.name for path in folder.root.iterdir()} == {
        *RESULTS,
        *("plan.json", "approval.json", "shards.json", "shards.parquet", "shards"),
        *("sample.parquet", "mining_spec.yaml"),
    }
    assert pd.read_parquet(folder.root / "shards.parquet").columns.tolist() == [
        *("id", "source", "start", "stop", "sha256")
    ]
    assert Path(folder.shard(0).source) == mining.pool
