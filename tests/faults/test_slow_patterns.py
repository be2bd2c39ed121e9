"""No pattern of the program takes more than a moment over 100,000 characters that were chosen against it."""

from __future__ import annotations

import contextlib
import importlib
import os
import pkgutil
import re
import signal
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

import deft
from deft.errors import DeftError
from deft.files import parse_yaml
from deft.guard import reports, shell, words
from deft.guard.redaction import Redactor
from deft.guard.shell_words import Unparsable
from deft.metrics.target import parse_target
from deft.report.markdown import without_prose, word_count
from deft.tools.grammar import parse_override
from deft.tools.override_values import parse_value
from deft.untrusted import untrusted, visible_lines
from deft.workspace.defect_types import defect_types
from deft.workspace.rows import can_stand_in_a_row

LENGTH = 100_000
SECONDS = 10
# What makes an engine go back often: long runs of what a repeated group takes, ended by what it
# does not take. Each family is tried with every end.
RUNS = (
    *(
        "a",
        "A",
        "0",
        "1",
        "_",
        " ",
        "\t",
        "\n",
        "-",
        "+",
        ".",
        "/",
        "\\",
        "'",
        '"',
        "`",
        "#",
        "=",
        "$",
        "{",
        "(",
        "|",
        ",",
        ":",
    ),
    *(
        "a ",
        "a=",
        "a_1",
        "+a_0",
        "1,",
        "1.",
        "/a",
        "\\a",
        "a-",
        "# a\n",
        "<!--",
        "->",
        "{{",
        "${",
        "${a",
        "\x1b[",
        "\x1b]",
        "\x9b1;",
    ),
    *(
        "key=",
        "TOKEN=a ",
        "%41",
        "hf_",
        "nvapi-",
        "eyJ",
        "export A=b\n",
        'A_KEY="a\n',
        "line 1\r\n",
        "\u200b",
        "👍",
        "é",
        "＝",
    ),
    *("== a", "(a", "[1", "a:b ", "http://", "- ", "* ", "1) ", "| a ", "0x", "1e5", "a\\ ", "'a' ", "../"),
)
ENDS = ("!", "\n")
# Asked only up to where a comment ends for the last time: their readers are tried below instead.
WITHIN_BOUNDS = ("deft.guard.reports.NO_PROSE.0", "deft.report.markdown.COMMENT.0")
METHODS = re.compile(r"\b([A-Z_]{3,})\.(fullmatch|match|search|finditer|findall|sub|subn|split)\(")


def patterns() -> dict[str, re.Pattern[str]]:
    """Return every compiled pattern of the package by its module and name, those in tables as well."""
    found = {}
    for module in pkgutil.walk_packages(deft.__path__, "deft."):
        if module.name.endswith("__main__"):
            continue
        for name, value in vars(importlib.import_module(module.name)).items():
            for number, pattern in enumerate(held(value)):
                found[f"{module.name}.{name}.{number}"] = pattern
    texts = {place for place, pattern in found.items() if isinstance(pattern.pattern, str)}
    return {place: found[place] for place in sorted(texts.difference(WITHIN_BOUNDS))}


def held(value: object) -> Iterator[re.Pattern[str]]:
    if isinstance(value, re.Pattern):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from held(inner)
    elif isinstance(value, tuple | list):
        for inner in value:
            yield from held(inner)


def methods() -> dict[str, set[str]]:
    """Return by a pattern's name how the package uses it; a search meets texts that a match does not."""
    used: dict[str, set[str]] = defaultdict(set)
    for path in Path(deft.__path__[0]).rglob("*.py"):
        for name, method in METHODS.findall(path.read_text(encoding="utf-8")):
            used[name].add(method)
    return used


def texts() -> Iterator[str]:
    for run in RUNS:
        for end in ENDS:
            yield (run * (LENGTH // len(run) + 1))[:LENGTH] + end


def slowest(pattern: re.Pattern[str], used: set[str]) -> tuple[float, str]:
    """Return the seconds of the slowest text, and its beginning."""
    worst = (0.0, "")
    for text in texts():
        started = time.perf_counter()
        for method in used:
            getattr(pattern, method)(*([""] if method in ("sub", "subn") else []), text)
        worst = max(worst, (time.perf_counter() - started, ascii(text[:8])))
    return worst


def survives(work: Callable[[], tuple[float, str]], seconds: int = SECONDS) -> tuple[bool, str]:
    """Do some work in a child that is killed at the cap; return whether it ended, and what it measured."""
    reading, writing = os.pipe()
    with warnings.catch_warnings(
        action="ignore"
    ):  # newer Pythons warn of threads, of which the child uses none
        child = os.fork()
    if child == 0:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(seconds)
        try:
            took, text = work()
            os.write(writing, f"{took:.2f} s for {text}".encode())
            os._exit(0)
        finally:
            os._exit(1)
    os.close(writing)
    with os.fdopen(reading, "rb") as stream:
        said = stream.read().decode()
    return os.waitpid(child, 0)[1] == 0, said


def test_no_pattern_of_the_package_is_slow_on_texts_chosen_against_it(
    figure: Callable[[str, str, str], None],
) -> None:
    known, used = patterns(), methods()
    slow, longest = [], 0.0
    for place, pattern in known.items():
        ok, said = survives(partial(slowest, pattern, used.get(place.split(".")[-2], {"match"})))
        slow += [] if ok else [f"{place}: {pattern.pattern[:80]}"]
        longest = max(longest, float(said.split()[0]) if ok else SECONDS)
    assert slow == []
    assert len(known) > 80
    figure(
        f"{len(RUNS) * len(ENDS)} texts of 100,000 characters against each regular expression",
        f"each pattern within {SECONDS} s",
        f"{len(known)} patterns, the slowest text took {longest:.2f} s",
    )


@pytest.mark.parametrize(
    "reader",
    [
        Redactor(set()).clean,
        untrusted,
        visible_lines,
        lambda text: shell.Script(text[: shell.MAX_LENGTH]),
        words.is_approval,
        without_prose,
        word_count,
        lambda text: defect_types([text], None),
        lambda text: reports._prose(text),
        reports._sections,
        parse_target,
        parse_value,
        parse_override,
        lambda text: parse_yaml(text[: len(text) // 8]),
        can_stand_in_a_row,
    ],
)
def test_no_reader_of_foreign_text_is_slow(reader: Callable[[str], object]) -> None:
    def all_of_them() -> tuple[float, str]:
        worst = (0.0, "")
        for text in texts():
            started = time.perf_counter()
            with contextlib.suppress(DeftError, Unparsable):
                reader(text)
            worst = max(worst, (time.perf_counter() - started, ascii(text[:8])))
        return worst

    ok, said = survives(all_of_them, seconds=60)
    assert ok
    assert float(said.split()[0]) < SECONDS, said


def test_a_slow_pattern_is_found() -> None:
    assert not survives(partial(slowest, re.compile("(a+)+b"), {"match"}), seconds=1)[0]
