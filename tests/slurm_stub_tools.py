"""What the nodes of a test's cluster run instead of the engine: `… -m deft.tools --batch CALLS`.

The first argument is a folder. Each start leaves `started-<n>` there, named after how many were before it,
and waits while `hold-<n>` stands. TERM while it waits leaves a checkpoint to continue from and ends it with
143.
"""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any

from deft import files
from deft.platforms.base import ToolCall
from deft.progress import NullProgress
from stub_platform import StubPlatform

PARTIAL = "half_a_training.txt"


def calls_of(batch: Path) -> list[ToolCall]:
    return [_call(record) for record in files.read_json(batch)]


def _call(record: dict[str, Any]) -> ToolCall:
    overrides = record["overrides"]
    return ToolCall(
        category=record["category"],
        action=record["action"],
        spec=Path(record["spec"]) if record["spec"] else None,
        overrides=overrides,
        reads=(),
        writes=Path(overrides.get("train.results_dir", Path(record["log"]).parent)),
        log=Path(record["log"]),
    )


def wait_if_held(control: Path, folder: Path) -> None:
    """Say that this is the n-th start, and wait as long as somebody holds it."""
    number = 1
    while True:
        try:
            (control / f"started-{number}").touch(exist_ok=False)
            break
        except FileExistsError:
            number += 1

    def leave(signum: int, frame: FrameType | None) -> None:
        files.write_text(folder / PARTIAL, "half")
        raise SystemExit(128 + signum)

    signal.signal(signal.SIGTERM, leave)
    print('PROGRESS {"done": 1, "total": 2, "unit": "step"}', flush=True)  # noqa: T201
    while (control / f"hold-{number}").exists():
        time.sleep(0.05)
    if (folder / PARTIAL).is_file():
        (control / "continued").touch()
        (folder / PARTIAL).unlink()


def main(control: Path, batch: Path) -> None:
    calls = calls_of(batch)
    wait_if_held(control, calls[0].writes)
    StubPlatform().run(calls, NullProgress())


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[-1]))
