"""Tool calls in containers of a real daemon: walled in, proven, adopted, collected, never lost in silence."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from deft import files
from deft.errors import EnvironmentMissing, InputRefused, StageFailed
from deft.platforms import docker_container
from deft.platforms.base import CallIdentity, ToolCall
from deft.platforms.docker import DockerPlatform
from deft.workspace.checkpoints import best_checkpoint, validation_losses
from deft.workspace.layout import RunFolder
from dockerd import Daemon
from loop_fixtures import SILENT
from tiny_workspace import make_workspace

pytestmark = pytest.mark.whole
CANARY = "hf_" + "canary" * 5


@pytest.fixture
def settings(docker_host: Daemon, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(docker_host.folder / "cache"))  # an image is asked once
    image = docker_host.image
    return {
        "train_image": image,
        "data_services_image": image,
        "gpus": 0,
        "shm_size": "64m",
        "tmp_size": "64m",
    }


@pytest.fixture
def training(tmp_path: Path) -> Callable[..., ToolCall]:
    """Make the call of a training whose results lie in an odd folder; `behaviour` is what the image does."""
    workspace = make_workspace(tmp_path / 'a, "b": c')
    spec = files.read_yaml(workspace.baseline_spec)
    spec["model"]["backbone"]["type"] = "fan_small_12_p4_hybrid"
    files.write_yaml(workspace.baseline_spec, spec)

    def make(behaviour: str = "", place: str = "train") -> ToolCall:
        folder = workspace.results / "run_20260102_030405" / place
        files.write_text(folder / "behaviour", behaviour)
        return ToolCall(
            category="visual_changenet",
            action="train",
            spec=workspace.baseline_spec,
            overrides={"train.results_dir": folder},
            reads=(workspace.root,),
            writes=folder,
            log=folder / "train.log",
            identity=CallIdentity("run_20260102_030405", "baseline", "train", 1, "key"),
        )

    return make


def containers(daemon: Daemon) -> list[str]:
    return daemon.ask("ps", "--all", "--format", "{{.Names}}").stdout.split()


def in_background(platform: DockerPlatform, call: ToolCall) -> tuple[threading.Thread, list[BaseException]]:
    errors: list[BaseException] = []

    def work() -> None:
        try:
            platform.run([call], SILENT)
        except BaseException as error:  # noqa: BLE001 - handed to the test
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    return thread, errors


def until(true: Callable[[], object], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.02)


def runs(call: ToolCall) -> bool:
    return "epoch 0" in (call.log.read_text() if call.log.is_file() else "")


def let_go(call: ToolCall) -> None:
    files.write_text(call.writes / "go", "")


# --- a call ----------------------------------------------------------------------------------


def test_a_training_leaves_what_the_loop_reads_and_no_container(settings, training, docker_host) -> None:
    call = training()
    DockerPlatform(settings).run([call], SILENT)
    assert sorted(validation_losses(call.writes)) == [0, 1]
    assert best_checkpoint(call.writes).name == "model_epoch_001_step_00020.pth"
    assert "Execution status: PASS" in call.log.read_text()
    assert best_checkpoint(call.writes).stat().st_uid == os.getuid()
    assert containers(docker_host) == []


def test_the_walls_of_a_container_are_as_the_daemon_sees_them(settings, training, docker_host) -> None:
    call = training("wait")
    thread, errors = in_background(DockerPlatform(settings), call)
    until(lambda: runs(call))
    (name,) = containers(docker_host)
    seen = json.loads(docker_host.ask("inspect", name).stdout)[0]
    host, config = seen["HostConfig"], seen["Config"]
    assert (host["CapDrop"], host["SecurityOpt"]) == (["ALL"], ["no-new-privileges"])
    assert (host["ReadonlyRootfs"], host["Privileged"], host["Init"]) == (True, False, True)
    assert (host["NetworkMode"], host["IpcMode"], host["PidsLimit"]) == ("none", "private", 4096)
    assert (host["ShmSize"], config["User"]) == (64 * 2**20, f"{os.getuid()}:{os.getgid()}")
    writable = [mount["Destination"] for mount in seen["Mounts"] if mount["RW"]]
    assert writable == [str(call.writes)]
    assert {"deft.run", "deft.phase", "deft.stage", "deft.attempt", "deft.plan"} <= set(config["Labels"])
    let_go(call)
    thread.join()
    assert errors == []


@pytest.mark.parametrize(("behaviour", "code"), [("fail", 3), ("fail with 0", 0)])
def test_a_failed_call_is_a_failure_whatever_its_exit_code(
    settings, training, docker_host, behaviour: str, code: int
) -> None:
    call = training(behaviour)
    with pytest.raises(StageFailed, match=rf"ended with code {code} and `Execution status: FAIL`"):
        DockerPlatform(settings).run([call], SILENT)
    assert containers(docker_host) == []


def test_a_call_that_outgrows_its_memory_is_named(settings, training, docker_host) -> None:
    with pytest.raises(StageFailed, match=r"ran out of memory|code 137"):
        DockerPlatform({**settings, "memory": "160m"}).run([training("whole memory")], SILENT)
    assert containers(docker_host) == []


def test_a_call_past_its_time_limit_is_stopped(settings, training, docker_host, monkeypatch) -> None:
    monkeypatch.setattr(docker_container, "POLL_SECONDS", 0.1)
    call = training("wait")
    platform = DockerPlatform({**settings, "time_limit_minutes": 1})
    clock = time.monotonic
    thread, errors = in_background(platform, call)
    until(lambda: runs(call))
    monkeypatch.setattr(docker_container.time, "monotonic", lambda: clock() + 61)
    thread.join(timeout=60)
    monkeypatch.undo()
    assert isinstance(errors[0], StageFailed)
    assert "past its time limit" in errors[0].fact


def test_no_gpu_is_an_error_with_its_cure(settings, training, docker_host) -> None:
    with pytest.raises(EnvironmentMissing, match="cannot give a container a GPU") as missing:
        DockerPlatform({**settings, "gpus": 1, "train_image": docker_host.image}).run([training()], SILENT)
    assert "nvidia-container-toolkit" in missing.value.hint
    assert containers(docker_host) == []


# --- secrets ---------------------------------------------------------------------------------


def test_a_token_is_in_no_command_line_no_environment_no_log_and_gone_in_the_end(
    settings, training, docker_host, monkeypatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", CANARY)
    call = embedding(training("wait"), "google/siglip-base-patch16-224")
    thread, errors = in_background(DockerPlatform({**settings, "network": "host"}), call)
    until(lambda: runs(call))
    (name,) = containers(docker_host)
    seen = docker_host.ask("inspect", name).stdout
    lent = [mount["Source"] for mount in json.loads(seen)[0]["Mounts"] if "secrets" in mount["Destination"]]
    assert Path(lent[0]).read_text() == CANARY
    assert CANARY not in seen + command_lines()
    let_go(call)
    thread.join()
    assert errors == []
    text = call.log.read_text()
    assert (CANARY in text, f"token of {len(CANARY)} letters" in text) == (False, True)
    assert "network host: google/siglip-base-patch16-224 is not on this machine" in text
    assert not Path(lent[0]).parent.exists()
    assert [path for path in files.files_below(call.reads[0]) if CANARY.encode() in path.read_bytes()] == []


def test_where_the_weights_are_here_a_container_gets_no_network_and_no_token(
    settings, training, docker_host, monkeypatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", CANARY)
    call = embedding(training(""), "/weights")
    DockerPlatform({**settings, "network": "host"}).run([call], SILENT)
    assert "token of" not in call.log.read_text()
    assert "network" not in call.log.read_text()


def embedding(like: ToolCall, model_path: str) -> ToolCall:
    """Return the call that embeds three images into the same folder."""
    images = sorted((like.reads[0] / "kpi" / "images").rglob("*.png"))[:3]
    table = files.write_parquet(like.writes / "in.parquet", pd.DataFrame({"filepath": map(str, images)}))
    spec = files.write_yaml(like.writes / "spec.yaml", {"model": "SigLIP", "model_path": model_path})
    paths = {"input_parquet": table, "output_parquet": like.writes / "out.parquet"}
    named = {"category": "embedding", "action": "image_embeddings", "spec": spec, "overrides": paths}
    return replace(like, **named, log=like.writes / "embed.log")


def command_lines() -> str:
    """Return the command line of every process."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            found.append((entry / "cmdline").read_bytes())
    return b"".join(found).decode(errors="replace")


