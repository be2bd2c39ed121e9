from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch

from conformance import difference
from deft.embedding import deft_pair, siglip_clip
from deft.embedding.samples import SampleEmbedder
from deft.embedding.sets import EmbeddingSet, require_same_encoder
from deft.errors import DeftError, InputRefused, StageFailed, UsageError
from deft.tools.image_embeddings import ImageEmbeddingsConfig, run
from deft.workspace.layout import cache_home
from tiny_models import draw_images, save_pair_checkpoint, save_siglip

torch.set_num_threads(1)
Embed = Callable[..., Path]


def call(folder: Path, table: pd.DataFrame, name: str, **keys: Any) -> Path:
    table.to_parquet(folder / f"{name}_in.parquet", index=False)
    output = folder / f"{name}.parquet"
    run(
        ImageEmbeddingsConfig(
            input_parquet=str(folder / f"{name}_in.parquet"), output_parquet=str(output), **keys
        )
    )
    return output


@pytest.fixture
def siglip(tmp_path: Path) -> Embed:
    keys = {"model": "SigLIP", "model_path": str(save_siglip(tmp_path / "model"))}
    return lambda table, name="e", **more: call(tmp_path, table, name, **{**keys, **more})


@pytest.fixture
def pair(tmp_path: Path) -> Embed:
    keys = {"model": "deft_pair", "model_path": str(save_pair_checkpoint(tmp_path / "model.pth"))}
    return lambda table, name="e", **more: call(tmp_path, table, name, **{**keys, **more})


def images(tmp_path: Path, count: int) -> pd.DataFrame:
    return pd.DataFrame({"filepath": draw_images(tmp_path / "images", count)})


def pairs(tmp_path: Path, count: int) -> pd.DataFrame:
    paths = draw_images(tmp_path / "images", 2 * count)
    return pd.DataFrame({"filepath": paths[:count], "golden_filepath": paths[count:], "label": "PASS"})


def broken(tmp_path: Path) -> str:
    (tmp_path / "broken.png").write_bytes(b"no image")
    return str(tmp_path / "broken.png")


def empty_the_cache() -> None:
    for path in (cache_home() / "embeddings").glob("*/*"):
        path.unlink()


# --- rows ------------------------------------------------------------------------------------


def test_columns_are_carried_by_position(siglip: Embed, tmp_path: Path) -> None:
    paths = draw_images(tmp_path / "images", 2)
    table = pd.DataFrame(
        {
            "label": ["a", None, "c"],
            "filepath": [paths[0], paths[1], paths[0]],
            "embedding": [1, 2, 3],
            "n": [7, 8, 9],
        }
    )
    found = pq.read_table(siglip(table))
    assert found.column_names == ["filepath", "embedding", "label", "n"]
    assert found["label"].to_pylist() == ["a", None, "c"]
    assert found["n"].to_pylist() == [7, 8, 9]
    vectors = found["embedding"].to_pylist()
    assert vectors[0] == vectors[2] != vectors[1]


def test_a_bad_image_costs_its_row_and_is_listed_with_its_reason(siglip: Embed, tmp_path: Path) -> None:
    assert difference("bad-image-recorded")
    table = images(tmp_path, 20)
    table.loc[20] = [broken(tmp_path)]
    table["n"] = range(21)
    table = table.iloc[::-1]
    output = siglip(table)
    assert EmbeddingSet.read(output).table["n"].tolist() == list(range(19, -1, -1))
    listed = pd.read_csv(tmp_path / "e_rejected.csv")
    assert listed["filepath"].tolist() == [broken(tmp_path)]
    assert listed["row"].tolist() == [1]
    assert "image cannot be read" in listed["reason"][0]


def test_a_table_names_the_precision_that_was_asked_for(siglip: Embed, tmp_path: Path) -> None:
    assert difference("embedding-precision")
    exact, fast = (
        EmbeddingSet.read(siglip(images(tmp_path, 3), name, precision=name)) for name in ("fp32", "bf16")
    )
    assert (exact.fingerprint["precision"], fast.fingerprint["precision"]) == ("fp32", "bf16")
    assert not np.array_equal(exact.matrix, fast.matrix)
    with pytest.raises(InputRefused, match="precision is fp32 and bf16"):
        require_same_encoder(exact, fast)


