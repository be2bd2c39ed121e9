"""The manifests, the package and the marketplace speak of one thing: same name, version and description."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import deft

REPOSITORY = Path(__file__).resolve().parents[2]
EVENTS_OF_THE_OLDEST_CLIENT = {
    *("PreToolUse", "PostToolUse", "PostToolUseFailure", "PostToolBatch", "UserPromptSubmit"),
    *("SessionStart", "SessionEnd", "Stop", "SubagentStart", "SubagentStop", "PreCompact"),
}
FIELDS_OF_AGENT_PLUGINS = {"$schema", "name", "version", "description", "license"}


def read(name: str) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((REPOSITORY / name).read_text(encoding="utf-8"))
    return record


def identities(records: dict[str, dict[str, Any]]) -> set[tuple[Any, ...]]:
    """Return the distinct (name, version, description) of some manifests; one is right."""
    return {(record["name"], record["version"], record["description"]) for record in records.values()}


def manifests() -> dict[str, dict[str, Any]]:
    marketplace = read(".claude-plugin/marketplace.json")
    return {
        "pyproject.toml": tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))[
            "project"
        ],
        ".claude-plugin/plugin.json": read(".claude-plugin/plugin.json"),
        "plugin.json": read("plugin.json"),
        "marketplace.json": marketplace["plugins"][0],
    }


def test_name_version_and_description_are_one() -> None:
    assert len(identities(manifests())) == 1


def test_a_manifest_that_was_left_behind_is_found() -> None:
    records = manifests()
    records["plugin.json"] = {**records["plugin.json"], "version": "0.0.9"}
    assert len(identities(records)) == 2


def test_the_package_says_the_same_version() -> None:
    assert deft.__version__ == manifests()["pyproject.toml"]["version"]


def test_the_marketplace_offers_this_repository() -> None:
    record = read(".claude-plugin/marketplace.json")
    assert [plugin["source"] for plugin in record["plugins"]] == ["./"]
    assert record["description"]
    assert record["owner"]["name"]


def test_the_neutral_manifest_keeps_to_its_closed_set_of_fields() -> None:
    assert set(read("plugin.json")) <= FIELDS_OF_AGENT_PLUGINS


def test_hooks_name_events_that_the_oldest_client_knows_and_files_that_exist() -> None:
    hooks = read("hooks/hooks.json")["hooks"]
    assert set(hooks) <= EVENTS_OF_THE_OLDEST_CLIENT
    commands = [hook for groups in hooks.values() for group in groups for hook in group["hooks"]]
    for command in commands:
        assert command["command"] == "python3"
        assert isinstance(command["timeout"], int)
        script = re.fullmatch(r"\$\{CLAUDE_PLUGIN_ROOT\}/(hooks/\w+\.py)", command["args"][0])
        assert script is not None, command
        assert (REPOSITORY / script[1]).is_file()


def test_every_hook_file_is_registered() -> None:
    registered = (REPOSITORY / "hooks" / "hooks.json").read_text(encoding="utf-8")
    for path in (REPOSITORY / "hooks").glob("*.py"):
        assert f"hooks/{path.name}" in registered, path.name
