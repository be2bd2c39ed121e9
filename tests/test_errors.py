"""Every error is a fact, a value and a command, with one exit code a family."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from deft import errors
from deft.errors import DeftError, EnvironmentMissing, InputRefused, path_fault, storage_fault

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


def error_of(act: Callable[[], object]) -> OSError:
    """Return what the system says to an act that it refuses."""
    try:
        act()
    except OSError as error:
        return error
    pytest.fail("the system allowed it")


@pytest.mark.parametrize("below", ["", "x", "x/y"])
def test_a_file_where_a_folder_is_wanted_is_named_however_deep_the_path(tmp_path: Path, below: str) -> None:
    table = tmp_path / "labels.csv"
    table.touch()
    fault = path_fault(error_of(lambda: (table / below).mkdir()))
    assert isinstance(fault, InputRefused)
    assert (fault.fact, fault.value) == ("a file stands where a folder is wanted", str(table))
    assert fault.hint


def test_a_folder_where_a_file_is_wanted_is_refused_by_name(tmp_path: Path) -> None:
    fault = path_fault(error_of(tmp_path.read_text))
    assert isinstance(fault, InputRefused)
    assert (fault.fact, fault.value) == ("a folder stands where a file is wanted", str(tmp_path))


def test_a_path_that_cannot_be_made_is_refused_by_name(tmp_path: Path) -> None:
    fault = path_fault(error_of((tmp_path / "a/b").mkdir))
    assert isinstance(fault, InputRefused)
    assert fault.value == str(tmp_path / "a/b")


def test_a_path_that_is_as_it_should_be_or_has_no_name_stays_a_fault_of_ours(tmp_path: Path) -> None:
    assert path_fault(error_of(tmp_path.mkdir)) is None  # a folder that we made twice
    for number in (errno.EEXIST, errno.ENOTDIR, errno.ENOENT):
        assert path_fault(OSError(number, "the system's words", str(tmp_path))) is None
        assert path_fault(OSError(number, "the system's words")) is None
    assert path_fault(OSError(errno.EISDIR, "the system's words", str(tmp_path / "none"))) is None
    assert path_fault(error_of(lambda: subprocess.run(["no-such-program"], check=True))) is None
    assert path_fault(OSError("no number")) is None
