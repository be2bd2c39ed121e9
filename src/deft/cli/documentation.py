"""Write the tables of the documents from the code: `python -m deft.cli.documentation [--check]`.

A table stands between `<!-- generated: NAME -->` and `<!-- end -->`; what is there is replaced.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from deft.cli import documentation_tables
from deft.cli.documentation_tables import table
from deft.cli.verbs import VERBS
from deft.errors import StateConflict, UsageError
from deft.files import parse_yaml, read_text, write_text
from deft.platforms.catalogue import read_catalogue

REPOSITORY = Path(__file__).resolve().parents[3]
DOCUMENTS = ("*.md", "references/*.md", "agents/*.md", "skills/*/*.md", "skills/*/references/*.md")
BLOCK = re.compile(r"(<!-- generated: (?P<name>[a-z-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def verbs_table(_: Path) -> str:
    """Return every verb with its section and what it is for."""
    rows = [(f"`deft {name}`", verb.summary) for name, verb in VERBS.items()]
    return table(("verb", "what it does"), rows)


def skills_table(repository: Path) -> str:
    """Return every skill with the description that routes to it."""
    skills = sorted((repository / "skills").glob("*/SKILL.md"))
    rows = [
        (f"[`{path.parent.name}`](skills/{path.parent.name}/SKILL.md)", _description(path)) for path in skills
    ]
    return table(("skill", "when"), rows)


def platforms_table(_: Path) -> str:
    """Return every platform with its aliases and the names of the credentials it wants."""
    rows = [
        (f"`{platform.name}`", ", ".join(platform.aliases), ", ".join(platform.credential_names()))
        for platform in read_catalogue().platforms
    ]
    return table(("platform", "also called", "credentials (by name)"), rows)


TABLES: dict[str, Callable[[Path], str]] = {
    "verbs": verbs_table,
    "skills": skills_table,
    "platforms": platforms_table,
    **documentation_tables.TABLES,
}


def _description(skill: Path) -> str:
    frontmatter = parse_yaml(read_text(skill).split("---")[1], skill)
    return str(frontmatter["description"])


def rendered(text: str, repository: Path) -> str:
    """Return a document with every generated block filled anew; an unknown block name is refused."""

    def fill(block: re.Match[str]) -> str:
        if block["name"] not in TABLES:
            raise UsageError("no generated table of this name", value=block["name"], hint=", ".join(TABLES))
        return f"{block[1]}{TABLES[block['name']](repository)}{block[3]}"

    return BLOCK.sub(fill, text)


def stale_documents(repository: Path) -> dict[Path, str]:
    """Return the documents whose blocks differ from the code, with the text that they should have."""
    documents = [path for pattern in DOCUMENTS for path in sorted(repository.glob(pattern))]
    texts = {path: read_text(path) for path in documents}
    fresh = {path: rendered(text, repository) for path, text in texts.items()}
    return {path: text for path, text in fresh.items() if text != texts[path]}


def main(arguments: Sequence[str]) -> int:
    """Rewrite the stale documents; with `--check` only refuse them by name."""
    stale = stale_documents(REPOSITORY)
    if "--check" in arguments and stale:
        names = ", ".join(str(path.relative_to(REPOSITORY)) for path in stale)
        raise StateConflict(
            "documents differ from the code", value=names, hint="python -m deft.cli.documentation"
        )
    for path, text in stale.items():
        write_text(path, text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
