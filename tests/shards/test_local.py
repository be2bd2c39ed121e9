"""Workers as processes of this machine: as many as wanted, all of them done or all that is left named."""

from __future__ import annotations

import pytest

from deft import files
from deft.shards.launchers.local import LocalLauncher
from deft.steps.shard import reduce_shards
from shard_fixtures import Mining, bytes_of


def test_local_workers_make_what_one_makes(mining: Mining, say) -> None:
    results = []
    for name, shards, workers in (("one", 1, 1), ("many", 5, 2)):
        folder = mining.plan(name, shards)
        said = say("shard", "run", folder.root, "--workers", workers)
        assert said.record["done_now"] == shards
        assert said.record["next"] == f"deft shard reduce {folder.root}"
        reduce_shards(folder)
        results.append(bytes_of(folder.root))
    assert results[0] == results[1]


def test_only_what_is_missing_or_broken_is_done(mining: Mining, say) -> None:
    folder = mining.plan("cut", 3)
    say("shard", "run", folder.root, "--id", 0, "--id", 1)
    folder.result(folder.shard(1)).write_bytes(b"torn")
    before = folder.receipt(folder.shard(0)).stat()
    assert say("shard", "run", folder.root, "--workers", 1).record["done_now"] == 2
    after = folder.receipt(folder.shard(0)).stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)  # to read it is no change


def test_the_words_of_a_worker_that_failed_are_passed_on(mining: Mining) -> None:
    folder = mining.plan("cut", 2)
    files.write_text(mining.pool, "no table")
    words = LocalLauncher(2).launch(folder, folder.shards, lambda: None)
    assert "not a readable Parquet table" in words


@pytest.mark.parametrize("workers", [None, 1, 9])
def test_there_are_never_more_workers_than_shards(
    mining: Mining, monkeypatch: pytest.MonkeyPatch, workers: int | None
) -> None:
    folder, started = mining.plan("cut", 2), []
    launcher, original = LocalLauncher(workers), LocalLauncher._start

    def start(self, command, log):
        started.append(command.count("--id"))
        return original(self, command, log)

    monkeypatch.setattr(LocalLauncher, "_start", start)
    launcher.launch(folder, folder.shards, lambda: None)
    assert sum(started) == 2
    assert folder.faults() == {}
