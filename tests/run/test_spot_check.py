"""Ten samples, one verdict each; a verdict never changes a label."""

from __future__ import annotations

import pytest

from deft.errors import UsageError
from deft.run.spot_check import parse_verdicts


def test_verdicts_are_read_with_any_spelling_of_their_blanks():
    answers = ["1=mislabeled", "2=edge case", "3=edge-case", "4=Data_Quality", "5=systematic"]
    assert parse_verdicts(answers, 5) == {
        1: "mislabeled",
        2: "edge case",
        3: "edge case",
        4: "data quality",
        5: "systematic",
    }


@pytest.mark.parametrize("answer", ["1=fine", "mislabeled", "x=mislabeled", "=mislabeled", ""])
def test_another_word_is_refused_with_the_four_verdicts(answer):
    with pytest.raises(UsageError, match="mislabeled, edge case, data quality, systematic"):
        parse_verdicts([answer], 1)


@pytest.mark.parametrize("answers", [["1=systematic"], ["1=systematic", "2=systematic", "3=systematic"]])
def test_each_sample_needs_exactly_one_verdict(answers):
    with pytest.raises(UsageError, match="each of 2 samples"):
        parse_verdicts(answers, 2)
