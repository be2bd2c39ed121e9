"""However an embedding is cut up, it is to the byte that of one process, and nothing is embedded twice."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from deft import files
from deft.embedding.cache import VectorCache
from deft.embedding.sets import EmbeddingSet
from deft.errors import InputRefused, StageFailed
from deft.shards import images
from deft.shards.embedding_work import EmbeddingWork
from deft.shards.ledger import ShardFolder
from deft.shards.worker import DONE, DONE_BEFORE, run_shard
from deft.steps.shard import reduce_shards
from deft.tools.image_embeddings import ImageEmbeddingsConfig, run
from deft.workspace.layout import cache_home
from shard_fixtures import Embedding
from tiny_models import draw_images, save_siglip

torch.set_num_threads(1)
MODELS = ("SigLIP", "deft_pair")


def do_all(folder: ShardFolder, order: Any = None) -> Path:
    for number in range(len(folder.shards)) if order is None else order:
        run_shard(folder, int(number))
    reduce_shards(folder)
    return folder.root / "embeddings.parquet"


def unsharded(embedding: Embedding, model: str) -> Path:
    output = embedding.place / f"whole_{model}.parquet"
    run(ImageEmbeddingsConfig(str(embedding.table), str(output), model, str(embedding.models[model])))
    return output


def empty_the_cache() -> None:
    for path in (cache_home() / "embeddings").glob("*/*"):
        path.unlink()


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("shards", [1, 4, 15])
def test_the_table_is_that_of_one_process(embedding: Embedding, model: str, shards: int) -> None:
    whole = unsharded(embedding, model)
    empty_the_cache()
    order = np.random.default_rng(shards).permutation(shards)
    assert do_all(embedding.plan("cut", shards, model), order).read_bytes() == whole.read_bytes()


def test_targets_in_shards_follow_the_pool(embedding: Embedding) -> None:
    pool = unsharded(embedding, "deft_pair")
    made = do_all(embedding.plan("cut", 3, "deft_pair", "--statistics", pool))
    found = EmbeddingSet.read(made)
    assert found.fingerprint == EmbeddingSet.read(pool).fingerprint
    np.testing.assert_array_equal(found.matrix, EmbeddingSet.read(pool).matrix)


def test_what_one_shard_has_embedded_no_other_and_no_later_work_embeds_again(
    embedding: Embedding, monkeypatch: pytest.MonkeyPatch
) -> None:
    added: list[str] = []
    original = VectorCache.add

    def add(cache: VectorCache, vectors: Any) -> None:
        added.extend(vectors)
        original(cache, vectors)

    monkeypatch.setattr(VectorCache, "add", add)
    do_all(embedding.plan("cut", 5))
    contents = {
        files.sha256_of_file(Path(path)) for path in pq.read_table(embedding.table)["filepath"].to_pylist()
    }
    assert sorted(added) == sorted(contents)
    added.clear()
    unsharded(embedding, "SigLIP")
    do_all(embedding.plan("again", 2))
    assert added == []
    table = files.read_parquet(embedding.table)
    fresh = draw_images(embedding.place / "fresh", 2, seed=9)
    table.loc[[1, 7], "filepath"] = fresh
    files.write_parquet(embedding.table, table)
    do_all(embedding.plan("next", 3))
    assert sorted(added) == sorted(files.sha256_of_file(Path(path)) for path in fresh)


def test_a_worker_leaves_the_cache_within_its_bound(
    embedding: Embedding, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = embedding.plan("cut", 2)
    monkeypatch.setattr("deft.embedding.cache.clean.__defaults__", (0, None))
    run_shard(folder, 0)
    assert not list((cache_home() / "embeddings").glob("*/*.npy"))


def test_other_weights_than_the_planned_ones_are_refused(embedding: Embedding) -> None:
    folder = embedding.plan("cut", 2)
    save_siglip(embedding.models["SigLIP"], seed=5)
    with pytest.raises(InputRefused, match="different encoders: identity"):
        run_shard(folder, 0)


def test_rows_that_changed_since_the_plan_are_refused(embedding: Embedding) -> None:
    folder = embedding.plan("cut", 2)
    table = files.read_parquet(embedding.table)
    files.write_parquet(embedding.table, table.iloc[::-1])
    with pytest.raises(InputRefused, match="rows 1 to 7 changed"):
        run_shard(folder, 0)


def test_a_bad_image_costs_its_row_and_many_ask_for_their_shards_again(embedding: Embedding) -> None:
    broken = files.read_parquet(embedding.table)["filepath"][4]
    content = Path(broken).read_bytes()
    folder = embedding.plan("cut", 3)
    Path(broken).write_bytes(b"no image")
    with pytest.raises(StageFailed, match="1 of 15 rows cannot be embedded"):
        do_all(folder)
    assert [shard.id for shard in folder.unfinished()] == ["00000"]
    Path(broken).write_bytes(content)
    assert EmbeddingSet.read(do_all(folder)).matrix.shape == (15, 8)


def replace_first_image(embedding: Embedding) -> None:
    path = Path(files.read_parquet(embedding.table)["filepath"][0])
    path.write_bytes(Path(draw_images(embedding.place / "fresh", 1, seed=9)[0]).read_bytes())


def test_an_image_replaced_since_its_shard_was_done_does_that_shard_again(embedding: Embedding) -> None:
    folder = embedding.plan("cut", 3)
    became = [run_shard(folder, number) for number in range(3)]
    replace_first_image(embedding)
    with pytest.raises(InputRefused, match=r"1 of 3 shards do not count: 00000: images of its rows changed"):
        reduce_shards(folder)
    became += [run_shard(folder, number) for number in range(3)]
    assert became == [DONE, DONE, DONE, DONE, DONE_BEFORE, DONE_BEFORE]
    reduce_shards(folder)
    made = (folder.root / "embeddings.parquet").read_bytes()
    assert made == unsharded(embedding, "SigLIP").read_bytes()


def test_an_image_replaced_while_its_shard_is_done_does_that_shard_again(
    embedding: Embedding, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, real = embedding.plan("cut", 3), EmbeddingWork.compute

    def compute(*given: Any) -> int:
        rows = real(*given)
        replace_first_image(embedding)
        return rows

    monkeypatch.setattr(EmbeddingWork, "compute", compute)
    run_shard(folder, 0)
    assert folder.fault(folder.shard(0)) == "images of its rows changed since"


def test_images_with_another_time_or_out_of_reach_do_not_undo_a_shard(embedding: Embedding) -> None:
    folder, place = embedding.plan("cut", 3), embedding.place / "images"
    run_shard(folder, 0)
    for path in place.iterdir():
        os.utime(path, (1, 1))
    assert run_shard(folder, 0) == DONE_BEFORE
    place.rename(embedding.place / "elsewhere")
    assert run_shard(folder, 0) == DONE_BEFORE


def test_verifying_a_shard_hashes_no_image_that_looks_as_it_did(
    embedding: Embedding, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = embedding.plan("cut", 3)
    run_shard(folder, 0)
    monkeypatch.setattr(images, "sha256_of_file", lambda path: pytest.fail(f"hashed {path}"))
    assert folder.fault(folder.shard(0)) is None


def test_vectors_are_stored_as_was_asked(embedding: Embedding) -> None:
    made = do_all(embedding.plan("cut", 2, "SigLIP", "--storage", "float16"))
    assert str(pq.read_schema(made).field("embedding").type) == "fixed_size_list<element: halffloat>[8]"
    whole = EmbeddingSet.read(unsharded(embedding, "SigLIP"))
    np.testing.assert_array_equal(
        EmbeddingSet.read(made).matrix, whole.matrix.astype(np.float16).astype(np.float32)
    )
