"""The entry point of the test image: TAO's command grammar over the stub tools of `stub_platform`.

Gap analysis is the real tool. Training, inference and embedding write what the real containers write, the
way they write it: a validation without its epoch before the record that has it, tables without a fingerprint.
A file `behaviour` in the folder of the results changes how a training ends.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

import pandas as pd

from deft import files
from deft.platforms.base import ToolCall
from deft.platforms.containers import leaves
from deft.tools.__main__ import main as run_tool
from deft.tools.output import say
from stub_platform import _embed, _infer, _train

LOSSES = (1.0, 0.5)


def main(words: list[str]) -> int:
    """Carry out `CATEGORY ACTION -e SPEC [--cfg=job]`."""
    category, action, _, spec, *more = words
    if more or category == "gap_analysis":
        return run_tool(words)
    content = files.read_yaml(Path(spec))
    folder = Path(content.get(action, {}).get("results_dir") or Path(content["output_parquet"]).parent)
    call = ToolCall(category, action, Path(spec), dict(leaves(content)), (), folder, Path("/tmp/log"))
    say(f"{action.capitalize()} results will be saved at: {folder}")
    behaviour = (folder / "behaviour").read_text() if (folder / "behaviour").exists() else ""
    return _ended({"train": train, "inference": infer, "image_embeddings": embed}[action](call, behaviour))


def _ended(passed: bool | int) -> int:
    say(f"Execution status: {'PASS' if passed is True else 'FAIL'}")
    return 0 if passed is True or passed is False else int(passed)


def train(call: ToolCall, behaviour: str) -> bool | int:
    """Train as the stub does; say so as a container does."""
    if behaviour in ("wait", "deaf"):
        _wait(call, behaviour)
    if behaviour == "fail":
        return 3
    if behaviour == "fail with 0":
        return False
    if behaviour == "whole memory":
        hold = [bytearray(2**26) for _ in range(1000)]
        return len(hold) > 0
    _train(call, LOSSES)
    records = [{"message": "Starting Training Loop.", "status": "STARTED"}]
    for line in (call.writes / "status.json").read_text().splitlines():
        record = json.loads(line)
        epoch = {"epoch": record.pop("epoch"), "step": 0, "max_epoch": len(LOSSES) - 1}
        records += [record, {"message": "Training loop in progress", "kpi": record["kpi"], **epoch}]
    records.append({"message": "Train finished successfully.", "status": "RUNNING"})
    files.write_text(call.writes / "status.json", "".join(json.dumps(record) + "\n" for record in records))
    return True


def _wait(call: ToolCall, behaviour: str) -> None:
    """Say that training goes on until a file `go` appears; write a checkpoint when asked to end."""

    def interrupted(number: int, frame: object) -> None:
        if behaviour == "wait":
            files.write_text(call.writes / "interrupted.pth", "checkpoint")
            sys.exit(128 + number)

    signal.signal(signal.SIGTERM, interrupted)
    say("epoch 0")
    record = {"message": "Training loop in progress", "epoch": 0, "max_epoch": 1}
    files.write_text(call.writes / "status.json", json.dumps(record) + "\n")
    while not (call.writes / "go").exists():
        time.sleep(0.02)


def infer(call: ToolCall, behaviour: str) -> bool:
    """Score as the stub does."""
    _infer(call)
    return True


def embed(call: ToolCall, behaviour: str) -> bool:
    """Embed as the stub does, without the fingerprint that no container writes; say what it can see."""
    if behaviour == "wait":
        _wait(call, behaviour)
    _embed(call)
    path = Path(str(call.overrides["output_parquet"]))
    table = pd.read_parquet(path)
    table.to_parquet(path)
    token = os.environ.get("HF_TOKEN_FILE")
    if token:
        say(f"token of {len(Path(token).read_text())} letters")
    return True


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