# --- before the gate -------------------------------------------------------------------------


def test_the_checks_pass_where_the_machine_has_everything(settings, training, docker_host) -> None:
    workspace = training().reads[0]
    found = {check.name: check for check in DockerPlatform(settings).checks(workspace)}
    assert [check for check in found.values() if not check.passed] == []
    assert found["train image"].detail == docker_host.image


def test_what_the_machine_lacks_is_named_before_the_gate(settings, training, docker_host) -> None:
    workspace = training().reads[0]
    absent = "registry.example/tao@sha256:" + "0" * 64
    odd = {**settings, "user": "1000:1000", "gpus": 1, "data_services_image": absent}
    failed = {c.name: c for c in DockerPlatform(odd).checks(workspace) if not c.passed}
    assert set(failed) == {
        "data services image",
        "credentials",
        "write as 1000:1000 (train image)",
        "GPU in the container",
    }
    assert failed["data services image"].cure == f"docker pull {absent}"
    assert "nvidia-container-toolkit" in failed["GPU in the container"].cure


def test_another_user_gets_a_named_error_and_no_half_result(settings, training, docker_host) -> None:
    call = training()
    with pytest.raises(StageFailed, match=r"[Pp]ermission denied|not permitted"):
        DockerPlatform({**settings, "user": "1000:1000"}).run([call], SILENT)
    assert list(call.writes.glob("*.pth")) == []


