"""Every verb of the table exists, explains itself and loads alone."""

from __future__ import annotations

import importlib

import click
import pytest

from deft.cli.verbs import VERBS


@pytest.mark.parametrize("name", VERBS)
def test_a_verb_of_the_table_is_a_command_with_help(name: str) -> None:
    module, _, attribute = VERBS[name].target.partition(":")
    command = getattr(importlib.import_module(module), attribute)
    assert isinstance(command, click.Command)
    assert command.help


@pytest.mark.parametrize("name", VERBS)
def test_a_summary_is_one_short_sentence(name: str) -> None:
    summary = VERBS[name].summary
    assert len(summary) <= 70
    assert summary[0].isupper()
    assert summary.endswith(".")
