"""Is every sync, rename and link needed, and is each one watched? Taken out one at a time, each is caught.

The sites are found in the syntax of the package, so a new one without a check fails here by its name.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from crash_server import Warm
from durability_sites import sites

pytestmark = pytest.mark.timeout(1200)

NO_PROMISE = {
    "score.py": "links the pictures of one call into a folder that goes with it",
    "platforms/slurm/": "fills the folder of an attempt; the stage syncs it whole before anything counts",
    "shards/worker.py": "puts a result that does not count out of the way",
}


def test_a_sync_a_rename_or_a_link_that_is_taken_out_is_caught(
    warm: Warm, figure: Callable[[str, str, str], None]
) -> None:
    """ALICE's question to the code: without this call, which disk breaks a promise?"""
    caught = warm.ask("mutants")
    judged = {site: fault for site, fault in caught.items() if not site.startswith(tuple(NO_PROMISE))}
    survivors = sorted(site for site, fault in judged.items() if not fault)
    assert survivors == []
    assert len(judged) >= 40
    figure(
        "every fsync, rename and link call site of the package, taken out",
        "every mutant caught",
        f"{len(judged)} mutants, {len(judged) - len(survivors)} caught; {len(caught) - len(judged)} sites "
        "promise nothing",
    )


def test_what_promises_nothing_is_still_there() -> None:
    files = {site.file for site in sites()}
    assert [name for name in NO_PROMISE if not any(file.startswith(name) for file in files)] == []


def test_sites_are_found_in_the_syntax(tmp_path: Path) -> None:
    """SQLite's coverage of its own harness: what looks alike is told apart."""
    (tmp_path / "module.py").write_text(
        "os.fsync(1)\nos.sync()\npath.rename(new)\nos.replace(a, b)\nos.link(a, b)\nlink.symlink_to(a)\n"
        "text.replace(a, b)\ntable.rename(columns=names)\ncolumn.rename('name')\nlock.sync()\n"
    )
    assert [(site.first, site.kind) for site in sites(tmp_path)] == [
        (1, "sync"),
        (2, "sync"),
        (3, "rename"),
        (4, "rename"),
        (5, "link"),
        (6, "link"),
    ]
