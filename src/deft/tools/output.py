"""What a tool says: lines of text on stdout, and how far it is for the process that started it."""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from deft.progress import LINE_PREFIX

PASSED, FAILED = "Execution status: PASS", "Execution status: FAIL"
JOB_LOG = "microservices_log.txt"


def say(text: str) -> None:
    """Write one message to stdout at once, so that a killed tool leaves what it said."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def report_progress(done: float, total: float | None, unit: str) -> None:
    """Write a progress line when a platform listens (DEFT_PROGRESS=1); people get quiet text."""
    if os.environ.get("DEFT_PROGRESS") == "1":
        say(LINE_PREFIX + json.dumps({"done": done, "total": total, "unit": unit}))


@contextlib.contextmanager
def copied_to_job_log() -> Iterator[None]:
    """Append what is said to the log that TAO's services read, where JOB_ID names a job (contract section 0).

    A log that cannot be written costs a warning, not the command.
    """
    job = os.environ.get("JOB_ID", "")
    folder = Path(os.environ.get("TAO_MICROSERVICES_TTY_LOG") or "/results", Path(job).name)
    with contextlib.ExitStack() as stack:
        if job:
            try:
                folder.mkdir(parents=True, exist_ok=True)
                log = stack.enter_context(open(folder / JOB_LOG, "a", encoding="utf-8", errors="replace"))
            except OSError as error:
                say(f"WARNING the log of job {job} cannot be written: {error}")
            else:
                stack.enter_context(contextlib.redirect_stderr(Both(sys.stderr, log)))
                stack.enter_context(contextlib.redirect_stdout(Both(sys.stdout, log)))
        yield


class Both(io.TextIOBase):
    """Send every text to two streams."""

    def __init__(self, *streams: TextIO) -> None:
        self._streams = streams

    def writable(self) -> bool:
        """Return True: this is a stream for output."""
        return True

    def write(self, text: str) -> int:
        """Write a text to both."""
        for stream in self._streams:
            stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Make what was written visible in both."""
        for stream in self._streams:
            stream.flush()


class CallLog(io.TextIOBase):
    """Send every line to a log file, but progress lines to whoever started the process."""

    def __init__(self, log: TextIO, listener: TextIO) -> None:
        self._log, self._listener, self._rest = log, listener, ""

    def writable(self) -> bool:
        """Return True: this is a stream for output."""
        return True

    def write(self, text: str) -> int:
        """Pass on the lines that are complete, and keep the rest until its end arrives."""
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._pass_on(line + "\n")
        return len(text)

    def flush(self) -> None:
        """Make what was passed on visible."""
        self._log.flush()
        self._listener.flush()

    def finish(self) -> None:
        """Pass on a last line that nobody ended."""
        if self._rest:
            self.write("\n")
        self.flush()

    def _pass_on(self, line: str) -> None:
        stream = self._listener if line.startswith(LINE_PREFIX) else self._log
        stream.write(line)
