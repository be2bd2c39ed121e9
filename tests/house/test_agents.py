"""Agents are bounded: a name, few tools, few lines, and one phrase that they never write."""

from __future__ import annotations

from pathlib import Path

import pytest

from deft.files import parse_yaml

REPOSITORY = Path(__file__).resolve().parents[2]
KEYS = {"name", "description", "tools", "model"}
TOOLS = {"Bash", "Read", "Write"}
LINES = 80


def violations(agent: Path) -> list[str]:
    """Return what an agent's file breaks."""
    text = agent.read_text(encoding="utf-8")
    record = parse_yaml(text.split("---\n")[1], agent)
    tools = {tool.strip() for tool in str(record.get("tools", "")).split(",")}
    found = [f"unknown key {key}" for key in record if key not in KEYS]
    found += [f"tool {tool}" for tool in sorted(tools - TOOLS)]
    if record.get("name") != agent.stem or not record.get("description"):
        found.append("name is not the file's, or there is no description")
    if len(text.splitlines()) > LINES:
        found.append("too long")
    return found + (["the forbidden phrase"] if "not met" in text.lower() else [])


def test_every_agent_keeps_the_rules() -> None:
    agents = sorted((REPOSITORY / "agents").glob("*.md"))
    assert "reporter" in {path.stem for path in agents}
    assert [line for path in agents for line in violations(path)] == []


GOOD = "---\nname: one\ndescription: x\ntools: Bash, Read\n---\nbody\n"


@pytest.mark.parametrize(
    "text",
    [
        GOOD.replace("name: one", "name: other"),
        GOOD.replace("Bash, Read", "Bash, Edit"),
        GOOD.replace("tools:", "hooks: x\ntools:"),
        GOOD + "line\n" * LINES,
        GOOD + "The target was NOT MET.\n",
    ],
)
def test_a_broken_agent_is_found(tmp_path: Path, text: str) -> None:
    path = tmp_path / "one.md"
    path.write_text(GOOD, encoding="utf-8")
    assert violations(path) == []
    path.write_text(text, encoding="utf-8")
    assert len(violations(path)) == 1
