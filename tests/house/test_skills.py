"""Skills keep to the open Agent Skills rules and to the listing's small budget."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from deft.files import parse_yaml

REPOSITORY = Path(__file__).resolve().parents[2]
KEYS = {"name", "description", "license", "compatibility", "metadata"}
NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
DESCRIPTION, ALL_DESCRIPTIONS = 140, 1200
SECTIONS = ("**Done when**", "**Stop and ask when**", "## Steps", "## Gotchas")


def violations(skill: Path) -> list[str]:
    """Return what a SKILL.md breaks."""
    text = skill.read_text(encoding="utf-8")
    parts = text.split("---\n", 2)
    if len(parts) != 3 or parts[0]:
        return ["no frontmatter"]
    record = parse_yaml(parts[1], skill)
    found = [f"unknown key {key}" for key in record if key not in KEYS]
    name, description = str(record.get("name", "")), str(record.get("description", ""))
    if name != skill.parent.name or not NAME.fullmatch(name) or len(name) > 64:
        found.append("name is not the folder's or not of the allowed form")
    if not 0 < len(description) <= DESCRIPTION:
        found.append(f"description has {len(description)} characters, at most {DESCRIPTION}")
    if not re.search(r'^description: "', parts[1], re.MULTILINE):
        found.append("description is not quoted")
    return found + [f"no {section}" for section in SECTIONS if section not in parts[2]]


def skills() -> list[Path]:
    return sorted((REPOSITORY / "skills").glob("*/SKILL.md"))


@pytest.mark.parametrize("skill", skills(), ids=lambda path: path.parent.name)
def test_a_skill_keeps_the_rules(skill: Path) -> None:
    assert violations(skill) == []


def test_all_descriptions_fit_the_listing_together() -> None:
    texts = [
        parse_yaml(path.read_text(encoding="utf-8").split("---\n")[1])["description"] for path in skills()
    ]
    assert 0 < sum(map(len, texts)) <= ALL_DESCRIPTIONS


def test_skills_are_flat() -> None:
    assert sorted((REPOSITORY / "skills").rglob("SKILL.md")) == skills()


GOOD = '---\nname: one\ndescription: "Use when x."\n---\n' + "\n".join(SECTIONS)


def test_a_good_skill_passes(tmp_path: Path) -> None:
    assert violations(written(tmp_path, GOOD)) == []


@pytest.mark.parametrize(
    "text",
    [
        "no frontmatter at all",
        GOOD.replace("name: one", "name: other"),
        GOOD.replace("Use when x.", "x" * 141),
        GOOD.replace('"Use when x."', "Use when x."),
        GOOD.replace("---\nname", "---\nallowed-tools: Bash\nname"),
        GOOD.replace("**Done when**", ""),
    ],
)
def test_a_broken_skill_is_found(tmp_path: Path, text: str) -> None:
    assert len(violations(written(tmp_path, text))) == 1


def written(folder: Path, text: str) -> Path:
    skill = folder / "one" / "SKILL.md"
    skill.parent.mkdir()
    skill.write_text(text, encoding="utf-8")
    return skill
