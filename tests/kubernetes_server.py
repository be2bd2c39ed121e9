"""A Kubernetes API server on loopback, as far as NVIDIA's SDK asks it; its pods really run.

A pod is a process in a mount namespace of its own in which the workspace is hidden: what it needs must come
through the storage. `faults` says what goes wrong with the next jobs, one after the other.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import uuid
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

TESTS = Path(__file__).resolve().parent
PROGRAMS = ("visual_changenet", "embedding", "gap_analysis")
Record = dict[str, Any]


def can_hide_folders() -> bool:
    """Say whether a process may have mounts of its own here."""
    asked = subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False)
    return asked.returncode == 0


@dataclass
class Pod:
    """One job's only pod."""

    job: Record
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    log: Path | None = None
    evicted: bool = False
    pulled: bool = True

    @property
    def code(self) -> int | None:
        codes = [process.poll() for process in self.processes]
        ended = [abs(code) for code in codes if code is not None]
        return max(ended) if codes and len(ended) == len(codes) else None


@dataclass
class Cluster:
    """The server, its jobs and what is to go wrong."""

    folder: Path
    hidden: Path | None
    packages: Path
    environment: dict[str, str] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    drop: int = 0
    gone: int = 0
    pods: dict[str, Pod] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)

    def __enter__(self) -> Cluster:
        programs = self.folder / "bin"
        programs.mkdir(parents=True)
        for name in PROGRAMS:
            text = f'#!/bin/sh\nexec {sys.executable} {TESTS}/fake_tao.py {name} "$@"\n'
            (programs / name).write_text(text)
            (programs / name).chmod(0o755)
        (programs / "python").symlink_to(sys.executable)
        cluster = self

        class Answering(Handler):
            owner = cluster

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *whatever: object) -> None:
        self.server.shutdown()
        self.server.server_close()
        for pod in self.pods.values():
            self.kill(pod)

    def kill(self, pod: Pod) -> None:
        for process in pod.processes:
            if process.poll() is None:
                process.terminate()
                process.wait(timeout=30)

    def write_kubeconfig(self, path: Path) -> Path:
        server = {"name": "c", "cluster": {"server": f"http://127.0.0.1:{self.server.server_port}"}}
        context = {"name": "x", "context": {"cluster": "c", "user": "u"}}
        user = {"name": "u", "user": {"token": "none"}}
        config = {"clusters": [server], "contexts": [context], "users": [user], "current-context": "x"}
        path.write_text(json.dumps({"apiVersion": "v1", "kind": "Config", **config}))
        return path

    # --- jobs ----------------------------------------------------------------------------------

    def create(self, job: Record) -> tuple[int, Record]:
        fault = self.faults.pop(0) if self.faults else ""
        name = job["metadata"]["name"]
        if fault == "409":
            return 409, {"kind": "Status", "reason": "AlreadyExists", "code": 409}
        job["metadata"]["uid"] = str(uuid.uuid4())
        job["status"] = {}
        pod = self.pods[name] = Pod(job, evicted=fault == "evicted", pulled=fault != "image")
        if fault == "":
            self.start(pod)
        elif fault == "dies":
            self.start(pod, "echo out of memory; exit 137")
        return 201, job

    def start(self, pod: Pod, command: str | None = None) -> None:
        (container,) = pod.job["spec"]["template"]["spec"]["containers"]
        words = ["/bin/bash", "-c", command] if command else container["command"]
        given = {entry["name"]: entry.get("value", "") for entry in container.get("env", [])}
        path = f"{self.folder / 'bin'}:{os.environ['PATH']}"
        python = f"{TESTS.parent / 'src'}:{TESTS}:{self.packages}"
        pod.log = self.folder / f"{pod.job['metadata']['name']}.log"
        hide = ["unshare", "-m", "sh", "-c", 'mount -t tmpfs tmpfs "$HIDDEN" && exec "$@"', "sh"]
        environment = {**self.environment, **given, "PATH": path, "PYTHONPATH": python}
        with open(pod.log, "wb") as log:
            for index in range(pod.job["spec"].get("completions", 1)):
                process = subprocess.Popen(
                    [*(hide if self.hidden else []), *words],
                    env={**environment, "HIDDEN": str(self.hidden), "JOB_COMPLETION_INDEX": str(index)},
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    stdin=subprocess.DEVNULL,
                )
                pod.processes.append(process)

    def seen(self, name: str) -> Record:
        pod = self.pods[name]
        failed = pod.evicted or (pod.code or 0) != 0
        done = pod.code == 0
        conditions = (
            [{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"}] if failed else []
        )
        conditions += [{"type": "Complete", "status": "True"}] if done else []
        counts = {"succeeded": int(done), "failed": int(failed), "active": int(not done and not failed)}
        return {**pod.job, "status": {**counts, "conditions": conditions}}

    def pod_record(self, pod: Pod) -> Record:
        name = pod.job["metadata"]["name"]
        phase = "Failed" if pod.evicted else "Running" if pod.code is None else "Succeeded"
        phase = "Failed" if pod.code else phase
        state: Record = {"running": {}}
        if not pod.pulled:
            phase, state = "Pending", {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}
        elif pod.code is not None:
            state = {"terminated": {"exitCode": pod.code, "reason": "Error" if pod.code else "Completed"}}
        status = {
            "name": "tao",
            "image": "i",
            "imageID": "i",
            "ready": True,
            "restartCount": 0,
            "state": state,
        }
        owner = {"apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": pod.job["metadata"]["uid"]}
        return {
            "metadata": {
                "name": f"{name}-0",
                "labels": {"job-name": name, **pod.job["metadata"].get("labels", {})},
                "ownerReferences": [{**owner, "controller": True}],
            },
            "spec": {"containers": [{"name": "tao"}], "nodeName": "n1"},
            "status": {
                "phase": phase,
                "containerStatuses": [] if pod.evicted else [status],
                **({"reason": "Evicted"} if pod.evicted else {}),
            },
        }


class Handler(BaseHTTPRequestHandler):
    """One request; `drop` of the owner lets connections fall without an answer."""

    owner: Cluster
    protocol_version = "HTTP/1.1"

    def log_message(self, *whatever: object) -> None:
        """Say nothing."""

    def _answer(self, code: int, record: Record | str) -> None:
        body = (record if isinstance(record, str) else json.dumps(record)).encode()
        self.send_response(code)
        self.send_header("Content-Type", "text/plain" if isinstance(record, str) else "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        self.owner.requests.append(f"POST {self.path}")
        self._answer(*self.owner.create(json.loads(self.rfile.read(length))))

    def do_DELETE(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.owner.requests.append(f"DELETE {self.path}")
        pod = self.owner.pods.pop(urlsplit(self.path).path.rsplit("/", 1)[-1], None)
        if pod:
            self.owner.kill(pod)
        self._answer(200, {"kind": "Status", "status": "Success"})

    def do_GET(self) -> None:
        if self.owner.gone and "/jobs/" in self.path:
            self.owner.gone -= 1
            self._answer(410, {"kind": "Status", "reason": "Expired", "code": 410})
            return
        if self.owner.drop and "/jobs/" in self.path:
            self.owner.drop -= 1
            self.close_connection = True
            self.connection.close()
            return
        self._answer(*self._found(urlsplit(self.path)))

    def _found(self, url: Any) -> tuple[int, Record | str]:
        parts = url.path.strip("/").split("/")
        if parts[-1] == "log":
            pod = self.owner.pods.get(parts[-2].removesuffix("-0"))
            return 200, pod.log.read_text(errors="replace") if pod and pod.log else ""
        if parts[-1] == "pods":
            wanted = parse_qs(url.query).get("labelSelector", [""])[0].split("job-name=")[-1].split(",")[0]
            pods = [pod for name, pod in self.owner.pods.items() if wanted in ("", name)]
            return 200, {"kind": "PodList", "metadata": {}, "items": [self.owner.pod_record(p) for p in pods]}
        if len(parts) > 2 and parts[-2] == "jobs":
            there = parts[-1] in self.owner.pods
            return (200, self.owner.seen(parts[-1])) if there else (404, {"kind": "Status", "code": 404})
        if parts[-1] == "nodes":
            node = {"metadata": {"name": "n1"}, "status": {"allocatable": {"nvidia.com/gpu": "1"}}}
            return 200, {"kind": "NodeList", "metadata": {}, "items": [node]}
        if parts[-2:-1] == ["namespaces"]:
            return 200, {"kind": "Namespace", "metadata": {"name": parts[-1], "uid": "the-cluster"}}
        return 200, {"kind": "APIResourceList", "groupVersion": "v1", "resources": []}
