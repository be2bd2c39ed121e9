"""Every disk that POSIX allows after a power loss at any moment of a whole run: ALICE, in memory."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from crash_server import Warm

pytestmark = pytest.mark.timeout(1200)


def test_no_power_loss_loses_or_tears_what_a_run_acknowledged(
    warm: Warm, figure: Callable[[str, str, str], None]
) -> None:
    """ALICE: unsynced bytes and names lost, torn or out of order; the log and every promise hold on all.

    From a sample of these disks the run is really resumed and compared.
    """
    found = warm.ask("power_loss", resume_every=25)
    assert found["violations"] == []
    assert found["faults"] == []
    assert found["states"] >= 5000
    assert found["resumed"] >= 200
    figure(
        "disks that a power loss may leave of a 3-iteration run",
        ">= 5,000 distinct, 0 violations",
        f"{found['states']:,} distinct, {len(found['violations'])} violations; {found['resumed']} resumed, "
        f"{len(found['faults'])} failures",
    )


def test_no_power_loss_tears_what_is_written_outside_a_run(warm: Warm) -> None:
    """ALICE for what a run does not do: steps by hand, streams, checkpoints, pools, workspaces, packages."""
    assert {name: faults for name, faults in warm.ask("scenarios").items() if faults} == {}
