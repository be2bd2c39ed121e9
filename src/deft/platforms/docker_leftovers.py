"""Containers that nobody waits for: of a runner that was killed, or of an attempt that was given up."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from deft import files
from deft.platforms import docker_client as client
from deft.platforms.containers import HEAD
from deft.platforms.credentials import take_back
from deft.platforms.docker_container import STOP_GRACE_SECONDS, open_words, patiently

LOG, ATTEMPT = "deft.log", "deft.attempt"
STAGE = ("deft.run", "deft.plan", "deft.phase", "deft.stage")


def end_left(labels: Mapping[str, str]) -> list[str]:
    """End the containers of these labels that are at work; return their names.

    One that has ended unseen keeps its result for the next run, which finds it by its name.
    """
    ended = []
    for name in client.names_with(labels):
        state = client.state_of(name)
        if state is not None and not state.has_ended:
            _end(name, state)
            ended.append(name)
        take_back(name)
    return ended


def end_other_attempts(labels: Mapping[str, str], log: Path) -> None:
    """End what an earlier attempt of a stage has left, and say so in the log of this attempt's call.

    An attempt that lost its daemon is over for the loop, but its container may write into the folder that
    the next attempt goes on in.
    """
    if not labels.get("deft.plan"):  # nothing tells the run from one of the same name elsewhere
        return
    whose = {key: labels[key] for key in STAGE}
    for name in patiently(lambda: client.names_with(whose), f"of {labels['deft.run']}"):
        if patiently(partial(_end_other, name, labels[ATTEMPT]), name):
            note = f"{HEAD}{name} of an earlier attempt was ended; this attempt goes on from what it left\n"
            files.append_line(log, note.encode())


def _end_other(name: str, attempt: str) -> bool:
    state = client.state_of(name)
    if state is None or state.labels.get(ATTEMPT) == attempt:
        return False
    _end(name, state)
    return True


def _end(name: str, state: client.State) -> None:
    """Stop a container with the time that a checkpoint needs, keep its words, remove it."""
    client.stop(name, STOP_GRACE_SECONDS)
    log = Path(state.labels.get(LOG, ""))
    if log.is_file():
        client.collect_logs(name, log, open_words(log, state.id, name))
    client.remove(name)
    take_back(name)
