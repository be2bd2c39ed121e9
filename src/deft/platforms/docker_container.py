"""The life of one call's container: begun or found again, followed, its result taken, removed.

A container bears the name of its call, so a runner that comes back after a kill finds it: one that runs is
waited for, one that has ended is collected, one that is gone is lost and the call is run again. What was
begun for other inputs, or writes into a folder that is there no more, is not taken over.
"""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from deft import files
from deft.errors import DeftError, EnvironmentMissing, StageFailed
from deft.platforms import docker_client as client
from deft.platforms.base import ToolCall
from deft.platforms.containers import HEAD, last_status
from deft.platforms.docker_arguments import Container

FINGERPRINT = "deft.fingerprint"
POLL_SECONDS = 2.0
AWAY_SECONDS = 600.0
STOP_GRACE_SECONDS = 25
BEGINNINGS = 3
ENDED_FROM_OUTSIDE = (137, 143, 255)
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Ending:
    """How a container ended; `lost` means that nobody can say."""

    exit_code: int
    lost: bool = False
    reason: str = ""


def carry_out(
    container: Container, call: ToolCall, watch: Callable[[], None], *, time_limit: float | None = None
) -> int:
    """Run a call in its container, or take over the one that is there; return the exit code.

    `watch` is called every two seconds. The container's words stand in the call's log. Raises StageFailed
    for a call that was lost three times, ran out of memory or out of time, and EnvironmentMissing where the
    daemon stays away (the container is then left alone: the same command finds it again).
    """
    container = _marked(container, call)
    for _ in range(BEGINNINGS):
        ending = _Life(container, call.log, watch, time_limit).until_the_end()
        if not ending.lost:
            return ending.exit_code
        _note(call.log, f"container {container.name} was lost ({ending.reason}); the call is run again")
    raise StageFailed(f"container was lost {BEGINNINGS} times", value=container.name, hint=f"read {call.log}")


def _marked(container: Container, call: ToolCall) -> Container:
    """Return the container with a label over all that it was begun with, the folder for results included."""
    place = call.writes.stat()
    key = call.identity.key if call.identity else ""
    begun_with = [*container.options(), key, f"{place.st_dev}:{place.st_ino}"]
    mark = files.sha256_of_record(begun_with)
    return replace(container, labels={**container.labels, FINGERPRINT: mark})


def _note(log: Path, text: str) -> None:
    files.append_line(log, f"deft: {text}\n".encode())


def patiently(ask: Callable[[], Answer], name: str, meanwhile: Callable[[], None] = lambda: None) -> Answer:
    """Return what docker answers, waiting for a daemon that is away, with `meanwhile` at each silence."""
    deadline = time.monotonic() + AWAY_SECONDS
    while True:
        try:
            return ask()
        except client.DaemonAway as error:
            if time.monotonic() > deadline:
                hint = f"container {name} may still run; start the daemon, then the same command"
                raise EnvironmentMissing(error.fact, value=error.value, hint=hint) from None
        meanwhile()
        time.sleep(POLL_SECONDS / 4)


def open_words(log: Path, identity: str, of: str) -> int:
    """Return where a container's words begin in a log, below those of an earlier one.

    A head is written first, unless the container's own is the last one there.
    """
    before = log.read_bytes() if log.is_file() else b""
    position = before.rfind(HEAD.encode())
    if position >= 0 and before.startswith(f"{HEAD}{identity} ".encode(), position):
        return before.index(b"\n", position) + 1
    broken = "\n" if before and not before.endswith(b"\n") else ""
    head = f"{broken}{HEAD}{identity} of {of}\n".encode()
    files.append_line(log, head)
    return len(before) + len(head)


