"""NVIDIA's SDK against an API server on loopback whose pods really run, and a storage beside it."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from client.installation import sdk_folder
from deft import files
from deft.errors import StageFailed
from deft.loop import run_loop
from deft.platforms.base import CallIdentity, ToolCall
from deft.platforms.registry import platform_named
from deft.run.audit import audit_run
from deft.run.gate import approve, open_run, remember_drawn
from deft.workspace.layout import Workspace
from kubernetes_server import Cluster, can_hide_folders
from loop_fixtures import SILENT
from tiny_workspace import make_workspace

pytestmark = [
    pytest.mark.whole,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
DIGEST = f"registry/image@sha256:{'0' * 64}"
SETTINGS = {
    "train_image": DIGEST,
    "data_services_image": DIGEST,
    "poll_seconds": 0.1,
    "lost_seconds": 4,
    "grace_seconds": 20,
}


@pytest.fixture(scope="module")
def packages() -> Iterator[Path]:
    if not sdk_folder().is_dir():
        pytest.skip("nvidia-tao-sdk comes from PyPI, where it can be had")
    if not can_hide_folders():
        pytest.skip("mount namespaces are not allowed here")
    sys.path.append(str(sdk_folder()))
    yield sdk_folder()
    sys.path.remove(str(sdk_folder()))


@pytest.fixture
def storage(packages: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """An S3 server on loopback with one bucket; what the SDK and the pods must know of it."""
    from moto.server import ThreadedMotoServer
    from pyarrow import fs

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    names = {"S3_BUCKET_NAME": "line4", "ACCESS_KEY": "a", "SECRET_KEY": "s"}
    for name, value in {**names, "S3_ENDPOINT_URL": f"http://{host}:{port}"}.items():
        monkeypatch.setenv(name, value)
    filesystem = fs.S3FileSystem(
        access_key="a", secret_key="s", endpoint_override=f"http://{host}:{port}", allow_bucket_creation=True
    )
    filesystem.create_dir("line4")
    yield {"AWS_ENDPOINT_URL": f"http://{host}:{port}", "AWS_DEFAULT_REGION": "us-east-1"}
    server.stop()


@pytest.fixture
def cluster(
    packages: Path, storage: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Cluster]:
    hidden = tmp_path / "line 4"
    hidden.mkdir()
    home = tmp_path / "home"
    environment = {**storage, "HOME": str(home)}
    with Cluster(tmp_path / "cluster", hidden, packages, environment) as cluster:
        monkeypatch.setenv("KUBECONFIG", str(cluster.write_kubeconfig(tmp_path / "kubeconfig")))
        monkeypatch.setenv("TAO_SDK_STATE_DIR", str(tmp_path / "sdk"))
        yield cluster


@pytest.fixture
def call(cluster: Cluster) -> ToolCall:
    root = cluster.hidden / "workspace"
    folder = root / "results" / "run_1" / "baseline" / "train.attempt-1"
    made = make_workspace(root)
    content = {"task": "classify", "train": {"num_epochs": 2}}
    classify = {"train_dataset": {"csv_path": str(made.training_table)}}
    return ToolCall(
        category="visual_changenet",
        action="train",
        spec=files.write_yaml(folder / "train_spec.yaml", {**content, "dataset": {"classify": classify}}),
        overrides={"train.results_dir": folder},
        reads=(root,),
        writes=folder,
        log=folder / "train.log",
        identity=CallIdentity("run_1", "baseline", "train", 1, "key"),
    )


def carried(call: ToolCall) -> None:
    platform_named("kubernetes", SETTINGS).run([call], SILENT)


def created(cluster: Cluster) -> int:
    return sum(request.startswith("POST") for request in cluster.requests)


def test_a_training_in_a_pod_that_sees_nothing_of_this_machine_comes_back(
    cluster: Cluster, call: ToolCall
) -> None:
    carried(call)
    assert (call.writes / "status.json").is_file()
    assert "Execution status: PASS" in call.log.read_text()


def test_the_manifest_is_what_the_published_schema_of_a_job_knows(cluster: Cluster, call: ToolCall) -> None:
    from kubernetes import client

    carried(call)
    (pod,) = cluster.pods.values()
    api = client.ApiClient()
    body = {name: value for name, value in pod.job.items() if name != "status"}
    job = api._ApiClient__deserialize(body, "V1Job")
    body["metadata"].pop("uid")
    job.metadata.uid = None
    assert api.sanitize_for_serialization(job) == body


def test_a_job_name_that_is_taken_ends_in_a_named_error_or_a_new_job(
    cluster: Cluster, call: ToolCall
) -> None:
    cluster.faults = ["409"]
    carried(call)
    assert created(cluster) == 2


def test_an_evicted_pod_is_sent_again(cluster: Cluster, call: ToolCall) -> None:
    cluster.faults = ["evicted"]
    carried(call)
    assert created(cluster) == 2


def test_a_pod_that_reaches_its_back_off_limit_three_times_is_a_failure(
    cluster: Cluster, call: ToolCall
) -> None:
    cluster.faults = ["dies"] * 3
    with pytest.raises(StageFailed, match="lost 3 times"):
        carried(call)


def test_an_image_that_cannot_be_pulled_ends_the_stage_with_the_cure(
    cluster: Cluster, call: ToolCall
) -> None:
    cluster.faults = ["image"]
    with pytest.raises(StageFailed, match="cannot be started") as refusal:
        carried(call)
    assert "ImagePullBackOff" in (refusal.value.hint or "")


def test_dropped_connections_do_not_lose_a_job_that_runs(cluster: Cluster, call: ToolCall) -> None:
    cluster.drop = 4
    carried(call)
    assert created(cluster) == 1


def test_a_job_whose_runner_was_killed_is_adopted(cluster: Cluster, call: ToolCall) -> None:
    carried(call)
    for path in call.writes.iterdir():
        if path.name != "train_spec.yaml":
            path.unlink()
    carried(call)
    assert created(cluster) == 1
    assert (call.writes / "status.json").is_file()


def test_the_whole_loop_runs_on_kubernetes(cluster: Cluster, say: Any) -> None:
    workspace = prepared(make_workspace(cluster.hidden / "workspace"))
    words = ("--platform", "kubernetes", "--max-iterations", 1, "--min-similarity", "none")
    more = ("--top-k-per-target", 2, "--encoder-path", workspace.backbone / "siglip", "--no-spot-check")
    said = say("preflight", workspace.root, *words, *more)
    assert said.code == 0, said.out
    remember_drawn(workspace)
    approve(workspace, by="demo")
    run = open_run(workspace)
    run_loop(run, SILENT)
    assert files.read_json(run.state)["status"] == "complete"
    assert audit_run(run)["status"] == "agrees"


def prepared(workspace: Workspace) -> Workspace:
    spec = files.read_yaml(workspace.baseline_spec)
    spec["model"]["backbone"]["type"] = "c_radio_v2_vit_base_patch16_224"
    files.write_yaml(workspace.baseline_spec, spec)
    (workspace.backbone / "siglip").mkdir(parents=True)
    files.write_text(workspace.backbone / "siglip" / "config.json", "{}")
    files.write_yaml(workspace.platform_settings, {"kubernetes": SETTINGS})
    return workspace


def test_the_sdk_is_the_one_that_was_installed_for_the_tests(packages: Path) -> None:
    found = importlib.util.find_spec("tao_sdk")
    assert found is not None
    assert str(packages) in str(found.origin)
