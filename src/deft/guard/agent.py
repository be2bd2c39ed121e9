"""Whether an agent is at work above this process. Standard library only, Python 3.8 on.

What a command sees of itself can be cleaned (`env -i`); what its ancestors were started with cannot.
"""

from __future__ import annotations

import os

AGENT_VARIABLES = (
    "CLAUDECODE",
    "CLAUDE_CODE_ENTRYPOINT",
    "CLAUDE_CODE_SESSION_ID",
    "AI_AGENT",
    "CODEX_SANDBOX",
)


def agent_marker() -> str | None:
    """Return the variable, here or in an ancestor's environment, that shows an agent at work; else None."""
    for name in AGENT_VARIABLES:
        if os.environ.get(name):
            return name
    pid = os.getppid()
    while pid > 1:
        found = _marker_of(pid)
        if found is not None:
            return found
        pid = _parent_of(pid)
    return None


def _marker_of(pid: int) -> str | None:
    try:
        with open("/proc/{}/environ".format(pid), "rb") as stream:
            names = {
                item.partition(b"=")[0].decode("utf-8", "replace") for item in stream.read().split(b"\0")
            }
    except OSError:
        return None
    return next((name for name in AGENT_VARIABLES if name in names), None)


def _parent_of(pid: int) -> int:
    try:
        with open("/proc/{}/stat".format(pid), "rb") as stream:
            return int(stream.read().rpartition(b")")[2].split()[1])
    except (OSError, ValueError):
        return 0
