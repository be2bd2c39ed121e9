"""Ten samples, one verdict each; a verdict never changes a label."""

from __future__ import annotations

import pytest

from deft import files
from deft.errors import UsageError
from deft.run.spot_check import parse_verdicts, record_alone


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


def test_an_analysis_alone_takes_its_verdicts_beside_its_samples(tmp_path):
    sample = {"number": 1, "image": "rca_images/01.png", "component_id": "b/U1", "label": "bridge"}
    files.write_json(tmp_path / "spot_check.json", {"samples": [sample]})
    record = record_alone(tmp_path, ["1=mislabeled"])
    assert record["proposed_corrections"] == [{"component_id": "b/U1", "label": "bridge"}]
    assert files.read_json(tmp_path / "verdicts.json") == record
    with pytest.raises(UsageError, match="one verdict for each of 1"):
        record_alone(tmp_path, [])
