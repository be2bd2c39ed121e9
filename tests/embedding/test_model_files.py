"""The files of weights that an approval is bound to, and those that must not appear beside them."""

from __future__ import annotations

import pytest

from deft import files
from deft.embedding.model_files import backbone_files, encoder_files, model_digests


@pytest.fixture
def weights(tmp_path):
    return files.write_text(tmp_path / "shared" / "backbone.safetensors", "weights")


@pytest.fixture
def encoder(tmp_path):
    for name in ("config.json", "model.safetensors", "tokenizer.model", "README.md"):
        files.write_text(tmp_path / "siglip" / name, name)
    return tmp_path / "siglip"


def spec(path):
    return {"model": {"backbone": {"type": "vit_small_dinov2", "pretrained_backbone_path": path}}}


def settings(path, encoder="SigLIP"):
    return {"encoder": {"value": encoder}, "encoder_path": {"value": str(path)}}


def test_a_backbone_is_named_in_full_outside_the_workspace_and_by_its_place_inside(weights, tmp_path):
    digest = files.sha256_of_file(weights)
    hub = settings("google/siglip")
    assert model_digests(spec(str(weights)), hub, tmp_path / "workspace") == {str(weights): digest}
    assert model_digests(spec(str(weights)), hub, tmp_path) == {"shared/backbone.safetensors": digest}


@pytest.mark.parametrize("path", [None, "", 7, "facebook/dinov2-small", "/nope.pth", "/"])
def test_what_names_no_file_here_is_no_model_file(path):
    assert backbone_files(spec(path)) == []


@pytest.mark.parametrize("empty", [{}, {"model": None}, {"model": {"backbone": None}}])
def test_a_spec_without_a_backbone_names_none(empty):
    assert backbone_files(empty) == []


def test_an_encoder_is_its_config_its_weights_and_what_prepares_its_images(encoder):
    names = [path.name for path in encoder_files(settings(encoder))]
    assert names == ["config.json", "model.safetensors", "tokenizer.model"]


def test_files_that_a_loader_would_take_first_are_agreed_to_be_absent(encoder, tmp_path):
    digests = model_digests({}, settings(encoder), tmp_path)
    assert digests["siglip/model.safetensors"] == files.sha256_of_file(encoder / "model.safetensors")
    assert digests["siglip/adapter_config.json"] is None
    assert "siglip/README.md" not in digests


@pytest.mark.parametrize(
    ("path", "name"), [("google/siglip", "SigLIP"), ("", "SigLIP"), ("/nope", "CLIP"), ("/", "deft_pair")]
)
def test_a_hub_id_and_the_pair_encoder_name_no_file(path, name):
    assert encoder_files(settings(path, name)) == []
