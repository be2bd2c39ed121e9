"""Tables in the documents are what the code says."""

from __future__ import annotations

from pathlib import Path

import pytest

from deft.cli import documentation
from deft.cli.documentation import rendered, stale_documents
from deft.errors import StateConflict, UsageError

REPOSITORY = Path(__file__).resolve().parents[2]


def test_generated_tables_are_fresh() -> None:
    stale = sorted(path.name for path in stale_documents(REPOSITORY))
    assert stale == [], "run: python -m deft.cli.documentation"


def test_a_table_that_was_edited_is_found(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("<!-- generated: verbs -->\nold\n<!-- end -->\n", encoding="utf-8")
    stale = stale_documents(tmp_path)
    assert [path.name for path in stale] == ["README.md"]
    assert "`deft preflight`" in stale[tmp_path / "README.md"]


def test_text_around_a_table_stays(tmp_path: Path) -> None:
    text = rendered("before\n<!-- generated: platforms -->\n<!-- end -->\nafter\n", tmp_path)
    assert text.startswith("before\n<!-- generated: platforms -->\n| platform")
    assert text.endswith("<!-- end -->\nafter\n")


def test_an_unknown_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no generated table of this name: poetry"):
        rendered("<!-- generated: poetry -->\n<!-- end -->", tmp_path)


def test_checking_names_the_stale_document_and_writing_mends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = tmp_path / "README.md"
    document.write_text("<!-- generated: verbs -->\nold\n<!-- end -->\n", encoding="utf-8")
    monkeypatch.setattr(documentation, "REPOSITORY", tmp_path)
    with pytest.raises(StateConflict, match=r"README\.md"):
        documentation.main(["--check"])
    assert "old" in document.read_text()
    assert documentation.main([]) == 0
    assert documentation.main(["--check"]) == 0
    assert "`deft preflight`" in document.read_text()
