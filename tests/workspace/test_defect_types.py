"""Which defect a synthetic pair shows: the specification's word, the stem's, or `ng`."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deft.errors import InputRefused
from deft.workspace.defect_types import defect_types


@pytest.fixture
def spec_file(tmp_path: Path):
    def write(*entries: object) -> Path:
        path = tmp_path / "defect_spec.jsonl"
        lines = [entry if isinstance(entry, str) else json.dumps(entry) for entry in entries]
        path.write_text("\n".join(lines) + "\n")
        return path

    return write


def test_the_type_in_a_stem_is_kept() -> None:
    """B3: the original's staging forced `--label NG` on every pair and lost the type in the stem."""
    types = defect_types(["PCB+bridge_00000", "X+Y+Solder Ball_7", "plain", "a+b", "+b_1"], None)
    assert types == {
        "PCB+bridge_00000": "bridge",
        "X+Y+Solder Ball_7": "solder ball",
        "plain": "ng",
        "a+b": "ng",
        "+b_1": "ng",
    }


@pytest.mark.parametrize(
    "entry",
    [
        {"stem": "a", "defect_type": "Open"},
        {"name": "a.png", "label": "open"},
        {"image": "reconstructed_image/a.JPG", "defect_type": "open"},
        {"stems": ["a"], "defect_type": "open", "count": 1},
    ],
)
def test_the_specification_goes_before_the_stem(spec_file, entry: dict[str, object]) -> None:
    assert defect_types(["a", "x+short_1"], spec_file(entry)) == {"a": "open", "x+short_1": "short"}


def test_an_entry_about_a_whole_type_labels_no_stem(spec_file) -> None:
    path = spec_file({"defect_type": "bridge", "description": "solder between pads"}, "")
    assert defect_types(["a"], path) == {"a": "ng"}


def test_a_missing_specification_is_none(tmp_path: Path) -> None:
    assert defect_types(["a"], tmp_path / "absent.jsonl") == {"a": "ng"}


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ("{not json", "line 1"),
        ("[1]", "no `defect_type`"),
        ({"stem": "a"}, "no `defect_type`"),
        ({"stem": 3, "defect_type": "open"}, "by no text"),
        ({"stem": "absent", "defect_type": "open"}, "have no picture"),
        ({"stem": "a", "defect_type": "PASS"}, "label of a defect"),
        ({"stem": "a", "defect_type": "pass"}, "PASS"),
        ({"stem": "a", "defect_type": "=1"}, "label of a defect"),
    ],
)
def test_an_entry_that_cannot_be_followed_is_refused(spec_file, entry: object, reason: str) -> None:
    with pytest.raises(InputRefused, match=reason):
        defect_types(["a"], spec_file(entry))


def test_two_types_for_one_stem_are_refused(spec_file) -> None:
    path = spec_file({"stem": "a", "defect_type": "open"}, {"stem": "a.png", "defect_type": "short"})
    with pytest.raises(InputRefused, match=r"two defect types.*line 2"):
        defect_types(["a"], path)


def test_a_stem_that_calls_a_defect_PASS_is_refused() -> None:
    with pytest.raises(InputRefused, match="PASS"):
        defect_types(["x+PASS_1"], None)


@given(st.text("a+_1٣ \n", max_size=12))
def test_the_type_in_a_stem_is_what_stands_between_the_last_plus_and_the_number(stem: str) -> None:
    found = re.fullmatch(r".+\+(?P<label>.+)_\d+", stem, re.DOTALL)
    try:
        assert defect_types([stem], None)[stem] == (found["label"].strip().lower() if found else "ng")
    except InputRefused:
        assert found
