"""The commands' grammar: schema, spec file, overrides, `???`, interpolation."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest
from omegaconf import MISSING, DictConfig
from omegaconf.errors import MissingMandatoryValue

from conformance import difference
from deft.errors import InputRefused, UsageError
from deft.tools.grammar import (
    compose,
    compose_text,
    evaluate_arithmetic,
    parse_override,
    to_yaml,
    typed_overrides,
)


@dataclass
class Optimiser:
    lr: float = 0.1
    steps: list[int] = field(default_factory=lambda: [1, 2])


@dataclass
class Schema:
    name: str = "plain"
    count: int = 5
    share: float = 0.5
    quick: bool = False
    results_dir: str = MISSING
    log_dir: str = "${results_dir}/log"
    optim: Optimiser = field(default_factory=Optimiser)


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    return tmp_path / "spec.yaml"


def composed(*overrides: str, spec: Path | None = None) -> DictConfig:
    return compose(Schema, spec, [parse_override(text) for text in overrides])


def refusal(*overrides: str, spec: Path | None = None) -> str:
    with pytest.raises(UsageError) as caught:
        composed(*overrides, spec=spec)
    return str(caught.value)


def test_without_a_spec_the_defaults_of_the_schema_hold() -> None:
    assert difference("runs-without-e")
    assert composed().count == 5


def test_an_override_beats_the_spec_and_the_spec_beats_the_schema(spec: Path) -> None:
    spec.write_text("count: 7\nname: from the spec\n")
    config = composed("count=9", spec=spec)
    assert (config.count, config.name, config.share) == (9, "from the spec", 0.5)


def test_a_spec_that_is_not_on_disk_is_composed_like_one_that_is(spec: Path) -> None:
    spec.write_text("share: 1e-4\n")
    assert compose_text(Schema, spec.read_text(), spec) == composed(spec=spec)
    with pytest.raises(UsageError, match=r"Key 'steep' not in 'Optimiser'[\s\S]*optim\.steep"):
        compose_text(Schema, "optim: {steep: 1}", spec)


def test_an_empty_spec_changes_nothing(spec: Path) -> None:
    spec.write_text("{}\n")
    assert composed(spec=spec) == composed()


def test_a_number_in_scientific_notation_is_a_number_in_the_spec(spec: Path) -> None:
    spec.write_text("optim: {lr: 1e-4}\n")
    assert composed(spec=spec).optim.lr == 1e-4


@pytest.mark.parametrize("text", ["- a\n- b\n", "just words\n"])
def test_a_spec_that_is_no_mapping_is_refused(spec: Path, text: str) -> None:
    spec.write_text(text)
    with pytest.raises(InputRefused, match="not a mapping"):
        composed(spec=spec)


def test_a_missing_spec_is_refused_by_name(spec: Path) -> None:
    with pytest.raises(InputRefused, match=r"spec\.yaml"):
        composed(spec=spec)


def test_an_unknown_key_of_the_spec_is_refused_with_the_schema(spec: Path) -> None:
    spec.write_text("cuont: 7\n")
    assert refusal(spec=spec).startswith("Error merging 'spec.yaml' with schema\nKey 'cuont' not in 'Schema'")


def test_an_unknown_key_of_an_override_is_refused() -> None:
    assert refusal("optim.momentum=1").startswith("Could not override 'optim.momentum'.")


def test_a_wrong_type_is_refused_with_the_override() -> None:
    assert refusal("count=2.5").startswith("Error merging override count=2.5\n")
    assert refusal("share=much").startswith("Error merging override share=much\n")


def test_an_integer_is_converted_where_a_float_is_due() -> None:
    assert composed("share=1").share == 1.0
    assert isinstance(composed("share=1").share, float)


def test_a_boolean_becomes_text_where_text_is_due(spec: Path) -> None:
    spec.write_text("name: true\n")
    assert composed(spec=spec).name == "True"


def test_a_plus_does_not_replace_what_is_there() -> None:
    assert refusal("+count=3") == "Could not append to config. An item is already at 'count'."


def test_a_plus_adds_a_new_key_and_fills_a_missing_value() -> None:
    assert composed("+results_dir=out").results_dir == "out"
    assert composed("+extra=1").extra == 1


def test_a_double_plus_changes_or_adds() -> None:
    assert composed("++count=3").count == 3
    assert composed("++extra=3").extra == 3


def test_a_mandatory_value_is_missed_only_when_it_is_read() -> None:
    config = composed()
    assert config.count == 5
    with pytest.raises(MissingMandatoryValue):
        _ = config.results_dir


def test_an_interpolation_follows_an_override() -> None:
    assert composed("results_dir=/runs/1").log_dir == "/runs/1/log"


@pytest.mark.parametrize("text", ["count", "=3", "--count=3", "co unt=3"])
def test_a_word_that_is_no_override_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="override does not parse"):
        parse_override(text)


def test_a_value_may_hold_equal_signs_blanks_and_line_ends() -> None:
    assert parse_override("name=a=b c\nd").value == "a=b c\nd"


def test_typed_values_are_not_parsed_again() -> None:
    config = compose(Schema, None, typed_overrides({"name": "[1,2]", "optim.steps": [4], "quick": True}))
    assert (config.name, config.optim.steps, config.quick) == ("[1,2]", [4], True)


def test_the_configuration_is_shown_in_the_order_of_the_schema_and_unresolved() -> None:
    assert to_yaml(composed("name=''")) == (
        "name: ''\ncount: 5\nshare: 0.5\nquick: false\nresults_dir: ???\nlog_dir: ${results_dir}/log\n"
        "optim:\n  lr: 0.1\n  steps:\n  - 1\n  - 2\n"
    )


def test_eval_computes_with_keys_of_the_spec(spec: Path) -> None:
    spec.write_text("count: ${eval:'2 * (3 + ${optim.steps.0}) // 2'}\n")
    assert composed(spec=spec).count == 4


@pytest.mark.parametrize("text", ["__import__('os').getcwd()", "2 ** 999", "1 / 0", "'a' * 9", "(", "True"])
def test_eval_computes_with_numbers_only(text: str) -> None:
    assert difference("eval-is-arithmetic")
    with pytest.raises(UsageError, match="numbers only"):
        evaluate_arithmetic(text)
