from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from deft.embedding.encoders import Encoder, Sample, load_encoder
from deft.errors import EnvironmentMissing, InputRefused, UsageError
from deft.files import read_json, write_json
from tiny_models import SIDE, draw_images, save_clip, save_pair_checkpoint, save_siglip

torch.set_num_threads(1)


def vectors(encoder: Encoder, paths: list[str]) -> np.ndarray:
    tower = encoder.components[0]
    return tower.embed([tower.load((path,)) for path in paths])


def test_siglip_gives_the_pooled_features_of_resized_and_centred_pixels(tmp_path: Path) -> None:
    folder, paths = save_siglip(tmp_path / "model"), draw_images(tmp_path, 3)
    found = vectors(load_encoder("SigLIP", str(folder)), paths)

    from transformers import SiglipModel

    pixels = np.stack(
        [np.asarray(Image.open(path).resize((SIDE, SIDE), Image.Resampling.BICUBIC)) for path in paths]
    )
    batch = torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255 * 2 - 1
    with torch.no_grad():
        expected = SiglipModel.from_pretrained(folder).vision_model(batch).pooler_output
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert found.dtype == np.float32


def test_clip_gives_projected_features_that_are_not_normalised(tmp_path: Path) -> None:
    found = vectors(load_encoder("CLIP", str(save_clip(tmp_path / "model"))), draw_images(tmp_path, 2))
    assert found.shape == (2, 6)
    assert not np.allclose(np.linalg.norm(found, axis=1), 1.0)


def test_an_image_has_one_vector_whatever_batch_it_came_in(tmp_path: Path) -> None:
    encoder, paths = load_encoder("SigLIP", str(save_siglip(tmp_path / "model"))), draw_images(tmp_path, 5)
    alone = np.concatenate([vectors(encoder, [path]) for path in paths])
    np.testing.assert_allclose(vectors(encoder, paths), alone, atol=1e-5)


def test_the_identity_follows_the_weights_and_not_the_place_of_the_folder(tmp_path: Path) -> None:
    one, same, other = (
        load_encoder("SigLIP", str(save_siglip(tmp_path / name, seed=seed))).fingerprint
        for name, seed in (("one", 0), ("same", 0), ("other", 1))
    )
    assert one == same
    assert {field for field in one if one[field] != other[field]} == {"identity"}


def test_the_fingerprint_follows_the_preprocessing(tmp_path: Path) -> None:
    folder = save_siglip(tmp_path / "model")
    before = load_encoder("SigLIP", str(folder)).fingerprint
    settings = folder / "preprocessor_config.json"
    write_json(settings, {**read_json(settings), "image_mean": [0.1, 0.1, 0.1]})
    assert load_encoder("SigLIP", str(folder)).fingerprint["preprocessing"] != before["preprocessing"]


@pytest.mark.parametrize("model", ["siglip", "SigLIP2", ""])
def test_a_name_that_is_no_encoder_is_refused_with_the_names_that_are(model: str) -> None:
    with pytest.raises(UsageError, match="one of SigLIP, CLIP, deft_pair"):
        load_encoder(model, "anything")


def test_a_folder_that_holds_another_kind_of_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputRefused, match="type siglip, not clip"):
        load_encoder("CLIP", str(save_siglip(tmp_path / "model")))


def test_a_folder_without_weights_says_how_to_stage_them(tmp_path: Path) -> None:
    folder = save_siglip(tmp_path / "model")
    (folder / "model.safetensors").unlink()
    with pytest.raises(EnvironmentMissing, match="hf download"):
        load_encoder("SigLIP", str(folder))


def test_a_path_that_is_neither_a_folder_nor_a_hub_id_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputRefused, match="neither a folder nor a hub id"):
        load_encoder("SigLIP", str(tmp_path / "absent"))


def test_a_hub_id_that_is_not_staged_is_missing_where_there_is_no_network(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(EnvironmentMissing, match="hf download some/model --local-dir"):
        load_encoder("SigLIP", "some/model")


def test_a_hub_model_with_pickled_weights_only_is_fetched_with_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, asked = save_siglip(tmp_path / "model"), []
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")

    def fetch(hub_id: str, allow_patterns: list[str]) -> str:
        asked.append((hub_id, allow_patterns[-1]))
        return str(folder)

    monkeypatch.setattr("huggingface_hub.snapshot_download", fetch)
    load_encoder("SigLIP", "some/model")
    assert asked == [("some/model", "*.safetensors"), ("some/model", "pytorch_model*.bin")]


def test_preprocessing_is_found_inside_a_processors_description(tmp_path: Path) -> None:
    folder = save_siglip(tmp_path / "model")
    settings = folder / "preprocessor_config.json"
    before = load_encoder("SigLIP", str(folder)).fingerprint
    write_json(folder / "processor_config.json", {"image_processor": read_json(settings)})
    settings.unlink()
    assert load_encoder("SigLIP", str(folder)).fingerprint == before
    (folder / "processor_config.json").unlink()
    with pytest.raises(EnvironmentMissing, match=r"lacks preprocessor_config\.json"):
        load_encoder("SigLIP", str(folder))


@pytest.mark.parametrize(("text", "reason"), [("{", "not JSON"), ("[]", "not a JSON object")])
def test_a_damaged_description_of_a_model_is_refused_by_name(tmp_path: Path, text: str, reason: str) -> None:
    folder = save_siglip(tmp_path / "model")
    (folder / "config.json").write_text(text)
    with pytest.raises(InputRefused, match=reason):
        load_encoder("SigLIP", str(folder))


def test_weights_that_lack_a_parameter_are_refused_rather_than_drawn_at_random(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder, paths = save_siglip(tmp_path / "model"), draw_images(tmp_path, 1)
    weights = load_file(folder / "model.safetensors")
    weights.pop("vision_model.post_layernorm.weight")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputRefused, match=r"lack 1 parameters, first .*post_layernorm"):
        vectors(load_encoder("SigLIP", str(folder)), paths)


def test_pickled_weights_that_would_run_code_are_refused(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path.touch, (str(tmp_path / "sprung"),))

    folder, paths = save_siglip(tmp_path / "model"), draw_images(tmp_path, 1)
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps({"weight": Trap()}, protocol=2))
    with pytest.raises(InputRefused, match="cannot be loaded"):
        vectors(load_encoder("SigLIP", str(folder)), paths)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("suffix", [".pth", ".CKPT"])
def test_a_tao_checkpoint_needs_its_config_whatever_the_model_is_called(tmp_path: Path, suffix: str) -> None:
    checkpoint, config = tmp_path / f"model{suffix}", tmp_path / "spec.yaml"
    with pytest.raises(UsageError, match="model_config_path is required"):
        load_encoder("SigLIP", str(checkpoint))
    with pytest.raises(InputRefused, match="model_path names a file that does not exist"):
        load_encoder("CLIP", str(checkpoint), str(config))
    checkpoint.touch()
    with pytest.raises(InputRefused, match="model_config_path names a file that does not exist"):
        load_encoder("CLIP", str(checkpoint), str(config))
    config.touch()
    with pytest.raises(EnvironmentMissing, match="--platform docker"):
        load_encoder("CLIP", str(checkpoint), str(config))


# --- deft_pair -------------------------------------------------------------------------------


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
