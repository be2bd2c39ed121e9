"""A path of the encoder that mining could not read is refused before anybody approves it."""

from __future__ import annotations

import pytest

from deft.errors import InputRefused, UsageError
from deft.preflight.encoder import encoder_checks, with_readable_encoder
from deft.preflight.plan import make_plan
from loop_fixtures import use_stub
from tiny_workspace import make_workspace


def settings(path: str, encoder: str = "SigLIP", source: str = "user"):
    return {
        "encoder": {"value": encoder, "source": "user"},
        "encoder_path": {"value": path, "source": source},
    }


@pytest.fixture
def model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    return tmp_path / "model"


@pytest.mark.parametrize("text", ["model", "./model", "~/model", "../{parent}/model"])
def test_a_folder_is_planned_in_full_wherever_the_run_is_started(model, text):
    settled = with_readable_encoder(settings(text.format(parent=model.parent.name)))
    assert settled["encoder_path"] == {"value": str(model), "source": "user"}


@pytest.mark.parametrize("name", ["google/siglip-base-patch16-224", "openai/clip-vit-base-patch32", "gpt2"])
def test_a_hub_id_stays_as_it_is(name):
    assert with_readable_encoder(settings(name))["encoder_path"]["value"] == name


@pytest.mark.parametrize(
    "text", ["/nope", "./nope", "../nope", "~/nope", "~nobody/nope", "a/b/c", "", "t.pth"]
)
def test_what_is_neither_a_folder_nor_a_hub_id_is_refused(model, text):
    with pytest.raises(InputRefused, match=r"neither a folder[\s\S]*hf download"):
        with_readable_encoder(settings(text))


def test_a_folder_without_a_model_and_a_file_are_refused(model):
    (model / "config.json").rename(model.parent / "file")
    for text in ("model", "file"):
        with pytest.raises(InputRefused, match="that holds a model"):
            with_readable_encoder(settings(text))


def test_a_path_that_the_pair_encoder_would_not_read_is_refused(model):
    with pytest.raises(UsageError, match=r"takes no path[\s\S]*--encoder SigLIP"):
        with_readable_encoder(settings(str(model), "deft_pair"))


def test_a_default_is_no_path_of_the_users():
    for given in (settings("", "deft_pair", "default"), settings("any thing", source="default")):
        assert with_readable_encoder(given) == given


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"encoder": "SigLIP", "encoder_path": "/nope"}, InputRefused),
        ({"encoder_path": "google/siglip-base-patch16-224"}, UsageError),
        ({"precision": "fp8"}, UsageError),
    ],
)
def test_pre_flight_makes_no_plan_with_it(tmp_path, monkeypatch, given, error):
    use_stub(monkeypatch)
    workspace = make_workspace(tmp_path / "workspace")
    with pytest.raises(error):
        make_plan(workspace, target=None, platform="embedded", given=given)


def chosen(path: str, encoder: str = "SigLIP", mining: str = "targets"):
    return {**settings(path, encoder, "default"), "mining": {"value": mining, "source": "default"}}


@pytest.fixture
def hub(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub" / "models--google--siglip-base-patch16-224"


def stage(hub, *names: str) -> None:
    snapshot = hub / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (hub / "refs").mkdir()
    (hub / "refs" / "main").write_text("abc")
    for name in names:
        (snapshot / name).write_text("{}")


def test_a_hub_model_that_is_not_on_this_machine_is_missing_before_the_night(hub):
    (check,) = encoder_checks(chosen("google/siglip-base-patch16-224"))
    assert not check.passed
    assert "hf download google/siglip-base-patch16-224" in check.cure


def test_a_hub_model_on_this_machine_is_found_if_its_weights_are(hub):
    stage(hub, "config.json")
    assert not encoder_checks(chosen("google/siglip-base-patch16-224"))[0].passed
    (hub / "snapshots" / "abc" / "model.safetensors").write_text("x")
    assert encoder_checks(chosen("google/siglip-base-patch16-224"))[0].passed


@pytest.mark.parametrize("name", ["foo--bar", "a..b/c", "a.git", "x" * 120])
def test_a_name_that_the_hub_does_not_allow_is_missing_and_no_internal_error(hub, name):
    assert not encoder_checks(chosen(name))[0].passed


def test_an_encoder_that_nothing_will_ask_for_is_not_looked_for(model, hub):
    for given in (chosen("", "deft_pair"), chosen("google/x", mining="none"), chosen(str(model))):
        assert encoder_checks(given) == []


def test_pre_flight_looks_for_the_encoder_of_a_spec_with_a_real_backbone(tmp_path, monkeypatch, hub):
    use_stub(monkeypatch)
    workspace = make_workspace(tmp_path / "workspace")
    given = {"encoder": "SigLIP"}
    _, _, checks = make_plan(workspace, target=None, platform="embedded", given=given)
    assert [check.name for check in checks if not check.passed] == ["encoder"]
