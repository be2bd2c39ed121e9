"""Of any number of attempts at a shard the first whole one stands, however the others end."""

from __future__ import annotations

import json
import os
import signal
import threading
from pathlib import Path
from typing import IO, Any

import pytest

from deft import files
from deft.errors import InputRefused, StateConflict
from deft.shards import worker as worker_module
from deft.shards.ledger import ShardFolder
from deft.shards.mining_work import MiningWork
from deft.shards.worker import DONE, DONE_BEFORE, OTHER_WAS_FIRST, run_shard
from deft.steps.shard import reduce_shards
from shard_fixtures import Mining, bytes_of, worker


@pytest.fixture
def folder(mining: Mining) -> ShardFolder:
    return mining.plan("cut", 3)


def finish(folder: ShardFolder) -> dict[str, Any]:
    for shard in folder.shards:
        run_shard(folder, int(shard.id))
    reduce_shards(folder)
    return bytes_of(folder.root)


@pytest.fixture
def expected(mining: Mining, folder: ShardFolder) -> dict[str, Any]:
    """Return what comes out where nothing goes wrong."""
    return finish(mining.plan("undisturbed", 1))


def names(folder: ShardFolder) -> list[str]:
    return sorted(path.name for path in (folder.root / "shards").iterdir())


def test_a_worker_leaves_a_result_and_its_receipt_and_nothing_else(folder: ShardFolder) -> None:
    assert run_shard(folder, 1, attempt=4) == DONE
    assert names(folder) == ["00001.ok", "00001.parquet"]
    receipt = files.read_json(folder.receipt(folder.shard(1)))
    assert receipt["sha256"] == files.sha256_of_file(folder.result(folder.shard(1)))
    assert (receipt["attempt"], receipt["inputs"]) == (4, folder.shard(1).sha256)
    assert receipt["encoder"] == folder.encoder
    assert receipt["rows"] > 0


