"""What the right side of `key=value` means."""

from __future__ import annotations

import math

import pytest

from deft.errors import UsageError
from deft.tools.override_values import parse_value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("-5", -5),
        ("+7", 7),
        ("0.25", 0.25),
        (".5", 0.5),
        ("1e-06", 1e-06),
        ("2.", 2.0),
        ("-inf", -math.inf),
        ("true", True),
        ("FALSE", False),
        ("null", None),
        ("", ""),
        ("on", "on"),
        ("yes", "yes"),
        ("???", "???"),
        ("001", "001"),
        ("-012", "-012"),
        ("1.2.3", "1.2.3"),
        ("/data/in put, second", "/data/in put, second"),
        ("  padded  ", "padded"),
        (r"in\ put", "in put"),
        ("'true'", "true"),
        ('"a b"', "a b"),
        (r"'it\'s'", "it's"),
        ("''", ""),
        ("${a.b}/c", "${a.b}/c"),
        ("[0, 1]", [0, 1]),
        ("[]", []),
        ("['a,b', c d, [1]]", ["a,b", "c d", [1]]),
        ("{SolderLight: 0, IR: 1}", {"SolderLight": 0, "IR": 1}),
        ("{a: {b: [x]}}", {"a": {"b": ["x"]}}),
        ("[${eval:'1+1'}, 2]", ["${eval:'1+1'}", 2]),
    ],
)
def test_a_text_stands_for(text: str, value: object) -> None:
    parsed = parse_value(text)
    assert parsed == value
    assert type(parsed) is type(value)


def test_not_a_number_is_a_number() -> None:
    parsed = parse_value("nan")
    assert isinstance(parsed, float)
    assert math.isnan(parsed)


@pytest.mark.parametrize("text", ["'open", "[1, 2", "{a: 1", "{a}", "[1] 2", "'a' b"])
def test_an_unfinished_value_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="does not parse"):
        parse_value(text)
