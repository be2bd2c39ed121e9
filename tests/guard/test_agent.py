"""An agent is seen, however clean the environment it hands on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from deft.guard import agent

SOURCE = Path(agent.__file__).parents[2]


@pytest.mark.parametrize("variable", agent.AGENT_VARIABLES)
def test_an_agent_s_variable_is_seen(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setattr(agent, "_marker_of", lambda pid: None)
    for name in agent.AGENT_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    assert agent.agent_marker() is None
    monkeypatch.setenv(variable, "1")
    assert agent.agent_marker() == variable


def test_an_agent_is_seen_through_a_cleaned_environment() -> None:
    inner = "from deft.guard.agent import agent_marker; print(agent_marker())"
    command = f"['env', '-i', 'PYTHONPATH={SOURCE}', sys.executable, '-c', {inner!r}]"
    outer = f"import subprocess, sys; sys.exit(subprocess.call({command}))"
    done = subprocess.run(
        [sys.executable, "-c", outer], env={**os.environ, "CLAUDECODE": "1"}, capture_output=True, text=True
    )
    assert done.stdout.strip() == "CLAUDECODE"


def test_the_processes_above_are_looked_through_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in agent.AGENT_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    started_by_an_agent = subprocess.Popen(
        ["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, "CLAUDECODE": "1"}
    )
    assert started_by_an_agent.stdin is not None
    assert started_by_an_agent.stdout is not None
    started_by_an_agent.stdin.write(b"?")
    started_by_an_agent.stdin.flush()
    started_by_an_agent.stdout.read(1)  # it answers, so its environment is in place
    monkeypatch.setattr(os, "getppid", lambda: 7)
    monkeypatch.setattr(agent, "_parent_of", {7: 8, 8: started_by_an_agent.pid}.__getitem__)
    try:
        assert agent.agent_marker() == "CLAUDECODE"
    finally:
        started_by_an_agent.communicate()


def test_the_parent_of_a_process_is_known_and_that_of_none_is_none() -> None:
    assert agent._parent_of(os.getpid()) == os.getppid()
    assert agent._parent_of(2**22 + 1) == 0
    assert agent._marker_of(2**22 + 1) is None
