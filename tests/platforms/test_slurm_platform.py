"""The platform on stand-ins of Slurm's commands that run the real script."""

from __future__ import annotations

from pathlib import Path

import pytest

from deft import files
from deft.errors import EnvironmentMissing, StageFailed, UsageError
from deft.platforms.base import CallIdentity, ToolCall
from deft.platforms.registry import platform_named
from deft.platforms.slurm.jobs import Job, jobs_of
from deft.platforms.slurm.platform import SUBMISSIONS, SlurmPlatform
from deft.progress import NullProgress
from deft.workspace.layout import RunFolder
from fake_slurm import RUN_IN_FOLDER, FakeSlurm, engine

RUN = "run_20260101_000000"


class Stage:
    """One call of a stage on stand-ins of Slurm."""

    def __init__(self, folder: Path, slurm: FakeSlurm, **settings) -> None:
        self.slurm, self.folder = slurm, folder
        self.attempt = folder / RUN / "baseline" / "rca.attempt-1"
        given = {"python": str(engine(folder)), "poll_seconds": 0.01, "grace_seconds": 0.1}
        self.platform = SlurmPlatform({**given, "gap_analysis": "job", **settings})

    def run(self, identity: CallIdentity | None = CallIdentity(RUN, "baseline", "rca", 1, "key")) -> None:  # noqa: B008
        spec = files.write_yaml(self.attempt / "spec.yaml", {"threshold": 0.5})
        call = ToolCall(
            category="gap_analysis",
            action="vcn_aoi",
            spec=spec,
            overrides={"results_dir": self.attempt},
            reads=(),
            writes=self.attempt,
            log=self.attempt / "gap.log",
            identity=identity,
        )
        self.platform.run([call], NullProgress())

    @property
    def jobs(self) -> list[Job]:
        return jobs_of(self.folder / RUN / ".runner" / "jobs" / "baseline-rca-1")


@pytest.fixture
def slurm(tmp_path, monkeypatch) -> FakeSlurm:
    return FakeSlurm(tmp_path, monkeypatch)


@pytest.fixture
def stage(tmp_path, slurm) -> Stage:
    return Stage(tmp_path, slurm)


def test_the_verified_result_takes_the_place_of_the_attempts_folder(stage, slurm):
    stage.run()
    assert (stage.attempt / "scores.csv").read_text() == "0.5\n"
    assert (stage.attempt / "gap.log").read_text() == "Execution status: PASS\n"
    names = ["gap.log", "metrics.json", "scores.csv", "spec.yaml"]
    assert sorted(path.name for path in stage.attempt.iterdir()) == names
    assert len(slurm.words("sbatch")) == 1


def test_the_name_says_whose_job_it_is_and_nothing_else(stage, slurm):
    stage.run()
    (words,) = slurm.words("sbatch")
    assert f"--job-name=deft-{RUN}-baseline-rca-1-{stage.jobs[0].nonce}" in words


def test_a_job_without_a_result_is_submitted_anew_under_another_name_three_times_at_most(stage, slurm):
    slurm.answer("sbatch", "echo 7")
    with pytest.raises(StageFailed, match=f"{SUBMISSIONS} jobs of Slurm were lost") as failure:
        stage.run()
    assert "sinfo -R" in failure.value.hint
    names = [word for words in slurm.words("sbatch") for word in words if word.startswith("--job-name=")]
    assert len(set(names)) == SUBMISSIONS
    assert all(any(name.endswith(job.nonce) for name in names) for job in stage.jobs)


def test_a_job_is_looked_up_by_its_name_before_it_is_submitted_anew(stage, slurm):
    slurm.answer("sbatch", "echo 7")
    with pytest.raises(StageFailed):
        stage.run()
    asked = {word for words in slurm.words("squeue") for word in words if word.startswith("--name=")}
    assert asked == {f"--name={job.name}" for job in stage.jobs}


def test_a_submission_whose_answer_was_lost_is_found_and_not_made_again(stage, slurm):
    slurm.answer("sbatch", f"({RUN_IN_FOLDER}) >/dev/null\necho 'Socket timed out' >&2; exit 1")
    stage.run()
    assert len(slurm.words("sbatch")) == 1
    assert (stage.attempt / "scores.csv").is_file()


def test_a_refused_submission_is_not_repeated(stage, slurm):
    slurm.answer("sbatch", "echo 'sbatch: error: Invalid partition specified' >&2; exit 1")
    with pytest.raises(StageFailed, match="Slurm refused the job"):
        stage.run()
    assert len(slurm.words("sbatch")) == 1


