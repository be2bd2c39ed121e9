"""A spec holds plain values, each of them once."""

from __future__ import annotations

import pytest
import yaml

from deft import strict_yaml


def test_a_text_that_was_read_before_gives_values_of_ones_own() -> None:
    first = strict_yaml.load("a: [1, 2]\n")
    first["a"].append(3)
    assert strict_yaml.load("a: [1, 2]\n") == {"a": [1, 2]}


@pytest.mark.parametrize(
    "text",
    [
        "a: 1\na: 2",
        "a: !!python/object/apply:os.system [true]",
        "[" * 60 + "]" * 60,
        "a: &a [1]\nb: [" + "*a," * 101 + "]",
        "? [1]\n: 2",
        "a: " + "x" * 70_000,
    ],
)
def test_what_is_more_than_plain_values_is_refused(text: str) -> None:
    for _ in range(2):  # a refusal is not remembered as an answer
        with pytest.raises(yaml.YAMLError):
            strict_yaml.load(text)
