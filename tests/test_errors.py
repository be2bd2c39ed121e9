"""Every error is a fact, a value and a command, with one exit code a family."""

from __future__ import annotations

import errno
import os

import pytest

from deft import errors
from deft.errors import DeftError, EnvironmentMissing, InputRefused, storage_fault

CODES = {
    "DeftError": 1,
    "StageFailed": 1,
    "UsageError": 2,
    "InputRefused": 3,
    "LeakageFound": 3,
    "StateConflict": 4,
    "NotApproved": 4,
    "RunBusy": 4,
    "EnvironmentMissing": 5,
    "Corruption": 6,
}


def test_each_family_has_its_exit_code() -> None:
    found = {
        name: kind.exit_code
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, DeftError)
    }
    assert found == CODES


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (InputRefused("table has no rows"), "table has no rows"),
        (InputRefused("table has no rows", value="/data/x.csv"), "table has no rows: /data/x.csv"),
        (InputRefused("score is too low", value=0, hint="deft next"), "score is too low: 0\nhint: deft next"),
    ],
)
def test_a_message_is_the_fact_the_value_and_on_its_own_line_the_hint(error: DeftError, message: str) -> None:
    assert error.message() == str(error) == message


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES])
def test_a_disk_that_takes_no_more_is_the_environments_fault_and_names_the_file(number: int) -> None:
    fault = storage_fault(OSError(number, os.strerror(number), "/data/x"))
    assert isinstance(fault, EnvironmentMissing)
    assert fault.value == "/data/x"
    assert "deft clean" in fault.hint


def test_a_disk_that_fails_is_told_apart_from_one_that_is_full() -> None:
    fault = storage_fault(OSError(errno.EIO, "input/output error", "/data/x"))
    assert isinstance(fault, EnvironmentMissing)
    assert "dmesg" in fault.hint
    assert "deft clean" not in fault.hint


def test_another_fault_of_the_system_is_not_the_disks() -> None:
    assert storage_fault(OSError(errno.ELOOP, "too many links", "/data/x")) is None
    assert storage_fault(OSError("no number")) is None
