"""Skills keep to the open Agent Skills rules and to the listing's small budget."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from deft.files import parse_yaml

REPOSITORY = Path(__file__).resolve().parents[2]
KEYS = {"name", "description", "license", "compatibility", "metadata"}
NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
DESCRIPTION, ALL_DESCRIPTIONS, SKILLS_IN_THE_END = 140, 1200, 8
SECTIONS = (
    "**Done when**",
    "**Stop and ask when**",
    "## Steps",
    "## What counts as proof",
    "| claim | requires | not sufficient |",
    "## Gotchas",
    "## Read when",
)
FENCE = re.compile(r"```bash\n(.*?)```", re.DOTALL)


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
    if not description.startswith("Use ") or "; not " not in description:
        found.append("description does not say when to use the skill and when not")
    if len(str(record.get("compatibility", ""))) > 500:
        found.append("compatibility has more than 500 characters")
    if not all(isinstance(value, str) for value in (record.get("metadata") or {}).values()):
        found.append("metadata holds something else than texts")
    return found + body_violations(parts[2])


def body_violations(body: str) -> list[str]:
    """Return what the text below the frontmatter breaks: its sections in order, one command a block."""
    found = [f"no {section}" for section in SECTIONS if section not in body]
    places = [body.find(section) for section in SECTIONS if section in body]
    if places != sorted(places):
        found.append("sections are out of order")
    blocks = [block.strip() for block in FENCE.findall(body)]
    return found + [f"more than one command: {block}" for block in blocks if "\n" in block]


def skills() -> list[Path]:
    return sorted((REPOSITORY / "skills").glob("*/SKILL.md"))


@pytest.mark.parametrize("skill", skills(), ids=lambda path: path.parent.name)
def test_a_skill_keeps_the_rules(skill: Path) -> None:
    assert violations(skill) == []


def test_all_descriptions_fit_the_listing_together() -> None:
    texts = [
        parse_yaml(path.read_text(encoding="utf-8").split("---\n")[1])["description"] for path in skills()
    ]
    still_to_come = DESCRIPTION * max(0, SKILLS_IN_THE_END - len(texts))
    assert 0 < sum(map(len, texts)) + still_to_come <= ALL_DESCRIPTIONS


def test_skills_are_flat() -> None:
    assert sorted((REPOSITORY / "skills").rglob("SKILL.md")) == skills()


def test_the_skills_of_the_bank_are_there() -> None:
    assert {
        "tao-run-deft-aoi",
        "tao-analyze-gaps-visual-changenet",
        "tao-mine-aoi-images",
        "tao-train-visual-changenet",
        "tao-route-visual-changenet-samples",
        "tao-set-up-host",
    } <= {path.parent.name for path in skills()}


GOOD = '---\nname: one\ndescription: "Use when x; not for y."\n---\n' + "\n".join(SECTIONS)


def test_a_good_skill_passes(tmp_path: Path) -> None:
    assert violations(written(tmp_path, GOOD)) == []


@pytest.mark.parametrize(
    "text",
    [
        "no frontmatter at all",
        GOOD.replace("name: one", "name: other"),
        GOOD.replace("when x;", "when " + "x" * 141 + ";"),
        GOOD.replace('"Use when x; not for y."', "Use when x; not for y."),
        GOOD.replace("---\nname", "---\nallowed-tools: Bash\nname"),
        GOOD.replace("---\nname", "---\nhooks: {}\nname"),
        GOOD.replace("---\nname", "---\nmetadata: {version: 1}\nname"),
        GOOD.replace("---\nname", "---\ncompatibility: " + "x" * 501 + "\nname"),
        GOOD.replace("; not for y", ""),
        GOOD.replace("**Done when**", ""),
        GOOD.replace("## Gotchas", "") + "\n## Gotchas",
        GOOD + "\n```bash\none\ntwo\n```\n",
    ],
)
def test_a_broken_skill_is_found(tmp_path: Path, text: str) -> None:
    assert len(violations(written(tmp_path, text))) == 1


def written(folder: Path, text: str) -> Path:
    skill = folder / "one" / "SKILL.md"
    skill.parent.mkdir()
    skill.write_text(text, encoding="utf-8")
    return skill