def test_a_tool_that_fails_is_the_failure_with_the_end_of_its_log_and_is_not_repeated(stage, slurm, tmp_path):
    engine(tmp_path, "log.write_text('ERROR table is empty\\nExecution status: FAIL\\n'); sys.exit(1)")
    with pytest.raises(StageFailed, match="table is empty") as failure:
        stage.run()
    assert str(stage.attempt / "gap.log") in failure.value.hint
    assert len(slurm.words("sbatch")) == 1


def test_an_exit_code_of_zero_is_not_enough(stage, tmp_path):
    engine(tmp_path, "log.write_text('Execution status: FAIL\\n'); sys.exit(0)")
    with pytest.raises(StageFailed, match="Execution status: FAIL"):
        stage.run()


def test_a_finished_job_of_the_same_inputs_is_taken_over_and_not_submitted_again(stage, slurm):
    stage.run()
    stage.run()
    assert len(slurm.words("sbatch")) == 1


def test_a_job_of_other_inputs_is_ended_and_its_result_left(stage, slurm):
    stage.run()
    old = stage.jobs[0].name
    slurm.answer("sbatch", f"[ -s {slurm.folder}/scancel.words ] || exit 1\n{RUN_IN_FOLDER}")
    stage.run(CallIdentity(RUN, "baseline", "rca", 1, "another key"))
    assert len(slurm.words("sbatch")) == 2
    assert [f"--name={old}"] in slurm.words("scancel")


def test_a_step_by_hand_never_takes_an_old_result_for_its_own(stage, slurm):
    stage.run(None)
    stage.run(None)
    assert len(slurm.words("sbatch")) == 2
    assert "deft-step-vcn_aoi-" in " ".join(slurm.words("sbatch")[0])


@pytest.mark.parametrize(
    ("state", "said", "cure"),
    [
        ("1|TIMEOUT|0:00|TimeLimit", "time limit", "raise time_limit"),
        ("1|OUT_OF_MEMORY|0:00|None", "more memory", "raise memory"),
        ("1|PENDING|1:00|PartitionTimeLimit", "never start", "scontrol show partition"),
        ("1|CANCELLED|0:00|None", "somebody else", "deft run"),
        ("1|FAILED|0:00|NonZeroExitCode", "could not write", "file system that the nodes share"),
    ],
)
def test_an_end_that_nobody_can_repeat_is_named_with_its_cure(stage, slurm, state, said, cure):
    slurm.answer("sbatch", "echo 1")
    slurm.say("squeue", state + "\n")
    with pytest.raises(StageFailed, match=said) as failure:
        stage.run()
    assert cure in failure.value.hint
    assert [f"--name={stage.jobs[0].name}"] in slurm.words("scancel")


def test_a_stop_ends_the_job_by_name_and_keeps_what_it_has_done(stage, slurm, monkeypatch):
    slurm.answer("sbatch", "echo 1")

    def interrupt(follower):
        files.write_text(stage.jobs[0].work / "half.pth", "half")
        stage.jobs[0].lend_token("hf_secret")
        raise KeyboardInterrupt

    monkeypatch.setattr("deft.platforms.slurm.following.Follower.follow", interrupt)
    with pytest.raises(KeyboardInterrupt):
        stage.run()
    assert [f"--name={stage.jobs[0].name}"] in slurm.words("scancel")
    assert (stage.attempt / "half.pth").read_text() == "half"
    assert stage.jobs[0].asked_to_stop
    assert not (stage.jobs[0].folder / "hub-token").exists()


def test_a_job_that_a_killed_runner_left_is_ended_and_the_next_runner_submits_anew(stage, left, slurm):
    run = RunFolder(stage.folder / RUN)
    left.lend_token("hf_secret")
    assert stage.platform.end(run) == [left.name]
    assert [f"--name={left.name}"] in slurm.words("scancel")
    assert not (left.folder / "hub-token").exists()
    assert stage.platform.end(run) == []
    slurm.answer("sbatch", RUN_IN_FOLDER)
    stage.run()
    assert len(slurm.words("sbatch")) == 2
    assert stage.platform.end(run) == []


@pytest.fixture
def left(stage, slurm, monkeypatch) -> Job:
    """Let a runner die while its job runs, until scancel ends the job."""

    def crash(follower):
        raise OSError("the runner dies here")

    monkeypatch.setattr("deft.platforms.slurm.following.POLLS_PER_STOP", 1000)
    monkeypatch.setattr("deft.platforms.slurm.following.STOP_SECONDS", 0.1)
    monkeypatch.setattr("deft.platforms.slurm.following.SETTLE_SECONDS", 0.1)
    with monkeypatch.context() as patch:
        patch.setattr("deft.platforms.slurm.following.Follower.follow", crash)
        slurm.answer("sbatch", "echo 1")
        with pytest.raises(OSError, match="dies"):
            stage.run()
    (job,) = stage.jobs
    cancelled = f"grep -qzx -e --name={job.name} {slurm.folder}/scancel.ended 2>/dev/null"
    slurm.answer("squeue", f"{cancelled} || echo '1|RUNNING|1:00|None'")
    slurm.answer("scancel", f"[ $# -gt 1 ] || printf '%s\\0' \"$@\" >>{slurm.folder}/scancel.ended")
    return job