def test_a_key_that_the_image_lacks_stops_a_call_before_its_container(
    settings, training, docker_host
) -> None:
    call = replace(training(), overrides={"train.results_dir": training().writes, "train.automl": True})
    with pytest.raises(InputRefused, match=r"1 key of the spec: train\.automl"):
        DockerPlatform(settings).run([call], SILENT)


# --- killed, lost, restarted -----------------------------------------------------------------

RUNNER = """
import json, pickle, sys
from deft.platforms.docker import DockerPlatform
from deft.progress import NullProgress
settings, call = pickle.loads(bytes.fromhex(sys.argv[1]))
DockerPlatform(settings).run([call], NullProgress())
"""


def runner(settings: dict[str, Any], call: ToolCall) -> subprocess.Popen[bytes]:
    """Start a process of its own that carries out a call."""
    import pickle

    words = [sys.executable, "-c", RUNNER, pickle.dumps((settings, call)).hex()]
    paths = os.pathsep.join(path for path in sys.path if path)
    return subprocess.Popen(words, env={**os.environ, "PYTHONPATH": paths})


def abandoned(settings: dict[str, Any], training: Any) -> ToolCall:
    """Return a call at work in a container whose runner was killed."""
    call: ToolCall = training("wait")
    first = runner(settings, call)
    until(lambda: runs(call))
    first.kill()
    first.wait()
    return call


def test_a_running_container_is_taken_over_after_a_kill_of_its_runner(
    settings, training, docker_host
) -> None:
    call = abandoned(settings, training)
    (name,) = containers(docker_host)
    before = docker_host.ask("inspect", "--format={{.Id}}", name).stdout
    thread, errors = in_background(DockerPlatform(settings), call)
    let_go(call)
    thread.join()
    assert errors == []
    text = call.log.read_text()
    assert (text.count("deft: container"), text.count("epoch 0"), before.strip() in text) == (1, 1, True)
    assert containers(docker_host) == []


def test_a_container_that_ended_unseen_is_collected(settings, training, docker_host) -> None:
    call = abandoned(settings, training)
    let_go(call)
    until(lambda: "exited" in docker_host.ask("ps", "--all", "--format={{.State}}").stdout)
    stamp = best_checkpoint(call.writes).stat().st_mtime_ns
    DockerPlatform(settings).run([call], SILENT)
    assert best_checkpoint(call.writes).stat().st_mtime_ns == stamp
    assert "Execution status: PASS" in call.log.read_text()
    assert containers(docker_host) == []


def test_a_container_that_writes_into_a_folder_that_was_removed_is_not_taken_over(
    settings, training, docker_host
) -> None:
    call = abandoned(settings, training)
    call.writes.rename(call.writes.with_name("gone"))
    call = training("")
    DockerPlatform(settings).run([call], SILENT)
    assert sorted(validation_losses(call.writes)) == [0, 1]
    begun = (call.writes.with_name("gone") / call.log.name).read_text().split()[2]
    assert begun not in call.log.read_text()
    assert containers(docker_host) == []


