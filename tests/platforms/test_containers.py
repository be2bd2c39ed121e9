"""What all platforms with TAO's images share: one spec a call, images by digest, two proofs of success."""

from __future__ import annotations

from pathlib import Path

import pytest

from deft import files
from deft.errors import InputRefused, StageFailed, UsageError
from deft.platforms import containers
from deft.platforms.base import ToolCall
from deft.platforms.containers import (
    Image,
    container_spec,
    container_words,
    image_of,
    last_status,
    progress_of,
    require_carried,
    require_passed,
    spec_checks,
    stays_on_host,
    tail,
    weights_are_staged,
)

DIGEST = "sha256:" + "a" * 64
TAO = "registry.example/tao/tao-toolkit"


def call(tmp_path: Path, spec: dict | None = None, **given: object) -> ToolCall:
    path = files.write_yaml(tmp_path / "spec.yaml", spec or {})
    fields = {"category": "visual_changenet", "action": "train", "spec": path, "overrides": {}}
    fields |= {"reads": (tmp_path,), "writes": tmp_path, "log": tmp_path / "train.log", **given}
    return ToolCall(**fields)


def test_overrides_stand_in_the_spec_and_none_on_the_command_line(tmp_path: Path) -> None:
    wanted = call(
        tmp_path,
        {"train": {"num_epochs": 3}},
        overrides={"train.results_dir": tmp_path / "a b", "dataset.classify.batch_size": 4},
    )
    assert container_spec(wanted) == {
        "train": {"num_epochs": 3, "results_dir": f"{tmp_path}/a b"},
        "dataset": {"classify": {"batch_size": 4}},
    }
    assert container_words(wanted, Path("/x/spec.yaml")) == [
        "visual_changenet",
        "train",
        "-e",
        "/x/spec.yaml",
    ]
    assert files.read_yaml(wanted.spec) == {"train": {"num_epochs": 3}}


def test_an_override_through_a_plain_value_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"does not fit the spec: train\.epochs"):
        container_spec(call(tmp_path, {"train": 3}, overrides={"train.epochs": 1}))


@pytest.mark.parametrize("reference", [f"{TAO}@{DIGEST}", DIGEST, f"localhost:5000/tao@{DIGEST}"])
def test_an_image_is_taken_by_its_digest(reference: str) -> None:
    image = image_of("embedding", {"data_services_image": reference})
    assert image == Image(reference)
    assert image.digest == DIGEST


@pytest.mark.parametrize("reference", [f"{TAO}:7.1.0-pyt", "tao", f"--privileged@{DIGEST}", "tao@sha256:12"])
def test_an_image_without_a_digest_is_refused_with_the_command_that_shows_it(reference: str) -> None:
    with pytest.raises(UsageError, match="not named by its digest") as refused:
        image_of("visual_changenet", {"train_image": reference})
    assert ("RepoDigests" in refused.value.hint) == ("@" not in reference)


def test_without_a_setting_the_image_of_the_versions_file_is_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    named = {"images.tao_toolkit.pyt": f"{TAO}@{DIGEST}"}
    monkeypatch.setattr(containers, "resolve_versions_key", named.__getitem__)
    assert image_of("visual_changenet", {}).reference == f"{TAO}@{DIGEST}"


def test_a_backbone_of_the_embedded_engine_is_refused_with_others_to_choose(tmp_path: Path) -> None:
    spec = {"task": "classify", "model": {"backbone": {"type": "deft_mid_fusion"}}}
    with pytest.raises(InputRefused, match=r"model\.backbone\.type deft_mid_fusion") as refused:
        require_carried(call(tmp_path, spec))
    assert "c_radio_v2_vit_base_patch16_224" in refused.value.hint
    (check,) = spec_checks(tmp_path / "spec.yaml")
    assert (check.passed, "--platform embedded" in check.cure) == (False, True)


def test_an_encoder_of_the_embedded_engine_is_refused_with_others_to_choose(tmp_path: Path) -> None:
    with pytest.raises(InputRefused, match="encoder deft_pair") as refused:
        require_carried(call(tmp_path, {"model": "deft_pair"}, category="embedding"))
    assert refused.value.hint == "--encoder SigLIP or CLIP"
    require_carried(call(tmp_path, {"model": "CLIP"}, category="embedding"))


def test_only_weights_by_local_path_need_no_network() -> None:
    assert weights_are_staged({"model_path": "/weights"})
    assert weights_are_staged({"train": {}})
    assert not weights_are_staged({"model_path": "google/siglip-base-patch16-224"})


def test_gap_analysis_stays_on_the_host_unless_the_image_is_wanted(tmp_path: Path) -> None:
    gaps = call(tmp_path, category="gap_analysis", action="vcn_aoi")
    assert stays_on_host(gaps, {})
    assert not stays_on_host(gaps, {"gap_analysis": "container"})
    assert not stays_on_host(call(tmp_path), {})


@pytest.mark.parametrize(
    ("code", "last"),
    [(0, "Execution status: FAIL\n"), (1, "Execution status: PASS\n"), (3, "Segmentation fault\n")],
)
def test_a_call_has_passed_only_if_code_and_last_status_say_so(tmp_path: Path, code: int, last: str) -> None:
    wanted = call(tmp_path)
    wanted.log.write_text("Execution status: PASS\n" + last)
    with pytest.raises(StageFailed, match=f"visual_changenet train ended with code {code}") as failed:
        require_passed(wanted, code)
    assert failed.value.hint == f"read {wanted.log}"
    assert last.strip() in failed.value.fact


def test_a_call_that_says_no_status_has_not_passed(tmp_path: Path) -> None:
    wanted = call(tmp_path)
    wanted.log.write_text("done\n")
    with pytest.raises(StageFailed, match="no execution status"):
        require_passed(wanted, 0)
    wanted.log.write_text("done\nExecution status: PASS\n")
    require_passed(wanted, 0)


def test_the_status_of_an_earlier_container_is_not_that_of_the_last_one(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("deft: container a1 of image\nExecution status: PASS\ndeft: container b2 of image\n")
    assert last_status(log) is None
    log.write_text(log.read_text() + "Execution status: FAIL\n")
    assert last_status(log) == "FAIL"


def test_the_last_status_is_found_below_a_long_log_with_bars(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"Execution status: FAIL\n" + b"10%|#\r" * 100_000 + b"\xff\nExecution status: PASS\n")
    assert last_status(log) == "PASS"
    assert last_status(tmp_path / "absent") is None


def test_the_progress_of_a_training_is_its_epochs(tmp_path: Path) -> None:
    record = '{"message": "Training loop in progress", "epoch": 1, "max_epoch": 4}\n'
    (tmp_path / "status.json").write_text(record)
    assert progress_of(call(tmp_path)) == (2, 5)
    assert progress_of(call(tmp_path, action="inference")) == (0, None)


def test_no_part_of_a_secret_is_left_where_a_line_of_a_log_is_cut(tmp_path):
    secret = "corp-cred/9aZ7bY3xW1vU5tS8rQ2pO4nM6lK0jI"
    log = tmp_path / "tool.log"
    for before in range(240, 320):
        log.write_text("x" * before + " " + secret + " more\nlast\n")
        first, last = tail(log)
        assert last == "last"
        assert secret in first or secret[:4] not in first
    log.write_text("y" * 20 + secret + "\n" + ("z" * 99 + "\n") * 700 + "last\n")
    assert tail(log, lines=9999)[0] == "z" * 99
    log.write_text("w" * 301)
    assert tail(log) == ["(301 characters without a blank)"]
