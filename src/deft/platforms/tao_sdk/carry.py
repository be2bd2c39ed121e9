"""Run inside an image: fetch the inputs, carry out the calls, bring the outputs back, say so last.

Usage: `python carry.py ORDER`, a JSON record {"job": URL of the job's folder, "tree": URL, "blobs": URL,
"output": folder, "calls": [{"words": [...], "log": path}]}. It is sent along with the command, so it imports
nothing but the standard library and fsspec. Exit code: that of the first call that failed.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from typing import Any

BLOCK = 1 << 20
WITHDRAWN, STARTED, RESULT = "withdrawn", "started.json", "result.json"


def main(order: dict[str, Any]) -> int:
    """Do what the order says, unless it was withdrawn before it began."""
    job = order["job"]
    if _exists(f"{job}/{WITHDRAWN}"):
        print("the order was withdrawn")  # noqa: T201 - the log of the pod
        return 0
    _put_text(f"{job}/{STARTED}", json.dumps({"job": os.environ.get("TAO_JOB_ID", "")}))
    fetch(order["tree"], order["blobs"])
    os.makedirs(order["output"], exist_ok=True)
    before = listing(order["output"])
    codes = carry_out(order["calls"])
    files = {name: digest for name, digest in listing(order["output"]).items() if before.get(name) != digest}
    for name in files:
        _copy(os.path.join(order["output"], name), f"{job}/files/{name}")
    _put_text(f"{job}/{RESULT}", json.dumps({"codes": codes, "files": files}))
    return next((code for code in codes if code), 0)


def fetch(tree: str, blobs: str) -> None:
    """Write every file of a tree that is not here yet, and prove that it is what was sent."""
    with _open(tree, "rb") as stream:
        wanted = json.load(stream)
    for path, digest in wanted.items():
        if os.path.exists(path) and sha256(path) == digest:
            continue
        os.makedirs(os.path.dirname(path), exist_ok=True)
        _copy(f"{blobs}/{digest}", path)
        if sha256(path) != digest:
            raise SystemExit(f"input is not what was sent: {path}")


def carry_out(calls: list[dict[str, Any]]) -> list[int]:
    """Run calls in order up to the first that fails; return their exit codes."""
    codes: list[int] = []
    for entry in calls:
        codes.append(call(entry["words"], entry["log"]))
        if codes[-1]:
            break
    return codes


def call(words: list[str], log: str) -> int:
    """Run one call, its output both in its log and in the pod's; a request to end is passed on."""
    os.makedirs(os.path.dirname(log), exist_ok=True)
    with (
        open(log, "ab") as kept,
        subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as child,
    ):
        signal.signal(signal.SIGTERM, lambda number, frame: child.send_signal(number))
        for line in child.stdout or ():
            kept.write(line)
            print(line.decode(errors="replace"), end="", flush=True)  # noqa: T201 - the log of the pod
    return child.returncode


def listing(folder: str) -> dict[str, str]:
    """Return the sha256 of every plain file below a folder, by its path from there; links are followed."""
    found = {}
    for root, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(root, name)
            if os.path.isfile(path):
                found[os.path.relpath(path, folder)] = sha256(path)
    return found


def sha256(path: str) -> str:
    """Return the hash of a file's content."""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        while block := stream.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _copy(source: str, destination: str) -> None:
    with _open(source, "rb") as read, _open(destination, "wb") as written:
        while block := read.read(BLOCK):
            written.write(block)


def _put_text(url: str, text: str) -> None:
    with _open(url, "wb") as stream:
        stream.write(text.encode())


def _open(place: str, mode: str) -> Any:
    import fsspec

    return fsspec.open(place, mode)


def _exists(url: str) -> bool:
    import fsspec

    filesystem, path = fsspec.core.url_to_fs(url)
    return bool(filesystem.exists(path))


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