def test_a_vanished_container_is_reported_as_lost_and_run_again(settings, training, docker_host) -> None:
    call = training("wait")
    thread, errors = in_background(DockerPlatform(settings), call)
    until(lambda: runs(call))
    files.write_text(call.writes / "behaviour", "")
    (name,) = containers(docker_host)
    docker_host.ask("rm", "--force", name)
    thread.join()
    assert errors == []
    text = call.log.read_text()
    assert (text.count("deft: container deft-"), text.count("was lost"), text.count("PASS")) == (1, 1, 1)
    assert text.index("epoch 0") < text.index("was lost") < text.index("PASS")


def test_a_stop_gives_a_training_the_time_for_its_checkpoint_and_leaves_no_orphan(
    settings, training, docker_host
) -> None:
    call = training("wait")
    first = runner(settings, call)
    until(lambda: runs(call))
    first.send_signal(signal.SIGINT)
    first.wait(timeout=40)
    assert (call.writes / "interrupted.pth").is_file()
    assert containers(docker_host) == []


def test_a_container_that_a_killed_runner_left_is_ended_with_the_time_for_its_checkpoint(
    settings, training, docker_host
) -> None:
    call, other = training("wait"), training("wait", "other")
    run = RunFolder(call.writes.parent)
    first = runner(settings, other)  # of a run of the same name whose plan is another
    until(lambda: runs(other))
    files.write_json(run.plan, {"target": "FAR < 0.1%"})
    second = runner(settings, call)
    until(lambda: runs(call))
    for process in (first, second):
        process.kill()
        process.wait()
    (ended,) = DockerPlatform(settings).end(run)
    assert (call.writes / "interrupted.pth").is_file()
    assert call.log.read_text().count("epoch 0") == 1
    (left,) = containers(docker_host)
    assert left != ended
    let_go(other)


def test_the_container_of_a_given_up_attempt_is_ended_before_the_next_one_begins_in_its_folder(
    settings, training, docker_host
) -> None:
    call = training("wait")
    files.write_json(RunFolder(call.writes.parent).plan, {"target": "FAR < 0.1%"})
    first = runner(settings, call)
    until(lambda: runs(call))
    first.kill()
    first.wait()
    (left,) = containers(docker_host)
    again = replace(training(""), identity=replace(call.identity, attempt=2))
    DockerPlatform(settings).run([again], SILENT)
    assert containers(docker_host) == []
    text = call.log.read_text()
    assert f"deft: container {left} of an earlier attempt was ended" in text
    assert text.count("deft: container ") == 3
    assert text.index("epoch 0") < text.index("was ended") < text.index("Execution status: PASS")
    assert (call.writes / "interrupted.pth").is_file()


def test_a_stop_leaves_what_has_ended_unseen_to_the_next_run(settings, training, docker_host) -> None:
    call = training("wait")
    run = RunFolder(call.writes.parent)
    files.write_json(run.plan, {"target": "FAR < 0.1%"})
    first = runner(settings, call)
    until(lambda: runs(call))
    first.kill()
    first.wait()
    let_go(call)
    until(lambda: "exited" in docker_host.ask("ps", "--all", "--format={{.State}}").stdout)
    stamp = best_checkpoint(call.writes).stat().st_mtime_ns
    assert DockerPlatform(settings).end(run) == []
    DockerPlatform(settings).run([call], SILENT)
    assert best_checkpoint(call.writes).stat().st_mtime_ns == stamp
    assert containers(docker_host) == []


@pytest.mark.parametrize("live_restore", [False, True])
def test_a_restart_of_the_daemon_ends_in_a_result(
    settings, training, docker_host, live_restore: bool
) -> None:
    if live_restore:
        docker_host._end_process()
        docker_host.start("--live-restore")
    call = training("wait")
    thread, errors = in_background(DockerPlatform(settings), call)
    until(lambda: runs(call))
    docker_host.kill()
    time.sleep(1)
    docker_host.start(*(["--live-restore"] if live_restore else []))
    let_go(call)
    thread.join(timeout=120)
    assert not thread.is_alive()
    assert errors == []
    assert sorted(validation_losses(call.writes)) == [0, 1]
    assert ("was lost" in call.log.read_text()) == (not live_restore)
    if live_restore:
        docker_host._end_process()
        docker_host.start()
