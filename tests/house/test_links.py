"""Every link in Markdown leads somewhere, and references are one level deep."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)


def documents(repository: Path) -> list[Path]:
    patterns = ("*.md", "skills/**/*.md", "references/*.md", "agents/*.md", "benchmarks/*.md")
    return sorted({path for pattern in patterns for path in repository.glob(pattern)})


def broken_links(repository: Path) -> Iterator[str]:
    """Yield `document: link` for each relative link whose file or heading does not exist."""
    for document in documents(repository):
        for link in LINK.findall(CODE.sub("", document.read_text(encoding="utf-8"))):
            if not link.startswith(("http://", "https://", "mailto:")) and not leads_somewhere(
                document, link
            ):
                yield f"{document.relative_to(repository)}: {link}"


def leads_somewhere(document: Path, link: str) -> bool:
    name, _, heading = link.partition("#")
    target = (document.parent / name) if name else document
    if not target.exists():
        return False
    return not heading or heading in headings(target)


def headings(document: Path) -> set[str]:
    """Return the anchors of a document, as the usual renderers spell them."""
    lines = re.findall(r"^#+ (.*)$", document.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", line.lower()).strip().replace(" ", "-") for line in lines}


def references_that_lead_on(repository: Path) -> Iterator[str]:
    """Yield references that send their reader to another reference."""
    for document in sorted(repository.glob("**/references/*.md")):
        for link in LINK.findall(CODE.sub("", document.read_text(encoding="utf-8"))):
            target = link.partition("#")[0]
            if target.endswith(".md") and not link.startswith("http"):
                yield f"{document.relative_to(repository)}: {link}"


def test_every_link_leads_somewhere() -> None:
    assert list(broken_links(REPOSITORY)) == []


def test_references_are_one_level_deep() -> None:
    assert list(references_that_lead_on(REPOSITORY)) == []


def test_documents_are_found() -> None:
    assert len(documents(REPOSITORY)) >= 5


@pytest.mark.parametrize("link", ["missing.md", "#no-such-heading", "there.md#no-such-heading"])
def test_a_broken_link_is_found(tmp_path: Path, link: str) -> None:
    (tmp_path / "there.md").write_text("# A heading", encoding="utf-8")
    (tmp_path / "here.md").write_text(f"# Here\n[text]({link}) [good](there.md#a-heading)", encoding="utf-8")
    assert list(broken_links(tmp_path)) == [f"here.md: {link}"]


def test_a_reference_that_leads_on_is_found(tmp_path: Path) -> None:
    (tmp_path / "references").mkdir()
    (tmp_path / "references/rows.md").write_text("see [state](state.md)", encoding="utf-8")
    assert list(references_that_lead_on(tmp_path)) == ["references/rows.md: state.md"]
