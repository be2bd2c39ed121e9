from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deft.errors import UsageError
from deft.metrics.target import parse_target
from deft.metrics.target_grammar import EXAMPLES, Clause, read_clauses

KNOWN_WORDS = (
    "FAR",
    "recall",
    "escapes",
    "<",
    "<=",
    "=",
    "1",
    "0.1%",
    "1e9",
    "at",
    "@",
    "with",
    "no",
    ",",
    "cost(",
)
HEADLINE = "FAR < 0.1% at recall >= 100%"


@pytest.mark.parametrize(
    "text",
    [
        "FAR < 0.1% at recall=100%",
        "FAR<0.1%@recall=100%",
        "far < 0.001 @ recall = 1.0",
        "FAR < 0.1% at recall 1.0",
        "FAR < 0.1% at 100% recall",
        "FAR at 100 % recall below 0.1 %",
        "FAR@recall=100% < 0.1%",
        "FAR below 0.1%",
        "false alarm rate below 0.1% with no missed defect",
        "until FAR is below 0.1 % with no missed defect",
        "FAR under 0.1 percent, and with zero escapes.",
        "no escapes and FAR less than 0.1%",
        "FAR < .1% without missing a defect",
        "FAR < 0.1% with all defects found",
        "FAR < 0.1% while missed defects = 0",
        "KPI target: false alarms < 0.1%, at recall >= 100 per cent",
        "FAR < 0.1% with miss rate 0",
        "FAR < 0.1% with escapes < 1",
    ],
)
def test_what_people_write_for_the_usual_target_parses_to_one_record(text: str) -> None:
    assert parse_target(text).normal_form() == HEADLINE
    assert parse_target(text) == parse_target(HEADLINE)


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("FAR <= 0.001 at recall 1.0", "FAR <= 0.1% at recall >= 100%"),
        ("FAR of at most 0.1% with recall >= 99.5%", "FAR <= 0.1% at recall >= 99.5%"),
        ("recall above 99.5% at FAR of 1%", "recall > 99.5% at FAR <= 1%"),
        ("recall >= 99% with FAR < 1%", "FAR < 1% at recall >= 99%"),
        ("miss rate below 0.5% at FAR 1%", "recall > 99.5% at FAR <= 1%"),
        ("at most 2 escapes at FAR <= 1%", "escapes <= 2 at FAR <= 1%"),
        ("fewer than 3 missed defects at FAR <= 1%", "escapes <= 2 at FAR <= 1%"),
        ("F1 above 0.95", "F1 > 95%"),
        ("precision at least 90%", "precision >= 90% at recall >= 100%"),
        ("cost( false_alarm=1, escape = 100 ) < 50", "cost(escape=100, false_alarm=1) < 50"),
        ("cost(escape=2.5, false alarm=1) <= 50 at recall 99%", None),
        ("F1 >= 90% at cost(escape=9, false_alarm=1) <= 7", None),
    ],
)
def test_every_metric_has_one_normal_form_that_parses_to_the_same(text: str, normal: str | None) -> None:
    target = parse_target(text)
    assert normal is None or target.normal_form() == normal
    assert parse_target(target.normal_form()) == target


@pytest.mark.parametrize(
    "text",
    [
        "",
        "banana",
        "FAR",
        "< 0.1%",
        "at recall 100%",
        "FAR < 0.1% at",
        "FAR < 0.1% recall 100%",
        "FAR < 0,1%",
        "FAR < 1%%",
        "FAR < 5",
        "FAR < 1",
        "FAR < 0",
        "FAR > 1%",
        "FAR < 101%",
        "FAR < 0.1% at recall <= 99%",
        "FAR < 0.1% at recall > 100%",
        "FAR < 0.1% at FAR < 1%",
        "FAR < 0.1% at recall 1 at precision 1",
        "recall = 100%",
        "no escapes",
        "recall >= 0 at FAR 1%",
        "escapes <= 1.5 at FAR 1%",
        "cost < 50",
        "cost(escape=1, escape=2) < 5",
        "cost(escape=1, false_alarm=2) < 5%",
        "FAR < 1e-3000",
        "FAR < 0.1% or recall 99%",
    ],
)
def test_what_does_not_parse_is_refused_with_three_examples(text: str) -> None:
    with pytest.raises(UsageError) as refusal:
        parse_target(text)
    assert all(example in str(refusal.value) for example in EXAMPLES)


@pytest.mark.parametrize("text", EXAMPLES)
def test_the_examples_parse(text: str) -> None:
    parse_target(text)


@given(st.text(max_size=60))
def test_any_text_parses_or_is_refused(text: str) -> None:
    try:
        parse_target(text)
    except UsageError:
        return


@given(
    st.lists(
        st.sampled_from(
            [
                "FAR",
                "recall",
                "escapes",
                "<",
                "<=",
                "=",
                "1",
                "0.1%",
                "1e9",
                "at",
                "@",
                "with",
                "no",
                ",",
                ".",
                "cost(",
            ]
        ),
        max_size=9,
    )
)
def test_any_mixture_of_known_words_parses_or_is_refused(words: list[str]) -> None:
    try:
        target = parse_target(" ".join(words))
    except UsageError:
        return
    assert parse_target(target.normal_form()) == target


def test_words_without_meaning_change_nothing() -> None:
    plain = read_clauses("FAR < 1% at recall >= 99%")
    assert read_clauses("the target of FAR is to be < 1% at a recall of >= 99%") == plain
    assert plain == (Clause("far", "<", 0.01), Clause("recall", ">=", 0.99))


def test_percent_and_fraction_are_the_same_number() -> None:
    assert read_clauses("FAR < 0.1%") == read_clauses("FAR < 0.001") == read_clauses("FAR < 1e-3")
