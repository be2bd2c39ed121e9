"""What a tool says: lines of text on stdout, and how far it is for the process that started it."""

from __future__ import annotations

import io
import json
import os
import sys
from typing import TextIO

from deft.progress import LINE_PREFIX

PASSED, FAILED = "Execution status: PASS", "Execution status: FAIL"


def say(text: str) -> None:
    """Write one message to stdout at once, so that a killed tool leaves what it said."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def report_progress(done: float, total: float | None, unit: str) -> None:
    """Write a progress line when a platform listens (DEFT_PROGRESS=1); people get quiet text."""
    if os.environ.get("DEFT_PROGRESS") == "1":
        say(LINE_PREFIX + json.dumps({"done": done, "total": total, "unit": unit}))


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
