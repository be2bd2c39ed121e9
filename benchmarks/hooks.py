"""Time every hook as the client starts it: a process, an event on stdin, an answer.

    python benchmarks/hooks.py [--runs 200] [--python python3] [--limit-ms 150]

Prints the median, p99 and longest time in milliseconds of each hook in three situations (nothing engaged; a
harmless call in an engaged session; a refused one) and, as the floor below which no hook can come, of an
interpreter that does nothing. Exits 1 when a p99 is above the limit. Run it alone on the machine.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
SESSION = "benchmark"
LONG = (
    'for f in a b c; do head -5 "$f" | cut -d, -f1-3 | sort -u; done; git log --oneline -5 && ls $(pwd)\n'
    * 20
)


def event(name: str, **fields: object) -> bytes:
    common = {"session_id": SESSION, "transcript_path": "", "cwd": "/", "hook_event_name": name}
    return json.dumps({**common, **fields}).encode()


def bash(command: str, **fields: object) -> bytes:
    return event("PreToolUse", tool_name="Bash", tool_input={"command": command}, **fields)


def cases() -> Iterator[tuple[str, str, bool, bytes]]:
    """Yield each case: its name, its hook, whether the session is engaged, and the event."""
    output = {"stdout": "Execution status: PASS\n" * 500, "stderr": ""}
    yield "session_start", "session_start", False, event("SessionStart", source="startup")
    yield "user_prompt_submit", "user_prompt_submit", True, event("UserPromptSubmit", prompt="what is FAR?")
    yield "pre_tool_use, nothing engaged", "pre_tool_use", False, bash("make -j8")
    yield "pre_tool_use, a read", "pre_tool_use", True, bash("ls -la")
    yield "pre_tool_use, a long script", "pre_tool_use", True, bash(LONG)
    yield "pre_tool_use, refused", "pre_tool_use", True, bash("docker run x")
    after = event(
        "PostToolUse", tool_name="Bash", tool_input={"command": "deft status"}, tool_response=output
    )
    yield "post_tool_use", "post_tool_use", True, after
    yield "stop", "stop", True, event("Stop", stop_hook_active=False)


def measured(command: list[str], stdin: bytes, environment: dict[str, str], runs: int) -> list[float]:
    """Return the times of `runs` calls in milliseconds; two calls before them warm the caches."""
    times = []
    for _ in range(runs + 2):
        start = time.perf_counter()
        subprocess.run(command, input=stdin, capture_output=True, env=environment, check=False)
        times.append(1000 * (time.perf_counter() - start))
    return times[2:]


def report(name: str, times: list[float]) -> float:
    """Print one line and return the p99."""
    p99 = sorted(times)[max(0, round(0.99 * len(times)) - 1)]
    print(f"{name:32} {statistics.median(times):8.1f} {p99:8.1f} {max(times):8.1f}")
    return p99


def main() -> int:
    """Measure every case; return 1 if one is above the limit."""
    parser = argparse.ArgumentParser(description="Time the hooks.")
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--python", default="python3")
    parser.add_argument("--limit-ms", type=float, default=150.0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        environment = {"PATH": os.environ["PATH"], "HOME": home, "XDG_STATE_HOME": f"{home}/state"}
        marker = Path(home, "state", "deft", "engaged", f"{SESSION}.json")
        print(f"{'milliseconds':32} {'median':>8} {'p99':>8} {'max':>8}")
        report(
            "an interpreter that does nothing",
            measured([given.python, "-c", ""], b"", environment, given.runs),
        )
        slow = 0
        for name, hook, engaged, stdin in cases():
            marker.parent.mkdir(parents=True, exist_ok=True)
            marker.write_text("{}") if engaged else marker.unlink(missing_ok=True)
            command = [given.python, str(REPOSITORY / "hooks" / f"{hook}.py")]
            slow += report(name, measured(command, stdin, environment, given.runs)) > given.limit_ms
    return int(slow > 0)


if __name__ == "__main__":
    sys.exit(main())