def test_a_shard_that_is_done_is_not_done_again(folder: ShardFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    run_shard(folder, 0)
    monkeypatch.setattr(MiningWork, "compute", lambda *_: pytest.fail("computed again"))
    assert run_shard(folder, 0) == DONE_BEFORE


def test_an_attempt_that_has_begun_is_not_begun_twice(folder: ShardFolder) -> None:
    begun = folder.attempt(folder.shard(0), 1)
    begun.touch()
    with pytest.raises(StateConflict, match="has begun already"):
        run_shard(folder, 0, attempt=1)
    assert run_shard(folder, 0) == DONE
    assert files.read_json(folder.receipt(folder.shard(0)))["attempt"] == 2
    assert begun.exists()


class Slow:
    """A worker of this process that stops in the middle of a shard until it is let go on."""

    def __init__(self, folder: ShardFolder, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reached, self.go_on = threading.Event(), threading.Event()
        original, me = MiningWork.compute, threading.current_thread()

        def compute(work: MiningWork, shard: Any, stream: IO[bytes], progress: Any) -> int:
            rows = original(work, shard, stream, progress)
            if threading.current_thread() is not me:
                self.reached.set()
                assert self.go_on.wait(30)
            return rows

        monkeypatch.setattr(MiningWork, "compute", compute)
        self.became: list[str] = []
        self._thread = threading.Thread(target=lambda: self.became.append(run_shard(folder, 0)))
        self._thread.start()
        assert self.reached.wait(30)

    def end(self) -> str:
        self.go_on.set()
        self._thread.join(30)
        return self.became[0]


def test_a_stale_attempt_that_ends_late_changes_nothing(
    folder: ShardFolder, expected: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    late = Slow(folder, monkeypatch)
    assert run_shard(folder, 0) == DONE
    receipt = folder.receipt(folder.shard(0)).read_bytes()
    assert late.end() == OTHER_WAS_FIRST
    assert folder.receipt(folder.shard(0)).read_bytes() == receipt
    assert names(folder) == ["00000.ok", "00000.parquet"]
    assert finish(folder) == expected


def test_an_attempt_that_ends_after_the_reducer_changes_nothing(
    folder: ShardFolder, expected: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    late = Slow(folder, monkeypatch)
    assert finish(folder) == expected
    assert late.end() == OTHER_WAS_FIRST
    reduce_shards(folder)
    assert bytes_of(folder.root) == expected


def test_of_two_processes_on_one_shard_each_ends_well_and_one_result_stands(
    folder: ShardFolder, expected: dict[str, Any]
) -> None:
    children = [worker(folder, "--id", 0, "--id", 1, "--id", 2) for _ in range(2)]
    said = [json.loads(child.communicate(timeout=120)[0]) for child in children]
    assert [child.returncode for child in children] == [0, 0]
    for number in range(3):
        became = {one["became"][f"{number:05d}"] for one in said}
        assert became & {DONE, DONE_BEFORE}
    assert names(folder) == [f"{number:05d}.{kind}" for number in range(3) for kind in ("ok", "parquet")]
    assert finish(folder) == expected


SLOW_WORKER = """
import sys, time
from deft.cli.main import main
from deft.embedding import candidates
original = candidates.CandidateSearch._offer
def offer(*arguments):
    original(*arguments)
    print("here", flush=True)
    time.sleep(60)
candidates.CandidateSearch._offer = offer
sys.exit(main(sys.argv[1:]))
"""


def test_a_worker_killed_within_a_shard_leaves_nothing_that_counts(
    folder: ShardFolder, expected: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    script = folder.root / "slow.py"
    script.write_text(SLOW_WORKER)
    child = worker(folder, "--id", 1, program=str(script))
    assert child.stdout is not None
    assert child.stdout.readline() == b"here\n"
    os.kill(child.pid, signal.SIGKILL)
    child.communicate(timeout=30)
    script.unlink()
    assert names(folder) == ["00001.attempt-1.tmp"]
    with pytest.raises(InputRefused, match=r"3 of 3 shards do not count.*00001: not done"):
        reduce_shards(folder)
    assert finish(folder) == expected
    assert not list((folder.root / "shards").glob("*.tmp"))


POINTS = ("before the link", "before the receipt")


@pytest.mark.parametrize("point", POINTS)
def test_a_worker_that_dies_while_it_publishes_is_made_good_by_the_next(
    folder: ShardFolder, expected: dict[str, Any], point: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Death(BaseException):
        pass

    original, calls = worker_module.publish_first, []

    def publish(written: Path, path: Path) -> bool:
        calls.append(path.suffix)
        if (point == "before the link") == (path.suffix == ".parquet"):
            raise Death
        return original(written, path)

    monkeypatch.setattr(worker_module, "publish_first", publish)
    with pytest.raises(Death):
        run_shard(folder, 2)
    monkeypatch.setattr(worker_module, "publish_first", original)
    assert folder.fault(folder.shard(2)) in ("not done", "a result without a receipt")
    assert finish(folder) == expected


def flip(path: Path, place: int = -200) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(bytes(content))


def forge(folder: ShardFolder, **changes: Any) -> None:
    path = folder.receipt(folder.shard(1))
    record = files.read_json(path)
    files.write_json(path, {**record, **changes})


DAMAGES = {
    "the result is not the one of the receipt": lambda folder: flip(folder.result(folder.shard(1))),
    "a receipt without a result": lambda folder: folder.result(folder.shard(1)).unlink(),
    "a result without a receipt": lambda folder: folder.receipt(folder.shard(1)).unlink(),
    "the receipt is damaged": lambda folder: folder.receipt(folder.shard(1)).write_text("{"),
    "the receipt is for other rows": lambda folder: forge(folder, inputs="0" * 64),
    "the receipt is for another encoder": lambda folder: forge(folder, encoder="0" * 64),
    "the receipt names another number of rows": lambda folder: forge(folder, rows=3),
}


@pytest.mark.parametrize("reason", DAMAGES)
def test_what_does_not_verify_is_named_with_its_command_and_made_good_by_it(
    folder: ShardFolder, expected: dict[str, Any], reason: str, say: Any
) -> None:
    assert finish(folder) == expected
    DAMAGES[reason](folder)
    said = say("shard", "reduce", folder.root)
    assert said.code == 3
    assert said.record["error"]["fact"] == "1 of 3 shards do not count"
    assert said.record["error"]["value"] == f"00001: {reason}"
    command = said.record["error"]["hint"]
    assert command == f"deft shard run {folder.root} --id 1"
    assert say(*command.split()[1:]).record["became"] == {"00001": DONE}
    reduce_shards(folder)
    assert bytes_of(folder.root) == expected


def test_a_receipt_forged_for_a_changed_result_is_found_by_what_it_says_of_it(
    folder: ShardFolder, expected: dict[str, Any]
) -> None:
    finish(folder)
    other = folder.result(folder.shard(0)).read_bytes()
    folder.result(folder.shard(1)).write_bytes(other)
    forge(folder, sha256=files.sha256_of_bytes(other), shard="00000")
    with pytest.raises(InputRefused, match="00001: the receipt is for other rows"):
        reduce_shards(folder)


def test_a_worker_takes_its_number_from_the_task(
    folder: ShardFolder, say: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "SLURM_ARRAY_TASK_ID" in say("shard", "run", folder.root, "--id", "auto").err
    for number, variable in enumerate(("JOB_COMPLETION_INDEX", "SLURM_ARRAY_TASK_ID")):
        monkeypatch.setenv(variable, str(number))
        assert say("shard", "run", folder.root, "--id", "auto").record["became"] == {f"{number:05d}": DONE}


def test_a_number_that_is_no_shard_is_refused(folder: ShardFolder, say: Any) -> None:
    assert "no such shard: 3" in say("shard", "run", folder.root, "--id", "3").err
    assert "no number of a shard: -1" in say("shard", "run", folder.root, "--id", "-1").err
