"""ENOSPC, EIO, EROFS and EDQUOT at every system call of a whole run, as SQLite's ioerr tests do it.

A full and a read-only disk stay as they are until the run has ended; EIO and EDQUOT strike once.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from crash_server import Warm
from test_kill_points import PHASES

pytestmark = pytest.mark.timeout(1200)


@pytest.mark.parametrize("phase", PHASES)
def test_a_refused_call_loses_nothing_and_is_told_by_name(
    warm: Warm, figure: Callable[[str, str, str], None], phase: str
) -> None:
    """SQLite's ioerr loop: no acknowledged line lost, no traceback, exit 5 with fact, value, hint; then on.

    A failed fsync ends the run; the descriptor is never synced again, which could succeed with the data gone
    (the lesson of turso and wiredtiger).
    """
    found = warm.ask("errnos", phase=phase)
    assert found.faults == []
    figure(
        f"ENOSPC, EIO, EROFS, EDQUOT at every system call, {phase}",
        "0 acknowledged lines lost, 0 tracebacks",
        f"{found.points:,} points, {found.resumed:,} distinct disks resumed, {len(found.faults)} failures",
    )
