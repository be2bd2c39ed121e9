"""`deft list-tao-platforms` and `deft resolve-versions-key`, as the launch intake calls them."""

from __future__ import annotations

import json

import pytest

from deft.cli.main import main

SECRET = "nvapi-canary-4711"


def test_the_list_names_every_platform_with_its_aliases(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list-tao-platforms", "--skill-bank", "/anywhere"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["prompt_defaults"] == {"platform": "embedded"}
    names = {entry["name"]: entry["aliases"] for entry in record["platforms"]}
    assert list(names) == ["embedded", "docker", "slurm", "kubernetes", "brev", "remote-slurm"]
    assert names["slurm"] == ["cluster"]


def test_the_list_as_text_is_one_line_a_platform(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list-tao-platforms", "--format", "text"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 6
    assert lines[1].startswith("docker (also local-docker): ")


@pytest.mark.parametrize(
    ("alias", "name"), [("local-docker", "docker"), ("CLUSTER", "slurm"), ("k8s", "kubernetes")]
)
def test_an_alias_in_any_case_is_its_platform(
    capsys: pytest.CaptureFixture[str], alias: str, name: str
) -> None:
    assert main(["list-tao-platforms", "--platform", alias]) == 0
    assert json.loads(capsys.readouterr().out)["platform"] == name


def test_credentials_are_asked_for_by_name_and_never_shown(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NGC_API_KEY", SECRET)
    assert main(["list-tao-platforms", "--platform", "docker", "--format", "text"]) == 0
    text = capsys.readouterr().out
    assert "needs one of NGC_API_KEY or NGC_KEY" in text
    assert "may need HF_TOKEN: when " in text
    assert SECRET not in text


def test_the_embedded_platform_needs_no_credential(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list-tao-platforms", "--platform", "embedded"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert (record["required_credentials"], record["credential_groups"]) == ([], [])


def test_an_unknown_platform_is_one_line_with_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list-tao-platforms", "--platform", "lepton", "--format", "text"]) == 2
    printed = capsys.readouterr()
    error = json.loads(printed.out)["error"]
    assert len(printed.err.splitlines()) == 1
    assert (error["value"], error["hint"]) == ("lepton", "")
    assert error["fact"].startswith("unknown platform (known: ")
    assert "kubernetes = k8s = local-k8s" in error["fact"]


def test_a_pinned_image_is_printed_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["resolve-versions-key", "images.tao_toolkit.pyt"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.endswith("-pyt")
