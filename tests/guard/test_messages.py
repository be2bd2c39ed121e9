"""What a refusal says: the fact, and what to do instead."""

from __future__ import annotations

from typing import Any

import pytest

from deft.guard.messages import refusal


def test_without_a_plan_the_next_command_is_preflight() -> None:
    text = refusal("docker run x may have an effect", "docker", None)
    assert "docker run x may have an effect" in text
    assert "deft preflight WORKSPACE" in text
    assert "deft status" in text


def test_while_a_plan_waits_only_the_user_can_go_on(waiting: dict[str, Any]) -> None:
    text = refusal("x", "docker", waiting)
    assert waiting["run_id"] in text
    assert "end your turn" in text


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("docker", "starts containers itself"),
        ("sbatch", "submits jobs itself"),
        ("kubectl", "talks to the cluster itself"),
        ("claude", "Agent tool"),
        ("redirection", "Use Edit or Write"),
        ("deft", "user's own message"),
        ("python3", "Use a verb of deft"),
    ],
)
def test_after_approval_each_program_has_a_command_in_its_place(
    approved: dict[str, Any], program: str, words: str
) -> None:
    assert words in refusal("x", program, approved)


def test_the_run_s_own_command_is_quoted_for_the_shell(approved: dict[str, Any]) -> None:
    assert "'" in refusal("x", "docker", approved)


def test_a_refusal_is_short(approved: dict[str, Any]) -> None:
    assert len(refusal("x", "docker", None)) < 500
    assert len(refusal("x", "docker", approved).replace(approved["workspace"], "")) < 500