def test_the_log_counts_images_and_rejects(
    siglip: Embed, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = images(tmp_path, 20)
    table.loc[20] = ["absent.png"]
    siglip(table)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Total images to process: 21"
    assert lines[1].startswith("Rejected images: 1 of 21, listed in ")


def test_more_than_one_bad_image_in_twenty_stops_the_run_without_output(
    siglip: Embed, tmp_path: Path
) -> None:
    table = images(tmp_path, 18)
    table.loc[18] = ["absent.png"]
    with pytest.raises(StageFailed, match=r"1 of 19 rows cannot be embedded, more than 5% \(first: row 19"):
        siglip(table)
    assert not (tmp_path / "e.parquet").exists()
    assert pd.read_csv(tmp_path / "e_rejected.csv")["filepath"].tolist() == ["absent.png"]


def test_images_mended_in_place_are_looked_at_again(siglip: Embed, tmp_path: Path) -> None:
    table = pd.DataFrame({"filepath": [broken(tmp_path)]})
    with pytest.raises(StageFailed):
        siglip(table)
    draw_images(tmp_path / "images", 1)
    (tmp_path / "images" / "000.png").rename(tmp_path / "broken.png")
    assert len(EmbeddingSet.read(siglip(table)).matrix) == 1
    assert not (tmp_path / "e_rejected.csv").exists()


@pytest.mark.parametrize(
    ("keys", "kind"),
    [
        ({"batch_size": 0}, UsageError),
        ({"model": "siglip"}, UsageError),
        ({"statistics_parquet": "pool.parquet"}, UsageError),
        ({"model_path": "/absent"}, InputRefused),
    ],
)
def test_keys_that_cannot_be_used_are_refused_before_anything_is_written(
    siglip: Embed, tmp_path: Path, keys: dict[str, Any], kind: type[DeftError]
) -> None:
    with pytest.raises(kind):
        siglip(images(tmp_path, 1), **keys)
    assert not list(tmp_path.glob("e.parquet*"))


# --- resuming and reuse ----------------------------------------------------------------------


def test_a_killed_run_resumes_at_the_first_missing_part_and_ends_byte_identical(
    siglip: Embed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(siglip_clip, "ROWS_PER_PART", 2)
    table, real = images(tmp_path, 7), siglip_clip.ImageTower.embed
    whole = siglip(table, batch_size=2).read_bytes()
    empty_the_cache()
    seen: list[int] = []

    def die_in_the_third_part(self: Any, loaded: Any) -> Any:
        if len(seen) == 2:
            raise KeyboardInterrupt
        seen.append(len(loaded))
        return real(self, loaded)

    monkeypatch.setattr(siglip_clip.ImageTower, "embed", die_in_the_third_part)
    (tmp_path / "e.parquet").unlink()
    with pytest.raises(KeyboardInterrupt):
        siglip(table, batch_size=2)
    assert not (tmp_path / "e.parquet").exists()
    empty_the_cache()

    def count(self: Any, loaded: Any) -> Any:
        seen.append(len(loaded))
        return real(self, loaded)

    monkeypatch.setattr(siglip_clip.ImageTower, "embed", count)
    assert siglip(table, batch_size=2).read_bytes() == whole
    assert seen == [2, 2, 2, 1]
    assert not (tmp_path / "e.parquet.parts").exists()


@pytest.mark.parametrize(("model", "column"), [("siglip", "filepath"), ("pair", "golden_filepath")])
def test_an_image_replaced_between_kill_and_resume_is_embedded_as_it_is_now(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str, column: str
) -> None:
    embed: Embed = request.getfixturevalue(model)
    monkeypatch.setattr(deft_pair, "ITEMS_PER_CALL", 2)
    monkeypatch.setattr(siglip_clip, "ROWS_PER_PART", 2)
    table, real = pairs(tmp_path, 6), SampleEmbedder.embed
    seen: list[int] = []

    def die_in_the_third_part(self: Any, samples: Any, *more: Any) -> Any:
        if len(seen) == 2:
            raise KeyboardInterrupt
        seen.append(len(samples))
        return real(self, samples, *more)

    monkeypatch.setattr(SampleEmbedder, "embed", die_in_the_third_part)
    with pytest.raises(KeyboardInterrupt):
        embed(table, batch_size=2)
    replaced = Path(table[column][3])
    before = replaced.stat()
    replaced.write_bytes(Path(draw_images(tmp_path / "other", 1, seed=9)[0]).read_bytes())
    os.utime(replaced, ns=(before.st_atime_ns, before.st_mtime_ns))

    def count(self: Any, samples: Any, *more: Any) -> Any:
        seen.append(len(samples))
        return real(self, samples, *more)

    monkeypatch.setattr(SampleEmbedder, "embed", count)
    resumed = embed(table, batch_size=2).read_bytes()
    assert seen == [2, 2, 2, 2]  # of the first two parts the second alone
    assert resumed == embed(table, "anew", batch_size=2).read_bytes()


def test_what_was_embedded_before_is_not_embedded_again(
    siglip: Embed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = images(tmp_path, 3)
    before = siglip(table).read_bytes()

    def fail(*_: object) -> None:
        raise AssertionError("the model was loaded")

    monkeypatch.setattr(siglip_clip, "load_two_towers", fail)
    assert siglip(table).read_bytes() == before


def test_progress_is_told_to_a_platform_that_listens(
    siglip: Embed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DEFT_PROGRESS", "1")
    siglip(images(tmp_path, 3), batch_size=2)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("PROGRESS ")]
    assert lines[0] == 'PROGRESS {"done": 2, "total": 3, "unit": "row"}'
    assert lines[-1] == 'PROGRESS {"done": 3, "total": 3, "unit": "row"}'


# --- deft_pair -------------------------------------------------------------------------------


def test_targets_embedded_with_the_pools_statistics_fall_on_their_own_rows(
    pair: Embed, tmp_path: Path
) -> None:
    table = pairs(tmp_path, 6)
    pool = EmbeddingSet.read(pair(table, "pool"))
    targets = EmbeddingSet.read(
        pair(table[2:4], "targets", statistics_parquet=str(tmp_path / "pool.parquet"))
    )
    require_same_encoder(pool, targets)
    np.testing.assert_allclose(targets.matrix, pool.matrix[2:4], atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(pool.matrix, axis=1), 1.0, atol=1e-5)
    assert pool.table["label"].tolist() == ["PASS"] * 6


def test_targets_embedded_by_themselves_may_not_be_compared_with_the_pool(
    pair: Embed, tmp_path: Path
) -> None:
    table = pairs(tmp_path, 6)
    pool, alone = (
        EmbeddingSet.read(pair(rows, name)) for rows, name in ((table, "pool"), (table[2:4], "alone"))
    )
    with pytest.raises(InputRefused, match="different encoders"):
        require_same_encoder(pool, alone)


def test_targets_of_another_checkpoint_are_refused_before_they_are_embedded(
    pair: Embed, tmp_path: Path
) -> None:
    table = pairs(tmp_path, 3)
    pair(table, "pool")
    newer = str(save_pair_checkpoint(tmp_path / "newer.pth", seed=1))
    with pytest.raises(InputRefused, match="identity is"):
        pair(table, "targets", model_path=newer, statistics_parquet=str(tmp_path / "pool.parquet"))
    assert not list(tmp_path.glob("targets.parquet*"))


def test_no_targets_give_an_empty_table_of_the_pools_encoder(pair: Embed, tmp_path: Path) -> None:
    table = pairs(tmp_path, 3)
    pool = EmbeddingSet.read(pair(table, "pool"))
    none = EmbeddingSet.read(pair(table[:0], "none", statistics_parquet=str(tmp_path / "pool.parquet")))
    require_same_encoder(pool, none)
    assert none.filepaths == []


def test_a_row_without_a_golden_is_rejected(pair: Embed, tmp_path: Path) -> None:
    table = pairs(tmp_path, 21)
    table.loc[4, "golden_filepath"] = None
    assert len(EmbeddingSet.read(pair(table)).matrix) == 20
    assert pd.read_csv(tmp_path / "e_rejected.csv")["row"].tolist() == [5]


def test_a_table_without_goldens_names_the_column_it_lacks(pair: Embed, tmp_path: Path) -> None:
    with pytest.raises(StageFailed, match="golden_filepath"):
        pair(images(tmp_path, 2))


def test_all_lights_of_a_component_count_and_it_keeps_the_path_of_the_first(
    pair: Embed, tmp_path: Path
) -> None:
    table = pairs(tmp_path, 4)
    lit = table.assign(
        light_filepaths=[[path, table["filepath"][3]] for path in table["filepath"]],
        golden_light_filepaths=[[path, path] for path in table["golden_filepath"]],
    )
    one, two = (EmbeddingSet.read(pair(rows, name)) for rows, name in ((table, "one"), (lit, "two")))
    assert one.filepaths == two.filepaths
    assert not np.allclose(one.matrix, two.matrix)


def test_a_new_checkpoint_reuses_appearance_and_a_repeated_call_computes_nothing(
    pair: Embed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = pairs(tmp_path, 4)
    pair(table, "first")

    def fail(*_: object) -> None:
        raise AssertionError("computed again")

    monkeypatch.setattr("deft.embedding.deft_pair.appearance_embedding", fail)
    newer = str(save_pair_checkpoint(tmp_path / "newer.pth", seed=1))
    second = pair(table, "second", model_path=newer).read_bytes()
    monkeypatch.setattr("deft.embedding.deft_pair.pair_embedding", fail)
    assert pair(table, "second", model_path=newer).read_bytes() == second
