"""A search by index gives what the exact one gives, or is the exact one and says so."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from deft.embedding.candidates import Embedded, Rule
from deft.embedding.ivf_index import IvfIndex
from deft.embedding.selection import select, select_by_index
from deft.embedding.sets import EmbeddingSet, embedding_writer
from deft.embedding.tables import EmbeddingTable
from shard_fixtures import draw_vectors

pytestmark = [
    pytest.mark.filterwarnings("ignore:builtin type:DeprecationWarning"),  # of faiss's own bindings
    pytest.mark.usefixtures("faiss"),
]
RULE = Rule(5, "cosine", "class", "p25", 0.3)


@pytest.fixture
def pool(tmp_path: Path) -> EmbeddingTable:
    return EmbeddingTable.open(draw_vectors(tmp_path / "pool.parquet", 3_000, seed=0, width=8))


@pytest.fixture
def targets(tmp_path: Path) -> Embedded:
    side = EmbeddingSet.read(draw_vectors(tmp_path / "targets.parquet", 100, seed=1, width=8))
    return Embedded(side.table, side.matrix)


def test_a_good_index_gives_the_exact_result(pool: EmbeddingTable, targets: Embedded, figure) -> None:
    exact = select(targets, pool, RULE, already={"x"})
    found, use = select_by_index(targets, pool, RULE, already={"x"})
    assert use.used == "ivf"
    assert use.recall is not None
    assert use.recall >= 0.99
    assert found.cut == exact.cut
    reached = exact.neighbours.groupby("target_filepath")["similarity"].min().rename("reached")
    hits = found.neighbours.join(reached, on="target_filepath")
    share = (hits["similarity"] >= hits["reached"]).mean()
    assert share >= 0.98  # all targets, where the measured recall is that of a sample
    figure("recall of the index after exact re-ranking", "at least 0.99", f"{use.recall:.4f}")


def test_an_index_that_misses_too_much_is_not_used(
    pool: EmbeddingTable, targets: Embedded, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = np.random.default_rng(0)
    monkeypatch.setattr(
        IvfIndex, "near", lambda index, vectors, count: draw.integers(0, 3_000, (len(vectors), count))
    )
    found, use = select_by_index(targets, pool, RULE, already=set())
    assert use.used == "exact"
    assert use.recall is not None
    assert use.recall < 0.5
    assert "finds less than 0.99" in use.text()
    pd.testing.assert_frame_equal(found.neighbours, select(targets, pool, RULE, already=set()).neighbours)


@pytest.mark.parametrize(
    ("metric", "reason"), [("manhattan", "does not know the metric"), ("cosine", "faiss is not installed")]
)
def test_where_there_is_no_index_the_search_is_exact_and_says_why(
    pool: EmbeddingTable, targets: Embedded, monkeypatch: pytest.MonkeyPatch, metric: str, reason: str
) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    rule = Rule(5, metric, "none")
    found, use = select_by_index(targets, pool, rule, already=set())
    assert (use.used, use.recall) == ("exact", None)
    assert reason in use.text()
    pd.testing.assert_frame_equal(found.neighbours, select(targets, pool, rule, already=set()).neighbours)


def test_a_target_whose_rows_of_the_index_fall_to_the_filter_gets_its_exact_ones(tmp_path: Path) -> None:
    draw = np.random.default_rng(3)
    labels = np.array(["bridge"] * 2_800 + ["PASS"] * 200, dtype=object)
    paths = np.array([f"{number:04d}" for number in range(3_000)], dtype=object)
    vectors = draw.normal(size=(3_000, 8)).astype(np.float32)
    vectors[:2_800, 0] += 6  # a cloud of defects, with one PASS target in it
    with embedding_writer(tmp_path / "cloud.parquet", {}) as writer:
        writer.write(pa.table({"filepath": paths, "label": labels}), vectors)
    rows = pd.DataFrame({"filepath": [f"t{number}" for number in range(300)], "label": "bridge"})
    rows.loc[153, "label"] = "PASS"  # none of those that recall is measured on
    targets, rule = Embedded(rows, vectors[:300]), Rule(5)
    pool = EmbeddingTable.open(tmp_path / "cloud.parquet")
    found, use = select_by_index(targets, pool, rule, already=set())
    assert use.used == "ivf"
    assert "" not in found.kept
    exact = select(targets, pool, rule, already=set()).neighbours
    ours, theirs = (
        table[table["target_filepath"] == "t153"].reset_index(drop=True)
        for table in (found.neighbours, exact)
    )
    pd.testing.assert_frame_equal(ours, theirs)
    assert len(ours) == 5


def test_what_was_mined_before_is_not_found_by_index_either(pool: EmbeddingTable, targets: Embedded) -> None:
    before = set(select(targets, pool, RULE, already=set()).kept[:50])
    found, use = select_by_index(targets, pool, RULE, already=before)
    assert use.used == "ivf"
    assert not before & set(found.kept)
