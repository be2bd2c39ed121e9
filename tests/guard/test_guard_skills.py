"""Which skill invocations are this plugin's own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deft.guard.skills import PLUGIN, is_our_skill, typed_skill

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", ["deft-aoi:tao-run-deft-aoi", "tao-run-deft-aoi"])
def test_a_skill_of_this_plugin_is_ours(name: str) -> None:
    assert is_our_skill(name, str(REPOSITORY))


@pytest.mark.parametrize(
    "name",
    [
        "other:tao-run-deft-aoi",
        "deft-aoi:nothing",
        "e2e-probe:probe-skill",
        "commit",
        "..",
        "deft-aoi:../hooks",
        "",
    ],
)
def test_any_other_is_not(name: str) -> None:
    assert not is_our_skill(name, str(REPOSITORY))


@pytest.mark.parametrize(
    ("prompt", "skill"),
    [
        ("/deft-aoi:tao-run-deft-aoi on ~/workspace", "deft-aoi:tao-run-deft-aoi"),
        ("/tao-run-deft-aoi", "tao-run-deft-aoi"),
        ("/help", None),
        ("run /tao-run-deft-aoi", None),
        ("/tao-run-deft-aoi/x", None),
    ],
)
def test_a_typed_skill_is_known_by_its_name(prompt: str, skill: str | None) -> None:
    assert typed_skill(prompt, str(REPOSITORY)) == skill


def test_the_plugin_s_name_is_its_manifest_s() -> None:
    manifest = json.loads((REPOSITORY / ".claude-plugin" / "plugin.json").read_text(encoding="utf-8"))
    assert manifest["name"] == PLUGIN
