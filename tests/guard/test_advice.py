"""Silent failures become one line of advice, and harmless output none."""

from __future__ import annotations

import json

import pytest

from deft.guard.advice import MAX_LINES, advice_on, after_bash

OUTPUTS = {
    "Traceback (most recent call last):\n  File x\nValueError: y": "traceback",
    "…\nExecution status: FAIL\n": "whatever its exit code",
    "filter_by_label is enabled but the 'label' column is missing from: source.": "label filter",
    "label column not found, proceeding without filter": "label filter",
    "embeddings of different encoders: model is SigLIP and CLIP": "different encoders",
    "Unique items saved: 0": "zero rows",
    "mined 0 unique images": "zero rows",
    "Selected 0 weak samples (0 per-lighting filepaths) from 40 total": "zero rows",
    "docker: Error response: could not select device driver": "no GPU",
    "RuntimeError: No CUDA-capable device is detected": "no GPU",
    "bash: nvidia-smi: command not found": "no GPU",
    "FileNotFoundError: [Errno 2] No such file or directory: '/ws/kpi/testing_set.csv'": "not mounted",
    "ValueError: No threshold achieves 100% recall on the NO_PASS class.": "recall that the target asks for",
    "wrote unreachable_kpi.txt": "recall that the target asks for",
    "mean score: nan": "NaN",
}


@pytest.mark.parametrize(("output", "words"), OUTPUTS.items())
def test_a_silent_failure_is_named(output: str, words: str) -> None:
    assert any(words in line for line in advice_on(output))


@pytest.mark.parametrize(
    "output",
    [
        "Execution status: PASS",
        "Unique items saved: 120",
        "mined 10 unique images",
        "Selected 50 weak samples from 400 total (threshold=0.31)",
        "FAR 0.0 % at recall 100 %",
        '{"status": "running", "run": "/ws/results/run_20260102_030405"}',
        "",
    ],
)
def test_harmless_output_needs_no_advice(output: str) -> None:
    assert advice_on(output) == []


def test_advice_is_at_most_three_lines() -> None:
    assert len(advice_on("\n".join(OUTPUTS))) == MAX_LINES


def test_a_huge_output_is_looked_at_from_both_ends_and_soon() -> None:
    assert advice_on("label " * 1_000_000 + "\nExecution status: FAIL")


def test_only_what_a_step_printed_is_looked_at() -> None:
    event = {
        "hook_event_name": "PostToolUse",
        "tool_response": {"stdout": "Execution status: FAIL", "stderr": ""},
    }
    for command, speaks in (("deft run", True), ("tail train.log", True), ("cat troubleshooting.md", False)):
        assert bool(after_bash({**event, "tool_input": {"command": command}}).output) is speaks


def test_a_failed_command_s_error_is_looked_at() -> None:
    event = {
        "hook_event_name": "PostToolUseFailure",
        "tool_input": {"command": "deft mine"},
        "error": "Exit code 1\nTraceback (most recent call last)",
    }
    assert "traceback" in json.loads(after_bash(event).output)["hookSpecificOutput"]["additionalContext"]


@pytest.mark.parametrize(
    "event", [{}, {"tool_input": None}, {"tool_input": {"command": "deft"}, "tool_response": 3}]
)
def test_a_damaged_event_brings_no_advice(event: dict[str, object]) -> None:
    assert after_bash(event).output == ""
