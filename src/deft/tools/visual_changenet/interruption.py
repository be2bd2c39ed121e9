"""SIGTERM and SIGINT as a request: the step at work ends, a checkpoint is written, the process leaves."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Interruption:
    """Remembers the first signal that asked this process to leave; before `defer` it leaves at once."""

    def __init__(self) -> None:
        self._signal: int | None = None
        self._deferred = False

    def defer(self) -> None:
        """From now on there is work to save first, and whoever does it looks at `asked`."""
        self._deferred = True

    @property
    def asked(self) -> bool:
        return self._signal is not None

    def ask(self, number: int, frame: FrameType | None = None) -> None:
        """Note a signal, or leave if nothing needs saving."""
        self._signal = self._signal or number
        if not self._deferred:
            self.exit()

    def exit(self) -> NoReturn:
        """Leave with the code a shell expects: 128 plus the signal (143 for SIGTERM, 130 for SIGINT)."""
        raise SystemExit(128 + (self._signal or signal.SIGTERM))


@contextmanager
def interruptible() -> Iterator[Interruption]:
    """Collect signals instead of dying from them; outside the main thread Python delivers none."""
    interruption = Interruption()
    if threading.current_thread() is not threading.main_thread():
        yield interruption
        return
    before = {number: signal.signal(number, interruption.ask) for number in SIGNALS}
    try:
        yield interruption
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
