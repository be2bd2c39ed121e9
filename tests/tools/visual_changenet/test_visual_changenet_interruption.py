from __future__ import annotations

import os
import signal
import threading

import pytest

from deft.tools.visual_changenet.interruption import interruptible


def test_a_signal_before_the_first_step_leaves_at_once() -> None:
    with pytest.raises(SystemExit) as end, interruptible():
        os.kill(os.getpid(), signal.SIGTERM)
    assert end.value.code == 143


def test_a_deferred_signal_waits_until_the_work_is_saved() -> None:
    with interruptible() as interruption:
        interruption.defer()
        os.kill(os.getpid(), signal.SIGINT)
        assert interruption.asked
        with pytest.raises(SystemExit) as end:
            interruption.exit()
    assert end.value.code == 130


def test_the_first_of_two_signals_decides_the_exit_code() -> None:
    with interruptible() as interruption:
        interruption.defer()
        interruption.ask(signal.SIGTERM)
        interruption.ask(signal.SIGINT)
        with pytest.raises(SystemExit) as end:
            interruption.exit()
    assert end.value.code == 143


def test_outside_the_main_thread_no_handler_is_set() -> None:
    asked: list[bool] = []

    def work() -> None:
        with interruptible() as interruption:
            asked.append(interruption.asked)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert asked == [False]
