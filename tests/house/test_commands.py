"""Every command that a document names exists, with its options."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from deft.cli.main import deft
from deft.cli.verbs import VERBS

REPOSITORY = Path(__file__).resolve().parents[2]
DOCUMENTS = ("*.md", "references/*.md", "agents/*.md", "skills/**/*.md")
COMMAND = re.compile(r"(?:^|[`;&$/ ])deft (?P<verb>[a-z][a-z-]+)(?P<rest>[^`\n#;&]*)", re.MULTILINE)
CODE = re.compile(r"```(?:bash|console)\n(.*?)```|`([^`\n]+)`", re.DOTALL)

# Options that another issue of the plan brings. This list may only shrink.
STILL_TO_COME: set[str] = set()
TOOLS_OWN = {"-e", "--cfg"}  # `deft tool` hands its words on to the tools' own grammar


def commands(text: str) -> Iterator[tuple[str, list[str]]]:
    """Yield verb and long options of each `deft …` inside code."""
    for block in CODE.findall(text):
        for found in COMMAND.finditer("".join(block)):
            yield found["verb"], re.findall(r"(?<!\S)--[a-z][a-z-]*", found["rest"])


def unknown(text: str) -> list[str]:
    """Return verbs and options that the command line does not have."""
    found = []
    for verb, options in commands(text):
        if verb not in VERBS:
            found.append(verb)
        else:
            found += [f"{verb} {option}" for option in options if option not in options_of(verb)]
    return found


def options_of(verb: str) -> set[str]:
    command = deft.get_command(click.Context(deft), verb)
    parameters = [parameter for child in leaves(command) for parameter in child.params]
    names = {name for p in parameters for name in (*p.opts, *p.secondary_opts)}
    return names | {"--help"} | (TOOLS_OWN if verb == "tool" else set())


def leaves(command: click.Command | None) -> Iterator[click.Command]:
    """Yield the commands of a verb that do something."""
    if isinstance(command, click.Group):
        for child in command.commands.values():
            yield from leaves(child)
    elif command is not None:
        yield command


def documents() -> list[Path]:
    return sorted({path for pattern in DOCUMENTS for path in REPOSITORY.glob(pattern)})


@pytest.mark.parametrize("document", documents(), ids=lambda path: path.relative_to(REPOSITORY).as_posix())
def test_a_document_names_commands_that_exist(document: Path) -> None:
    assert set(unknown(document.read_text(encoding="utf-8"))) <= STILL_TO_COME


def test_what_is_still_to_come_is_still_missing() -> None:
    for name in STILL_TO_COME:
        verb, option = name.split()
        assert option not in options_of(verb), f"take `{name}` off the list"


def test_commands_are_found_in_the_documents() -> None:
    found = [verb for path in documents() for verb, _ in commands(path.read_text(encoding="utf-8"))]
    assert len(found) > 60
    assert {"preflight", "run", "mine", "report", "spot-check"} <= set(found)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("`deft flie RUN`", ["flie"]),
        ("```bash\ndeft mine A B --output-dirr X\n```", ["mine --output-dirr"]),
        ("```console\n$ deft status RUN && deft stopp RUN\n```", ["stopp"]),
        ("`deft import folders W --golden-dir g`", []),
        ("deft stands for a method", []),
    ],
)
def test_a_command_that_does_not_exist_is_found(text: str, expected: list[str]) -> None:
    assert unknown(text) == expected
