"""hooks.json: which calls reach which hook, on which Python, how soon."""

from __future__ import annotations

import ast
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
HOOKS = sorted((REPOSITORY / "hooks").glob("*.py"))


def groups(event: str) -> list[dict[str, Any]]:
    record = json.loads((REPOSITORY / "hooks" / "hooks.json").read_text(encoding="utf-8"))
    found: list[dict[str, Any]] = record["hooks"][event]
    return found


def reached(event: str, tool: str) -> bool:
    """Say whether a tool's event reaches its hook, as the client matches: by a pattern anywhere in it."""
    return any(re.search(group.get("matcher", ""), tool) for group in groups(event))


@pytest.mark.parametrize(
    "tool",
    [
        *(
            "Bash",
            "Write",
            "Edit",
            "MultiEdit",
            "NotebookEdit",
            "Agent",
            "Task",
            "Skill",
            "mcp__files__write",
        ),
        *(
            "PowerShell",
            "Monitor",
            "CronCreate",
            "ScheduleWakeup",
            "Workflow",
            "SendMessage",
            "AToolOfTomorrow",
        ),
    ],
)
def test_whatever_may_have_an_effect_reaches_the_gate(tool: str) -> None:
    assert reached("PreToolUse", tool)


@pytest.mark.parametrize(
    "tool", ["Read", "Glob", "Grep", "TodoWrite", "WebFetch", "TaskOutput", "AskUserQuestion"]
)
def test_reading_costs_no_hook(tool: str) -> None:
    assert not reached("PreToolUse", tool)


def test_only_what_is_looked_at_afterwards_reaches_the_later_hooks() -> None:
    assert [
        tool for tool in ("Bash", "Write", "Edit", "Read", "TodoWrite") if reached("PostToolUse", tool)
    ] == [
        "Bash",
        "Write",
        "Edit",
    ]
    assert not reached("PostToolUseFailure", "Read")


def test_every_hook_has_a_time_limit_in_seconds() -> None:
    record = json.loads((REPOSITORY / "hooks" / "hooks.json").read_text(encoding="utf-8"))["hooks"]
    limits = [hook["timeout"] for found in record.values() for group in found for hook in group["hooks"]]
    assert all(isinstance(limit, int) and 5 <= limit <= 60 for limit in limits)


@pytest.mark.parametrize(
    "source",
    [*HOOKS, REPOSITORY / "src/deft/untrusted.py", *sorted((REPOSITORY / "src/deft/guard").glob("*.py"))],
    ids=lambda path: path.name,
)
def test_hooks_and_what_they_load_are_python_3_8(source: Path) -> None:
    ast.parse(source.read_text(encoding="utf-8"), feature_version=(3, 8))


@pytest.mark.parametrize("hook", HOOKS, ids=lambda path: path.stem)
def test_a_hook_loads_nothing_but_the_standard_library_and_the_guard(hook: Path) -> None:
    program = f"import sys, runpy\ntry:\n    runpy.run_path({str(hook)!r})\nexcept SystemExit:\n    pass\n"
    program += "print(*[name for name in sys.modules if name.startswith('deft')])"
    done = subprocess.run(["python3", "-S", "-c", program], input=b"{}", capture_output=True, check=True)
    loaded = done.stdout.decode().split()
    assert "deft.guard" in loaded
    others = [name for name in loaded if name != "deft" and not name.startswith("deft.guard")]
    assert set(others) <= {"deft.untrusted"}
