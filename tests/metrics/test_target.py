from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deft.errors import Corruption, InputRefused, UsageError
from deft.metrics.kpi import sweep
from deft.metrics.target import Target, parse_target, rows_needed, sample_size_advice

HEADLINE = "FAR < 0.1% at recall >= 100%"


@given(
    st.sampled_from(["FAR <", "FAR <=", "precision >", "F1 >=", "escapes <="]),
    st.decimals(0, 99, places=4),
    st.sampled_from(["%", ""]),
    st.sampled_from(["", " at recall >= 99.5%", " at cost(escape=3, false_alarm=1) <= 10"]),
)
def test_a_target_survives_its_normal_form_and_its_record(
    start: str, number: object, unit: str, end: str
) -> None:
    try:
        target = parse_target(f"{start} {number}{unit}{end}")
    except UsageError:
        return
    assert parse_target(target.normal_form()) == target
    record = json.loads(json.dumps(target.to_record()))
    assert Target.from_record(record) == target
    assert Target.from_record(record).text == target.text


def test_a_record_keeps_what_the_user_wrote_and_ignores_what_others_add() -> None:
    record = parse_target(" FAR<0.1%@recall=100% ").to_record() | {"source": "user"}
    assert record["text"] == "FAR<0.1%@recall=100%"
    assert Target.from_record(record).to_record() == parse_target("FAR<0.1%@recall=100%").to_record()


@pytest.mark.parametrize("change", [{"value": 0.5}, {"metric": "recall"}, {"normal_form": "banana"}])
def test_a_record_that_contradicts_itself_is_corruption(change: dict[str, object]) -> None:
    with pytest.raises(Corruption):
        Target.from_record(parse_target(HEADLINE).to_record() | change)


def test_a_record_without_a_normal_form_is_corruption() -> None:
    with pytest.raises(Corruption):
        Target.from_record({"value": 0.1})


# PASS 0.1 0.2 0.3 0.6; defects 0.2 0.5 0.7 0.9
SCORES = [0.1, 0.2, 0.3, 0.6, 0.2, 0.5, 0.7, 0.9]
IS_DEFECT = [False] * 4 + [True] * 4


@pytest.mark.parametrize(
    ("text", "value", "met"),
    [
        ("FAR < 75% at recall 100%", 0.75, False),
        ("FAR <= 75% at recall 100%", 0.75, True),
        ("FAR <= 25% at recall 75%", 0.25, True),
        ("FAR < 1% at recall > 75%", 0.75, False),
        ("recall >= 75% at FAR <= 25%", 0.75, True),
        ("recall > 75% at FAR <= 25%", 0.75, False),
        ("precision >= 100% at recall 50%", 1.0, True),
        ("F1 > 75%", 0.75, False),
        ("escapes <= 1 at FAR <= 25%", 1.0, True),
        ("cost(escape=10, false_alarm=1) < 4", 3.0, True),
        ("cost(escape=1, false_alarm=10) < 2", 2.0, False),
        ("FAR < 10% at precision 90%", 0.0, True),
        ("cost(escape=1, false_alarm=1) < 3 at recall 100%", 3.0, False),
    ],
)
def test_a_target_is_measured_at_the_best_threshold_that_keeps_its_constraint(
    text: str, value: float, met: bool
) -> None:
    target = parse_target(text)
    found = target.value(sweep(SCORES, IS_DEFECT))
    assert found == pytest.approx(value)
    assert target.is_met_by(found) is met


def test_a_constraint_that_cannot_be_kept_is_never_met_and_sorts_last() -> None:
    target = parse_target("FAR < 10% at cost(escape=1, false_alarm=1) <= 1")
    value = target.value(sweep(SCORES, IS_DEFECT))
    assert value is None
    assert not target.is_met_by(value)
    assert target.badness(value) > target.badness(1.0)


def test_of_two_models_the_better_has_the_lower_badness() -> None:
    assert parse_target("FAR < 1%").badness(0.1) < parse_target("FAR < 1%").badness(0.2)
    assert parse_target("F1 > 90%").badness(0.9) < parse_target("F1 > 90%").badness(0.8)


def test_the_recall_floor_is_the_recall_asked_for_else_no_missed_defect() -> None:
    assert parse_target("FAR < 1% at recall 99.5%").recall_floor == 0.995
    assert parse_target("recall >= 98% at FAR 1%").recall_floor == 0.98
    assert parse_target("F1 > 90%").recall_floor == 1.0


def test_one_class_alone_measures_nothing() -> None:
    with pytest.raises(InputRefused, match="both classes"):
        parse_target(HEADLINE).value(sweep([0.1], [True]))


def test_the_advice_says_what_a_small_set_can_never_prove() -> None:
    assert sample_size_advice(parse_target(HEADLINE), 400, 60) == [
        "400 PASS rows can never prove FAR < 0.1 %: about 3,000 with no false alarm are needed.",
        "One false alarm in 400 PASS rows is already 0.25 %.",
        "60 defects bound the miss rate at 4.9 %, if none is missed.",
    ]


@pytest.mark.parametrize(
    ("rows", "alarms"),
    [(2995, "none of them raises"), (6300, "at most 2 of them raise"), (10_000, "at most")],
)
def test_the_advice_says_how_many_alarms_a_large_set_allows(rows: int, alarms: str) -> None:
    advice = sample_size_advice(parse_target(HEADLINE), rows, 600)
    assert advice[0].startswith(f"{rows:,} PASS rows can prove FAR < 0.1 % only while {alarms}")


def test_the_advice_names_the_defects_that_a_recall_below_one_needs() -> None:
    advice = sample_size_advice(parse_target("FAR < 1% at recall 99.5%"), 5000, 60)
    assert advice[1].endswith("about 600 are needed to prove 0.5 %.")
    assert sample_size_advice(parse_target("F1 > 90%"), 400, 60) == [
        "60 defects bound the miss rate at 4.9 %, if none is missed."
    ]


def test_the_advice_for_an_empty_class_or_a_rate_of_zero_is_plain() -> None:
    assert "no PASS rows" in sample_size_advice(parse_target(HEADLINE), 0, 0)[0]
    assert "no defect rows" in sample_size_advice(parse_target(HEADLINE), 0, 0)[1]
    assert "no number of rows does" in sample_size_advice(parse_target("FAR <= 0"), 9, 9)[0]


def test_the_advice_says_how_a_rate_without_a_percent_sign_was_read() -> None:
    advice = sample_size_advice(parse_target("FAR < 0.1 at recall 100%"), 400, 60)
    assert advice[0] == (
        "0.1 without a percent sign is a fraction, so this asks for FAR < 10 %; "
        "if per cent was meant, write 0.1%."
    )
    for plain in ("FAR < 10% at recall 1", "FAR < 0.001"):
        assert not any("fraction" in line for line in sample_size_advice(parse_target(plain), 400, 60))


def test_rows_needed_counts_rows_without_an_error() -> None:
    assert rows_needed(parse_target(HEADLINE)) == (2995, None)
    assert rows_needed(parse_target("FAR < 1% at recall 99.5%")) == (299, 598)
    assert rows_needed(parse_target("F1 > 90%")) == (None, None)
