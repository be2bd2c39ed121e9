"""Workers as the pods of one indexed job of a Kubernetes cluster that mounts the workspace's volume."""

from __future__ import annotations

import contextlib
import os
import secrets
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from deft import files
from deft.errors import EnvironmentMissing, StageFailed, UsageError
from deft.platforms.settings import read_platform_settings
from deft.shards.launchers.task_script import write_tasks
from deft.shards.ledger import Shard, ShardFolder

SECTION = "kubernetes"
WANTED = ("shard_image", "claim", "claim_mount")
ENDED = ("Complete", "Failed", "FailureTarget", "SuccessCriteriaMet")
Record = dict[str, Any]


class KubernetesLauncher:
    """One indexed job; a worker that runs twice is harmless, so an evicted one is simply given out again."""

    def __init__(self, workers: int | None = None) -> None:
        self._workers = workers

    def launch(self, folder: ShardFolder, shards: Sequence[Shard], done: Callable[[], None]) -> str:
        """Wait for a job that is still at work, else submit one; return why it failed, if it says so."""
        settings = read_platform_settings(Path(folder.plan["workspace"]), SECTION)
        _require(settings, folder)
        jobs = _Jobs.connected(str(settings.get("namespace", "default")))
        place = self._at_work(folder, jobs) or self._submit(folder, shards, settings, jobs)
        try:
            return _wait(jobs, place.name, folder, shards, done, settings)
        finally:
            jobs.delete(place.name)

    def _at_work(self, folder: ShardFolder, jobs: _Jobs) -> Path | None:
        """Find the job of a launcher that was killed."""
        places = sorted((folder.root / SECTION).glob("deft-shards-*/"))
        return next((place for place in places if jobs.ending(place.name) == ""), None)

    def _submit(
        self, folder: ShardFolder, shards: Sequence[Shard], settings: Mapping[str, Any], jobs: _Jobs
    ) -> Path:
        place = files.make_folder(folder.root / SECTION / f"deft-shards-{secrets.token_hex(6)}")
        python = str(settings.get("shard_python", sys.executable))
        count = write_tasks(folder, place, shards, python, "JOB_COMPLETION_INDEX")
        jobs.create(job_manifest(place, count, self._workers or count, settings))
        return place


def job_manifest(place: Path, count: int, at_once: int, settings: Mapping[str, Any]) -> Record:
    """Return the manifest of an indexed job (batch/v1): no privilege, no host path, no account's token."""
    container = {
        "name": "deft",
        "image": settings["shard_image"],
        "command": ["/bin/bash", str(place / "job.sh")],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {"name": "workspace", "mountPath": settings["claim_mount"]},
            {"name": "tmp", "mountPath": "/tmp"},
        ],
    }
    secret = settings.get("image_pull_secret")
    pod = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "securityContext": {"runAsUser": os.getuid(), "runAsGroup": os.getgid()},
        "containers": [container],
        "volumes": [
            {"name": "workspace", "persistentVolumeClaim": {"claimName": settings["claim"]}},
            {"name": "tmp", "emptyDir": {}},
        ],
        **({"imagePullSecrets": [{"name": secret}]} if secret else {}),
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": place.name, "labels": {"app": "deft"}},
        "spec": {
            "completionMode": "Indexed",
            "completions": count,
            "parallelism": min(at_once, count),
            "backoffLimitPerIndex": 1,
            "maxFailedIndexes": count,
            "template": {"metadata": {"labels": {"app": "deft"}}, "spec": pod},
        },
    }


def _require(settings: Mapping[str, Any], folder: ShardFolder) -> None:
    missing = [name for name in WANTED if not settings.get(name)]
    if missing:
        raise UsageError(
            "the indexed job needs an image and a volume that holds the workspace",
            value=", ".join(missing),
            hint="write them into section kubernetes of specs/platforms.yaml",
        )
    if "@sha256:" not in str(settings["shard_image"]):
        raise UsageError("image is not named by its digest", value=settings["shard_image"])
    if not folder.root.resolve().is_relative_to(settings["claim_mount"]):
        raise UsageError("the shards do not lie below claim_mount", value=folder.root)


def _wait(
    jobs: _Jobs,
    name: str,
    folder: ShardFolder,
    shards: Sequence[Shard],
    done: Callable[[], None],
    settings: Mapping[str, Any],
) -> str:
    """Wait until every shard has its receipt, the job has ended, or nobody has seen it for too long."""
    seen = time.monotonic()
    while any(not folder.receipt(shard).exists() for shard in shards):
        done()
        ending = jobs.ending(name)
        if ending:
            return ending
        if ending is not None:
            seen = time.monotonic()
        elif time.monotonic() - seen > float(settings.get("lost_seconds", 60)):
            return "the cluster does not know the job"
        time.sleep(float(settings.get("poll_seconds", 2)))
    return ""


class _Jobs:
    """The jobs of one namespace."""

    def __init__(self, api: Any, namespace: str) -> None:
        self.api, self.namespace = api, namespace

    @classmethod
    def connected(cls, namespace: str) -> _Jobs:
        """Connect with the user's own kubeconfig; EnvironmentMissing without client or cluster."""
        try:
            from kubernetes import client, config
        except ImportError:
            raise EnvironmentMissing(
                "the client of Kubernetes is not installed", hint="pip install 'deft-aoi[tao-sdk]'"
            ) from None
        try:
            config.load_kube_config()
        except config.ConfigException as error:
            raise EnvironmentMissing(
                f"no cluster is configured ({str(error)[:160]})", hint="set KUBECONFIG"
            ) from None
        return cls(client.BatchV1Api(), namespace)

    def create(self, manifest: Record) -> None:
        """Submit; a name that is taken is our own earlier request that arrived after all."""
        from kubernetes.client import ApiException
        from urllib3.exceptions import HTTPError

        try:
            self.api.create_namespaced_job(self.namespace, manifest)
        except HTTPError:
            return  # the connection fell: looking the job up tells whether it arrived
        except ApiException as error:
            if error.status != 409:
                reason = " ".join(str(error.reason).split())
                raise StageFailed(f"the cluster refused the job ({error.status} {reason})") from None

    def ending(self, name: str) -> str | None:
        """Return why a job ended, `` while it is at work, None where nobody can say or knows it."""
        from kubernetes.client import ApiException
        from urllib3.exceptions import HTTPError

        try:
            job = self.api.read_namespaced_job(name, self.namespace)
        except (ApiException, HTTPError):
            return None
        conditions = [one for one in (job.status.conditions or []) if one.status == "True"]
        ended = [one for one in conditions if one.type in ENDED]
        return " ".join(f"{one.type} {one.reason or ''}".strip() for one in ended)

    def delete(self, name: str) -> None:
        """Remove a job and its pods; one that is gone already is no fault."""
        from kubernetes.client import ApiException
        from urllib3.exceptions import HTTPError

        with contextlib.suppress(ApiException, HTTPError):
            self.api.delete_namespaced_job(name, self.namespace, propagation_policy="Background")
