from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from deft.embedding.encoders import Encoder, load_encoder
from deft.errors import EnvironmentMissing, InputRefused
from deft.files import read_json, write_json
from tiny_models import SIDE, draw_images, save_clip, save_siglip

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
    with pytest.raises(InputRefused, match=r"cannot be read[\s\S]*pytorch_model\.bin"):
        vectors(load_encoder("SigLIP", str(folder)), paths)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(("model", "save"), [("SigLIP", save_siglip), ("CLIP", save_clip)])
def test_bfloat16_keeps_the_direction_of_every_vector_and_is_named_in_the_fingerprint(
    model: str, save: Callable[[Path], Path], tmp_path: Path
) -> None:
    folder, paths = str(save(tmp_path / "model")), draw_images(tmp_path, 5)
    encoders = [load_encoder(model, folder, precision=precision) for precision in ("fp32", "bf16")]
    exact, fast = (vectors(encoder, paths) for encoder in encoders)
    cosines = (exact * fast).sum(1) / np.linalg.norm(exact, axis=1) / np.linalg.norm(fast, axis=1)
    assert cosines.min() > 0.999  # a width of 8 averages less rounding than one of 768
    assert not np.array_equal(exact, fast)
    assert [encoder.fingerprint["precision"] for encoder in encoders] == ["fp32", "bf16"]
    assert encoders[0].components[0].identity != encoders[1].components[0].identity