class _Life:
    """One container from its beginning to its removal."""

    def __init__(
        self, container: Container, log: Path, watch: Callable[[], None], time_limit: float | None
    ) -> None:
        self.container, self.name, self.log, self.watch = container, container.name, log, watch
        self.deadline = None if time_limit is None else time.monotonic() + time_limit
        self.offset = 0
        self.was_away = False

    def until_the_end(self) -> Ending:
        """Begin or find the container, follow it, take its result, remove it."""
        found = self._find_again()
        taken_over = found is not None
        if found is None and (found := self._begin()) is None:
            return Ending(-1, lost=True, reason="it is gone")
        try:
            self.offset = open_words(self.log, found.id, self.container.image.reference)
            ending = self._follow(taken_over=taken_over)
        except DeftError:
            raise
        except BaseException:
            with contextlib.suppress(DeftError):  # a daemon that is away keeps it; it will be found again
                self._stop()
            raise
        self._remove()
        return ending

    # --- the beginning ---------------------------------------------------------------------

    def _find_again(self) -> client.State | None:
        """Return the container of an earlier runner where it does this very work; remove any other."""
        found = self._state()
        if found is None:
            return None
        if found.labels.get(FINGERPRINT) != self.container.labels[FINGERPRINT]:
            self._patiently(lambda: client.stop(self.name, STOP_GRACE_SECONDS))
            self._remove()
            return None
        if found.status == "created":  # its runner was killed before the start
            self._patiently(self._start)
        return found

    def _begin(self) -> client.State | None:
        self._patiently(self._create)
        self._patiently(self._start)
        return self._state()

    def _create(self) -> None:
        """Create the container, unless a daemon that went away before its answer has done so."""
        if not (self.was_away and client.state_of(self.name)):
            client.docker("create", *self.container.options())

    def _start(self) -> None:
        """Start the container once: a second start after a lost answer would do an ended call again."""
        found = client.state_of(self.name) if self.was_away else None
        if self.was_away and (found is None or found.status != "created"):
            return
        try:
            client.docker("start", self.name)
        except client.DaemonAway:
            raise
        except DeftError:
            client.remove(self.name)
            raise

    # --- the work --------------------------------------------------------------------------

    def _follow(self, *, taken_over: bool) -> Ending:
        """Wait until the container has ended, whatever the daemon does meanwhile."""
        follower = client.follow_logs(self.name, self.log, self.offset)
        try:
            while (state := self._state()) is not None and not state.has_ended:
                self.watch()
                self._require_time()
                follower = self._pause(follower)
        finally:
            _end(follower)
        if state is None:
            return Ending(-1, lost=True, reason="it is gone")
        client.collect_logs(self.name, self.log, self.offset)
        return self._judged(state, taken_over)

    def _state(self) -> client.State | None:
        return self._patiently(lambda: client.state_of(self.name))

    def _patiently(self, ask: Callable[[], Answer]) -> Answer:
        """Return what docker answers, waiting for a daemon that is away as long as the call has time."""
        return patiently(ask, self.name, self._note_silence)

    def _note_silence(self) -> None:
        self.was_away = True
        self._require_time()

    def _pause(self, follower: subprocess.Popen[bytes]) -> subprocess.Popen[bytes]:
        """Wait a moment, less where the container ends; a follower that lost the daemon is replaced."""
        started = time.monotonic()
        try:
            follower.wait(timeout=POLL_SECONDS)
        except subprocess.TimeoutExpired:
            return follower
        state = self._state()
        if state is None or state.has_ended:
            return follower
        time.sleep(max(0.0, POLL_SECONDS / 4 - (time.monotonic() - started)))
        if not state.is_at_work:
            return follower
        return client.follow_logs(self.name, self.log, self.offset)

    def _require_time(self) -> None:
        if self.deadline is not None and time.monotonic() > self.deadline:
            self._stop()
            hint = "raise time_limit_minutes in specs/platforms.yaml"
            raise StageFailed("call ran past its time limit and was stopped", value=self.name, hint=hint)

    # --- the end ---------------------------------------------------------------------------

    def _judged(self, state: client.State, taken_over: bool) -> Ending:
        """Say what an exit code means: one that a restarted daemon caused says nothing of the call."""
        if state.out_of_memory:
            self._remove()
            raise StageFailed(
                "container ran out of memory",
                value=self.name,
                hint="lower --batch-size, or raise memory in specs/platforms.yaml",
            )
        nobody_waited = self.was_away or taken_over
        if nobody_waited and state.exit_code in ENDED_FROM_OUTSIDE and last_status(self.log) is None:
            return Ending(state.exit_code, lost=True, reason=f"ended from outside, code {state.exit_code}")
        return Ending(state.exit_code)

    def _stop(self) -> None:
        """End the container so that a training can write its checkpoint, keep its words, remove it."""
        client.stop(self.name, STOP_GRACE_SECONDS)
        if client.state_of(self.name) is not None and self.log.is_file():
            client.collect_logs(self.name, self.log, self.offset)
        client.remove(self.name)

    def _remove(self) -> None:
        self._patiently(lambda: client.remove(self.name))


def _end(follower: subprocess.Popen[bytes]) -> None:
    if follower.poll() is None:
        follower.kill()
    follower.wait()
