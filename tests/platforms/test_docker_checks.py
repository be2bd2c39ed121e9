"""What pre-flight looks at before containers: one line each, and the cure where it fails."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from deft import files
from deft.errors import EnvironmentMissing
from deft.platforms.base import Check
from deft.platforms.containers import Image
from deft.platforms.docker_arguments import Container, Limits
from deft.platforms.docker_checks import docker_checks
from scripted_docker import ScriptedDocker

DIGEST = "sha256:" + "a" * 64
TAO = f"registry.example/tao@{DIGEST}"
SETTINGS = {"train_image": TAO, "data_services_image": TAO}
KEYS = frozenset({"model.backbone.type", "task", "train.num_epochs"})


@pytest.fixture(autouse=True)
def no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NGC_API_KEY", "NGC_KEY", "HF_TOKEN"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def ready(scripted_docker: ScriptedDocker) -> ScriptedDocker:
    """A daemon with the images, two GPUs and 64 GB."""
    scripted_docker.says("info", json.dumps({"ServerVersion": "28.2", "MemTotal": 64 * 10**9}))
    scripted_docker.says("image", json.dumps({"Id": "sha256:" + "b" * 64, "RepoDigests": [TAO]}))
    scripted_docker.says("run", "GPU 0: NVIDIA\nGPU 1: NVIDIA\n")
    return scripted_docker


def checked(workspace: Path, settings: dict[str, Any] | None = None, keys: Any = KEYS) -> dict[str, Check]:
    def look_up(image: Image, category: str, action: str) -> Any:
        if isinstance(keys, Exception):
            raise keys
        return keys

    walls = Container("", Image(""), [], [], Limits("1000:1000"))
    found = docker_checks({**SETTINGS, **(settings or {})}, workspace, walls, look_up)
    return {check.name: check for check in found}


def test_a_machine_that_has_everything_passes(ready: ScriptedDocker, tmp_path: Path) -> None:
    files.write_yaml(tmp_path / "specs" / "baseline_spec.yaml", {"model": {"backbone": {"type": "fan"}}})
    found = checked(tmp_path)
    assert [check.name for check in found.values() if not check.passed] == []
    assert list(found) == [
        "docker client",
        "docker daemon",
        "train image",
        "data services image",
        "credentials",
        "write as 1000:1000 (train image)",
        "write as 1000:1000 (data services image)",
        "GPU in the container",
        "keys of the train image",
        "keys of the data services image",
        "memory",
        "disk",
        "time limit",
        "backbone",
    ]
    assert found["GPU in the container"].detail == "2 seen"


def test_what_is_asked_inside_has_the_walls_of_a_call_and_writes_nothing(
    ready: ScriptedDocker, tmp_path: Path
) -> None:
    checked(tmp_path)
    runs = [words for words in ready.calls if words[0] == "run"]
    assert len(runs) == 3
    for words in runs:
        assert {"--rm", "--read-only", "--cap-drop=ALL", "--user=1000:1000", "--network=none"} <= set(words)
        assert "--pull=never" in words
    assert [words[-2:] for words in runs[:2]] == [["-w", str(tmp_path)]] * 2
    assert "pull" not in ready.verbs()
    assert list(tmp_path.iterdir()) == [ready.folder]


def test_a_daemon_that_refuses_is_told_from_one_that_is_not_there(
    scripted_docker: ScriptedDocker, tmp_path: Path
) -> None:
    scripted_docker.says("info", error="permission denied while trying to connect")
    assert "usermod -aG docker" in checked(tmp_path)["docker daemon"].cure
    scripted_docker.says("info", error="Cannot connect to the Docker daemon")
    found = checked(tmp_path)
    assert "systemctl start docker" in found["docker daemon"].cure
    assert "train image" not in found


def test_without_a_client_nothing_of_docker_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    found = checked(tmp_path)
    assert not found["docker client"].passed
    assert list(found) == ["docker client", "disk", "time limit"]


def test_an_image_that_is_not_here_names_the_command_that_pulls_it(
    ready: ScriptedDocker, tmp_path: Path
) -> None:
    ready.says("image", error="Error: No such image: x")
    found = checked(tmp_path)
    assert found["train image"].cure == f"docker pull {TAO}"
    assert "NGC_API_KEY" in found["credentials"].cure
    (tmp_path / ".env").write_text("NGC_KEY=x\n")
    assert checked(tmp_path)["credentials"] == Check(
        "credentials", True, "NGC_KEY", found["credentials"].cure
    )


def test_an_image_of_another_digest_or_without_one_does_not_pass(
    ready: ScriptedDocker, tmp_path: Path
) -> None:
    ready.says("image", json.dumps({"Id": "sha256:" + "b" * 64, "RepoDigests": []}))
    assert not checked(tmp_path)["train image"].passed
    found = checked(tmp_path, {"train_image": "registry.example/tao:7.1.0"})
    assert "RepoDigests" in found["train image"].cure


def test_an_image_without_a_registry_is_known_by_its_id(ready: ScriptedDocker, tmp_path: Path) -> None:
    ready.says("image", json.dumps({"Id": DIGEST, "RepoDigests": None}))
    assert checked(tmp_path, {"train_image": DIGEST})["train image"].passed


def test_results_that_the_containers_user_cannot_write_fail_before_the_gate(
    ready: ScriptedDocker, tmp_path: Path
) -> None:
    (tmp_path / "results").mkdir()
    ready.says("run", number=1, error="exit 1")
    check = checked(tmp_path)["write as 1000:1000 (train image)"]
    assert check.detail == f"user 1000:1000 cannot write into {tmp_path}/results"
    assert check.cure.startswith("sudo chown -R 1000:1000")


def test_a_container_without_a_gpu_fails_unless_none_is_wanted(ready: ScriptedDocker, tmp_path: Path) -> None:
    ready.says("run", number=3, error='could not select device driver "" with capabilities: [[gpu]]')
    check = checked(tmp_path)["GPU in the container"]
    assert (check.passed, "nvidia-container-toolkit" in check.cure) == (False, True)
    assert "GPU in the container" not in checked(tmp_path, {"gpus": 0})
    assert "keys of the train image" not in checked(tmp_path, {"gpus": 3})
    assert not checked(tmp_path, {"gpus": 3})["GPU in the container"].passed


def test_a_key_of_the_spec_that_the_image_lacks_is_named_before_the_gate(
    ready: ScriptedDocker, tmp_path: Path
) -> None:
    files.write_yaml(tmp_path / "specs" / "baseline_spec.yaml", {"train": {"automl": "off"}})
    check = checked(tmp_path)["keys of the train image"]
    assert (check.passed, "train.automl" in check.detail) == (False, True)
    silent = checked(
        tmp_path, keys=EnvironmentMissing("image does not show the keys", value=TAO, hint="other")
    )
    assert silent["keys of the train image"].cure == "other"


def test_more_memory_than_there_is_does_not_pass(ready: ScriptedDocker, tmp_path: Path) -> None:
    ready.says("info", json.dumps({"MemTotal": 4 * 10**9}))
    assert not checked(tmp_path)["memory"].passed


def test_the_time_limit_is_shown(ready: ScriptedDocker, tmp_path: Path) -> None:
    assert checked(tmp_path, {"time_limit_minutes": 90})["time limit"].detail == "90 minutes a call"
