"""Scripts and verbs are the same: each script opens the verb of its name, each marked verb has its script."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from deft.cli.verbs import VERBS

REPOSITORY = Path(__file__).resolve().parents[2]


def differences(scripts: set[str], verbs: set[str]) -> list[str]:
    """Return scripts without a verb and verbs without their script."""
    stems = {verb.replace("-", "_") for verb in verbs}
    return sorted(f"no verb: {name}" for name in scripts - stems) + sorted(
        f"no script: {name}" for name in stems - scripts
    )


def test_scripts_and_verbs_are_equal() -> None:
    scripts = {path.stem for path in (REPOSITORY / "scripts").glob("*.py")}
    assert differences(scripts, {name for name, verb in VERBS.items() if verb.script}) == []


def test_a_missing_script_and_a_missing_verb_are_found() -> None:
    assert differences({"a_b", "c"}, {"a-b", "d"}) == ["no verb: c", "no script: d"]


@pytest.mark.parametrize("script", sorted((REPOSITORY / "scripts").glob("*.py")), ids=lambda path: path.stem)
def test_a_script_is_executable_and_names_its_own_verb(script: Path) -> None:
    assert os.access(script, os.X_OK)
    assert f'[deft, "{script.stem.replace("_", "-")}", *sys.argv[1:]]' in script.read_text(encoding="utf-8")
