from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from deft.embedding.encoders import Encoder, Sample, load_encoder
from deft.errors import InputRefused
from tiny_models import draw_images, save_pair_checkpoint

torch.set_num_threads(1)


@pytest.fixture
def pair(tmp_path: Path) -> Encoder:
    checkpoint = save_pair_checkpoint(tmp_path / "model.pth")
    return load_encoder("deft_pair", str(checkpoint), calibration=draw_images(tmp_path / "pool", 4, seed=9))


def comparison(encoder: Encoder, samples: list[Sample]) -> np.ndarray:
    component = encoder.components[0]
    return component.embed([component.load(item) for sample in samples for item in component.items(sample)])


def test_the_pair_component_follows_the_golden_and_appearance_does_not(pair: Encoder, tmp_path: Path) -> None:
    test, golden, other = draw_images(tmp_path, 3)
    samples = [Sample((test,), (golden,)), Sample((test,), (other,))]
    first, second = comparison(pair, samples)
    assert not np.allclose(first, second)
    assert pair.components[1].items(samples[0]) == pair.components[1].items(samples[1])


def test_rows_with_different_numbers_of_lights_keep_their_order(pair: Encoder, tmp_path: Path) -> None:
    a, b, c, golden = draw_images(tmp_path, 4)
    samples = [
        Sample((a,), (golden,)),
        Sample((a, b), (golden, golden)),
        Sample((c,), (golden,)),
    ]
    together = comparison(pair, samples)
    alone = np.concatenate([comparison(pair, [sample]) for sample in samples])
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_a_second_light_that_shows_the_same_changes_nothing(pair: Encoder, tmp_path: Path) -> None:
    test, golden = draw_images(tmp_path, 2)
    one, two = comparison(pair, [Sample((test,), (golden,)), Sample((test, test), (golden, golden))])
    np.testing.assert_allclose(one, two, atol=1e-5)


@pytest.mark.parametrize(
    ("goldens", "reason"), [((), "no golden image"), (("g.png", "h.png"), "1 images but 2 goldens")]
)
def test_a_row_whose_goldens_do_not_match_its_images_is_refused(
    pair: Encoder, goldens: tuple[str, ...], reason: str
) -> None:
    with pytest.raises(InputRefused, match=reason):
        pair.components[0].items(Sample(("t.png",), goldens))


def test_appearance_outlives_a_new_checkpoint_and_the_pair_component_does_not(tmp_path: Path) -> None:
    pool = draw_images(tmp_path / "pool", 3)
    old, new = (
        load_encoder(
            "deft_pair", str(save_pair_checkpoint(tmp_path / f"{seed}.pth", seed=seed)), calibration=pool
        )
        for seed in (0, 1)
    )
    assert old.components[0].identity != new.components[0].identity
    assert old.components[1].identity == new.components[1].identity
    assert old.fingerprint["identity"] != new.fingerprint["identity"]


def test_calibration_takes_images_spread_over_the_pool_and_leaves_out_broken_ones(tmp_path: Path) -> None:
    from deft.embedding.deft_pair import calibration_images

    paths = draw_images(tmp_path, 5)
    Path(paths[1]).write_bytes(b"no image")
    assert calibration_images([Sample((path,)) for path in paths]) == [*paths[:1], *paths[2:]]
    many = calibration_images([Sample((paths[0],))] * 255 + [Sample((paths[4],))] * 257)
    assert len(many) == 256
    assert {paths[0], paths[4]} == set(many)


def test_a_checkpoint_that_is_not_there_and_an_empty_pool_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputRefused, match="not a checkpoint file"):
        load_encoder("deft_pair", str(tmp_path / "absent.pth"), calibration=["a.png"])
    with pytest.raises(InputRefused, match="no readable image of the pool"):
        load_encoder("deft_pair", str(save_pair_checkpoint(tmp_path / "model.pth")))


def test_no_image_is_computed_alone_because_its_vector_would_round_differently(
    pair: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []

    def record(checkpoint: Path, golden: np.ndarray, test: np.ndarray) -> np.ndarray:
        sizes.append(len(test))
        return test.reshape(len(test), -1).astype(np.float32)

    monkeypatch.setattr("deft.embedding.deft_pair.pair_embedding", record)
    tests, golden = draw_images(tmp_path, 3), draw_images(tmp_path / "golden", 1, seed=5)[0]
    for count in (1, 2, 3):
        assert len(comparison(pair, [Sample((test,), (golden,)) for test in tests[:count]])) == count
    assert sizes == [2, 2, 4]
