"""The commands of Slurm: their words, what they are told of the user's environment, what they may answer."""

from __future__ import annotations

import pytest

from deft.errors import EnvironmentMissing, StageFailed
from deft.platforms.slurm import cluster
from deft.platforms.slurm.cluster import ControllerSilent, Seen
from fake_slurm import FakeSlurm


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    return FakeSlurm(tmp_path, monkeypatch)


def test_a_job_is_looked_up_by_its_name_among_all_states(slurm):
    slurm.say("squeue", "12|RUNNING|1:30:00|None\n")
    assert cluster.look_up("deft-x") == Seen("12", "RUNNING", "None", 5400)
    assert slurm.words("squeue") == [
        ["--noheader", "--states=all", "--name=deft-x", "--format=%i|%T|%L|%r"],
    ]


def test_a_name_that_slurm_does_not_know_is_no_job(slurm):
    assert cluster.look_up("deft-x") is None


def test_of_two_jobs_of_one_name_the_active_one_counts(slurm):
    slurm.say("squeue", "12|FAILED|0:00|None\n13|PENDING|INVALID|Priority\n")
    assert cluster.look_up("deft-x") == Seen("13", "PENDING", "Priority", None)


def test_a_controller_that_is_away_says_nothing_of_the_job(slurm):
    slurm.answer("squeue", "echo 'Unable to contact slurm controller' >&2; exit 1")
    with pytest.raises(ControllerSilent, match="Unable to contact"):
        cluster.look_up("deft-x")


def test_a_command_that_takes_too_long_counts_as_silence(slurm, monkeypatch):
    monkeypatch.setattr(cluster, "PATIENCE_SECONDS", 0.05)
    slurm.answer("squeue", "exec sleep 20")
    slurm.answer("sbatch", "exec sleep 20")
    with pytest.raises(ControllerSilent, match="did not answer"):
        cluster.look_up("deft-x")
    assert cluster.submit(["job.sh"]) == (None, "sbatch did not answer")


def test_a_submission_answers_with_its_number(slurm):
    slurm.say("sbatch", "77;cluster\n")
    assert cluster.submit(["--parsable", "job.sh"]) == ("77", "")


@pytest.mark.parametrize(
    "said",
    [
        "Batch job submission failed: Socket timed out on send/recv operation",
        "Batch job submission failed: Unable to contact slurm controller (connect failure)",
        "Zero Bytes were transmitted or received",
    ],
)
def test_a_submission_that_may_have_worked_is_neither_a_success_nor_a_refusal(slurm, said):
    slurm.answer("sbatch", f"echo 'sbatch: error: {said}' >&2; exit 1")
    number, doubt = cluster.submit(["job.sh"])
    assert number is None
    assert said in doubt


@pytest.mark.parametrize(
    "said",
    [
        "Batch job submission failed: Invalid account or account/partition combination specified",
        "Batch job submission failed: Requested node configuration is not available",
        "invalid partition specified: nowhere",
    ],
)
def test_a_refused_submission_is_an_error_in_the_words_of_slurm(slurm, said):
    slurm.answer("sbatch", f"echo 'sbatch: error: {said}' >&2; exit 1")
    with pytest.raises(StageFailed, match="Slurm refused the job") as refusal:
        cluster.submit(["job.sh"])
    assert said in str(refusal.value)
    assert "specs/platforms.yaml" in refusal.value.hint


def test_no_secret_and_no_default_of_the_user_reaches_a_command(slurm, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setenv("SBATCH_REQUEUE", "1")
    monkeypatch.setenv("SLURM_JOB_ID", "3")
    monkeypatch.setenv("SLURM_CONF", "/etc/slurm.conf")
    slurm.say("sbatch", "7\n")
    cluster.submit(["job.sh"])
    seen = slurm.environment("sbatch")
    assert "SLURM_CONF=/etc/slurm.conf" in seen
    for name in ("HF_TOKEN", "SBATCH_REQUEUE", "SLURM_JOB_ID"):
        assert name not in seen


def test_a_machine_without_slurm_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EnvironmentMissing, match="squeue") as refusal:
        cluster.look_up("deft-x")
    assert "submission host" in refusal.value.hint


@pytest.mark.parametrize(("state", "at_work"), [("PENDING", True), ("RUNNING", True), ("COMPLETING", False)])
def test_a_job_that_completes_is_active_and_needs_no_end(state, at_work):
    seen = Seen("12", state, "None", None)
    assert (seen.active, seen.at_work) == (True, at_work)


def test_an_order_that_slurm_did_not_take_is_told(slurm, monkeypatch):
    slurm.answer("scancel", "echo 'Unable to contact slurm controller' >&2; exit 1")
    assert cluster.cancel("deft-x") is False
    monkeypatch.setattr(cluster, "PATIENCE_SECONDS", 0.05)
    slurm.answer("scancel", "exec sleep 20")
    assert cluster.cancel("deft-x") is False


def test_a_job_is_signalled_and_cancelled_by_its_name(slurm):
    cluster.signal_job("deft-x")
    assert cluster.cancel("deft-x") is True
    assert slurm.words("scancel") == [["--signal=TERM", "--full", "--name=deft-x"], ["--name=deft-x"]]