def test_a_job_that_goes_on_is_not_said_to_be_ended_and_the_next_stop_ends_it(stage, left, slurm):
    run = RunFolder(stage.folder / RUN)
    for fault in ("exit 1", "exit 0"):  # the controller is silent, or it took the order and the job goes on
        scancel = slurm.folder / "scancel"
        works = scancel.read_text()
        slurm.answer("scancel", fault)
        with pytest.raises(EnvironmentMissing, match=left.name) as missing:
            stage.platform.end(run)
        assert f"deft stop {run.root}" in missing.value.hint
        scancel.write_text(works)
    assert left.asked_to_stop
    assert stage.platform.end(run) == [left.name]


def test_an_order_that_slurm_refused_is_told_though_the_job_is_gone(stage, left, slurm):
    slurm.answer("scancel", f"printf '%s\\0' --name={left.name} >>{slurm.folder}/scancel.ended; exit 1")
    run = RunFolder(stage.folder / RUN)
    with pytest.raises(EnvironmentMissing, match=left.name):
        stage.platform.end(run)
    assert stage.platform.end(run) == []


def test_the_token_of_a_job_that_ended_by_itself_is_taken_back_as_well(stage, left, slurm):
    slurm.answer("squeue", "true")
    left.lend_token("hf_secret")
    assert stage.platform.end(RunFolder(stage.folder / RUN)) == []
    assert not (left.folder / "hub-token").exists()


def test_a_job_of_other_inputs_that_goes_on_is_not_forgotten(stage, left, slurm):
    works = (slurm.folder / "scancel").read_text()
    slurm.answer("scancel", "exit 1")
    slurm.answer("sbatch", RUN_IN_FOLDER)
    stage.run(CallIdentity(RUN, "baseline", "rca", 1, "another key"))
    (slurm.folder / "scancel").write_text(works)
    assert stage.platform.end(RunFolder(stage.folder / RUN)) == [left.name]


def test_a_controller_that_does_not_answer_leaves_a_stop_undone_and_says_so(stage, left, slurm):
    slurm.answer("squeue", "echo 'Unable to contact slurm controller' >&2; exit 1")
    with pytest.raises(EnvironmentMissing, match="Unable to contact") as missing:
        stage.platform.end(RunFolder(stage.folder / RUN))
    assert "scontrol ping" in missing.value.hint


def test_a_job_that_slurm_does_not_show_is_not_said_to_be_ended(stage, left, slurm):
    slurm.answer("squeue", "true")
    assert stage.platform.end(RunFolder(stage.folder / RUN)) == []


def test_another_attempts_job_is_ended_before_its_folder_goes(stage, left, slurm):
    slurm.answer("scancel", f"ls -d {left.work} >>{slurm.folder}/seen; exit 1")
    slurm.answer("sbatch", RUN_IN_FOLDER)
    again = CallIdentity(RUN, "baseline", "rca", 2, "key")
    stage.run(again)
    assert [f"--name={left.name}"] in slurm.words("scancel")
    assert left.work.is_dir()
    slurm.answer("scancel", f"ls -d {left.work} >>{slurm.folder}/seen")
    stage.run(again)
    assert not left.work.exists()
    assert set((slurm.folder / "seen").read_text().split()) == {str(left.work)}


def test_gap_analysis_stays_here_unless_the_settings_send_it_along(tmp_path, slurm, monkeypatch):
    done = []
    monkeypatch.setattr(
        "deft.platforms.embedded.EmbeddedPlatform.run", lambda self, calls, progress: done.extend(calls)
    )
    Stage(tmp_path, slurm, gap_analysis="host").run()
    assert [call.action for call in done] == ["vcn_aoi"]
    assert slurm.words("sbatch") == []


def test_the_platform_is_found_by_its_name_and_its_settings_are_checked():
    assert platform_named("slurm", {"partition": "gpu"}).default_encoder == "deft_pair"
    assert platform_named("slurm", {"engine": "pyxis"}).default_encoder == "SigLIP"
    with pytest.raises(UsageError, match="unknown setting of platform slurm"):
        platform_named("slurm", {"partitions": "gpu"})
