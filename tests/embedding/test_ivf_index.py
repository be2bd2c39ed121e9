"""An index is kept by its pool's content, found whole or not at all, and names what is near."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from deft.embedding import ivf_index
from deft.embedding.ivf_index import IvfIndex
from deft.embedding.tables import EmbeddingTable
from deft.errors import EnvironmentMissing
from deft.workspace.layout import cache_home
from shard_fixtures import draw_vectors

pytestmark = [
    pytest.mark.filterwarnings("ignore:builtin type:DeprecationWarning"),  # of faiss's own bindings
    pytest.mark.usefixtures("faiss"),
]


@pytest.fixture
def pool(tmp_path: Path) -> EmbeddingTable:
    return EmbeddingTable.open(draw_vectors(tmp_path / "pool.parquet", 2_000, seed=0, width=8))


def kept() -> list[Path]:
    return sorted((cache_home() / "indexes").glob("*.ivf"))


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_a_row_is_near_itself(pool: EmbeddingTable, metric: str) -> None:
    rows = np.arange(0, 2_000, 40)
    near = IvfIndex.of(pool, metric).near(pool.vectors_at(rows), 20)
    found = [row in named for row, named in zip(rows.tolist(), near.tolist(), strict=True)]
    assert np.mean(found) > 0.9


def test_an_index_is_built_once_for_a_content(pool: EmbeddingTable, monkeypatch: pytest.MonkeyPatch) -> None:
    first = IvfIndex.of(pool, "cosine").near(pool.vectors_at(np.arange(5)), 3)
    monkeypatch.setattr(ivf_index, "_build", lambda *_: pytest.fail("built again"))
    again = IvfIndex.of(pool, "cosine").near(pool.vectors_at(np.arange(5)), 3)
    np.testing.assert_array_equal(again, first)


def test_another_content_and_another_metric_have_their_own(pool: EmbeddingTable, tmp_path: Path) -> None:
    IvfIndex.of(pool, "cosine")
    IvfIndex.of(pool, "euclidean")
    other = EmbeddingTable.open(draw_vectors(tmp_path / "other.parquet", 300, seed=1, width=8))
    IvfIndex.of(other, "cosine")
    assert len(kept()) == 3


def test_a_crash_while_an_index_is_built_leaves_the_old_one_whole(
    pool: EmbeddingTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    IvfIndex.of(pool, "cosine")
    (path,) = kept()
    content = path.read_bytes()
    path.with_suffix(".json").unlink()  # it is to be built again

    def crash(faiss, pool, metric):
        raise KeyboardInterrupt

    monkeypatch.setattr(ivf_index, "_build", crash)
    with pytest.raises(KeyboardInterrupt):
        IvfIndex.of(pool, "cosine")
    assert path.read_bytes() == content
    assert [path.name for path in path.parent.iterdir()] == [path.name]


def test_a_damaged_index_is_built_again(pool: EmbeddingTable) -> None:
    IvfIndex.of(pool, "cosine")
    (path,) = kept()
    content = path.read_bytes()
    path.write_bytes(content[:-100])
    IvfIndex.of(pool, "cosine")
    assert len(path.read_bytes()) == len(content)


def test_without_faiss_the_way_to_it_is_told(pool: EmbeddingTable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(EnvironmentMissing, match=r"faiss is not installed(?s:.*)deft-aoi\[index\]"):
        IvfIndex.of(pool, "cosine")
