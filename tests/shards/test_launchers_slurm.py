"""Workers as tasks of one array job, on stand-ins of Slurm's commands that run the real script."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from deft import files
from deft.errors import StageFailed
from deft.shards.launchers.slurm import SlurmLauncher, array_words
from fake_slurm import ENTER, FakeSlurm
from shard_fixtures import Mining

ALL_TASKS = f"""{ENTER}
for word in "$@"; do case "$word" in --array=*) last="${{word#--array=0-}}" ;; esac; done
for number in $(seq 0 "${{last%%%*}}"); do
  SLURM_ARRAY_TASK_ID=$number "${{@: -1}}" >"task-$number.log" 2>&1
done
echo 7"""


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mining: Mining) -> FakeSlurm:
    fake = FakeSlurm(tmp_path, monkeypatch)
    fake.answer("sbatch", ALL_TASKS)
    quick = {"slurm": {"poll_seconds": 0.01, "grace_seconds": 0.1, "array_limit": 3}}
    files.write_yaml(mining.place / "specs" / "platforms.yaml", quick)
    return fake


def test_one_array_job_does_the_missing_shards(mining: Mining, slurm: FakeSlurm, say) -> None:
    folder = mining.plan("cut", 3)
    say("shard", "run", folder.root, "--id", 1)
    said = say("shard", "run", folder.root, "--launcher", "slurm")
    assert said.record["done_now"] == 2
    assert folder.faults() == {}
    (words,) = slurm.words("sbatch")
    assert "--array=0-1%3" in words
    (tasks,) = (folder.root / "slurm").glob("*/tasks")
    assert tasks.read_text() == "--id 0\n--id 2\n"


def test_the_words_of_an_array(tmp_path: Path) -> None:
    assert array_words(tmp_path / "0a1b", 24, 8) == [
        "--parsable",
        "--no-requeue",
        "--export=NONE",
        "--nodes=1",
        "--ntasks=1",
        "--array=0-23%8",
        "--job-name=deft-shards-0a1b",
        f"--chdir={tmp_path / '0a1b'}",
        "--output=task-%a.log",
    ]


def test_an_array_that_is_still_at_work_is_waited_for_and_no_second_is_submitted(
    mining: Mining, slurm: FakeSlurm
) -> None:
    folder = mining.plan("cut", 2)
    (folder.root / "slurm" / "0a1b").mkdir(parents=True)
    slurm.say("squeue", "7_[0-1]|PENDING|1:00|Priority\n")
    looks = []

    def end_soon() -> None:
        looks.append(1)
        if len(looks) == 2:
            slurm.say("squeue", "")

    assert SlurmLauncher().launch(folder, folder.shards, end_soon) == ""
    assert slurm.words("sbatch") == []
    assert ["--name=deft-shards-0a1b"] in slurm.words("scancel")


def test_tasks_that_leave_nothing_are_given_out_again_and_then_named_with_their_last_words(
    mining: Mining, slurm: FakeSlurm, say
) -> None:
    folder = mining.plan("cut", 2)
    slurm.answer("sbatch", f"{ENTER}\necho 'no space left' >task-0.log; echo 7")
    said = say("shard", "run", folder.root, "--launcher", "slurm")
    assert said.code == StageFailed.exit_code
    assert "2 of 2 shards were not done" in said.err
    assert "no space left" in said.err
    assert len(slurm.words("sbatch")) == 3


def test_an_interrupted_launcher_cancels_its_array(mining: Mining, slurm: FakeSlurm) -> None:
    folder = mining.plan("cut", 1)
    slurm.answer("sbatch", "echo 7")

    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        SlurmLauncher().launch(folder, folder.shards, interrupt)
    (place,) = (folder.root / "slurm").glob("*/")
    assert slurm.words("scancel") == [[f"--name=deft-shards-{place.name}"]]
    assert os.stat(place).st_mode & 0o777 == 0o700
