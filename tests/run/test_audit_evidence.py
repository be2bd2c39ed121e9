"""How a record is compared with what is found."""

from __future__ import annotations

import pytest

from deft.run.audit_evidence import Tally, first_difference


@pytest.mark.parametrize(
    ("recorded", "found", "difference"),
    [
        ({"a": 1.0}, {"a": 1.0 + 1e-13}, None),
        ({"a": 1.0}, {"a": 1.0001}, ("a", 1.0, 1.0001)),
        ({"a": [1, {"b": "x"}]}, {"a": (1, {"b": "y"})}, ("a.1.b", "x", "y")),
        ({"a": 1}, {}, ("a", 1, "nothing")),
        ({}, {"a": 1}, ("a", "nothing", 1)),
        ([1], [1, 2], ("", [1], [1, 2])),
        (True, 1, ("", True, 1)),
        (1.0, True, ("", 1.0, True)),
        ("1", 1, ("", "1", 1)),
    ],
)
def test_numbers_agree_up_to_rounding_and_nothing_else_does(recorded, found, difference):
    assert first_difference(recorded, found) == difference


def test_what_cannot_be_checked_is_said_once():
    tally = Tally()
    tally.skip("the workspace")
    tally.skip("the workspace")
    assert tally.not_checked == ["the workspace"]
