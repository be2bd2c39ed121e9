"""Workers as pods of one indexed job, on an API server on loopback whose pods really run."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from client.installation import sdk_folder
from deft import files
from deft.errors import EnvironmentMissing, UsageError
from deft.shards.launchers.kubernetes import KubernetesLauncher, job_manifest
from kubernetes_server import Cluster
from shard_fixtures import Mining, bytes_of

IMAGE = f"registry/deft@sha256:{'0' * 64}"
SETTINGS = {"shard_image": IMAGE, "claim": "workspace", "poll_seconds": 0.05, "lost_seconds": 3}


@pytest.fixture
def settings(mining: Mining) -> dict[str, Any]:
    chosen = {**SETTINGS, "claim_mount": str(mining.place.resolve())}
    files.write_yaml(mining.place / "specs" / "platforms.yaml", {"kubernetes": chosen})
    return chosen


@pytest.fixture
def cluster(tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    if not sdk_folder().is_dir():
        pytest.skip("the client of Kubernetes comes from PyPI, where it can be had")
    monkeypatch.syspath_prepend(str(sdk_folder()))
    with Cluster(tmp_path / "cluster", None, sdk_folder()) as cluster:
        monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", "")
        path = str(cluster.write_kubeconfig(tmp_path / "kubeconfig"))
        monkeypatch.setenv("KUBECONFIG", path)
        monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", path)
        yield cluster


whole = [
    pytest.mark.whole,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def marked(test: Any) -> Any:
    for mark in whole:
        test = mark(test)
    return test


def created(cluster: Cluster) -> int:
    return sum(request.startswith("POST") for request in cluster.requests)


@marked
def test_an_indexed_job_mines_the_same_bytes_as_processes_of_this_machine(
    cluster: Cluster, mining: Mining, say: Any, figure: Any
) -> None:
    here, there = mining.plan("here", 3), mining.plan("there", 3)
    say("shard", "run", here.root)
    assert say("shard", "run", there.root, "--launcher", "kubernetes").record["done_now"] == 3
    for folder in (here, there):
        say("shard", "reduce", folder.root)
    same = bytes_of(here.root) == bytes_of(there.root)
    assert same
    figure(
        "mined.parquet of an indexed Kubernetes job", "byte-identical", "byte-identical" if same else "not"
    )
    assert cluster.pods == {}


@marked
def test_an_evicted_pod_and_a_connection_that_falls_lose_nothing(
    cluster: Cluster, mining: Mining, say: Any
) -> None:
    cluster.faults, cluster.drop, cluster.gone = ["evicted"], 2, 2
    folder = mining.plan("cut", 2)
    assert say("shard", "run", folder.root, "--launcher", "kubernetes").record["done_now"] == 2
    assert created(cluster) == 2


@marked
def test_a_name_that_is_taken_is_looked_up_and_then_given_out_anew(
    cluster: Cluster, mining: Mining, say: Any
) -> None:
    cluster.faults = ["409"]
    folder = mining.plan("cut", 1)
    assert say("shard", "run", folder.root, "--launcher", "kubernetes").code == 0
    assert created(cluster) == 2


@marked
def test_workers_that_die_three_times_are_named_with_the_back_off_limit(
    cluster: Cluster, mining: Mining
) -> None:
    cluster.faults = ["dies"] * 3
    folder = mining.plan("cut", 1)
    words = KubernetesLauncher().launch(folder, folder.shards, lambda: None)
    assert "BackoffLimitExceeded" in words


@marked
def test_the_manifest_is_what_the_published_schema_of_a_job_knows(cluster: Cluster, tmp_path: Path) -> None:
    from kubernetes import client

    body = job_manifest(tmp_path, 4, 2, {**SETTINGS, "claim_mount": "/data", "image_pull_secret": "key"})
    api = client.ApiClient()
    assert api.sanitize_for_serialization(api._ApiClient__deserialize(body, "V1Job")) == body


def test_the_pods_of_a_job_have_no_privilege_no_host_path_and_no_token(tmp_path: Path) -> None:
    spec = job_manifest(tmp_path, 4, 8, {**SETTINGS, "claim_mount": "/data"})["spec"]
    assert (spec["completions"], spec["parallelism"], spec["completionMode"]) == (4, 4, "Indexed")
    pod = spec["template"]["spec"]
    (container,) = pod["containers"]
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    assert pod["automountServiceAccountToken"] is False
    assert not any("hostPath" in volume for volume in pod["volumes"])


@pytest.mark.parametrize("name", ["shard_image", "claim", "claim_mount"])
def test_what_the_job_needs_is_named(mining: Mining, settings: dict[str, Any], name: str) -> None:
    folder = mining.plan("cut", 1)
    del settings[name]
    files.write_yaml(mining.place / "specs" / "platforms.yaml", {"kubernetes": settings})
    with pytest.raises(UsageError, match="needs an image and a volume") as refusal:
        KubernetesLauncher().launch(folder, folder.shards, lambda: None)
    assert name in str(refusal.value)


@pytest.mark.parametrize(
    ("name", "value"), [("shard_image", "registry/deft:latest"), ("claim_mount", "/elsewhere")]
)
def test_an_image_without_digest_and_shards_outside_the_volume_are_refused(
    mining: Mining, settings: dict[str, Any], name: str, value: str
) -> None:
    files.write_yaml(mining.place / "specs" / "platforms.yaml", {"kubernetes": {**settings, name: value}})
    folder = mining.plan("cut", 1)
    with pytest.raises(UsageError):
        KubernetesLauncher().launch(folder, folder.shards, lambda: None)


def test_the_client_must_be_installed(
    mining: Mining, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "kubernetes", None)
    folder = mining.plan("cut", 1)
    with pytest.raises(EnvironmentMissing, match="not installed"):
        KubernetesLauncher().launch(folder, folder.shards, lambda: None)
