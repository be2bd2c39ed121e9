"""A submission's folder: a result counts only if every hash holds, and only then takes the outputs' place."""

from __future__ import annotations

import pytest

from deft import files
from deft.platforms.slurm.jobs import (
    Job,
    copy_to_job,
    jobs_of,
    keep_partial_work,
    open_job,
    read_result,
    take_over,
)


@pytest.fixture
def job(tmp_path) -> Job:
    opened = open_job(tmp_path / "jobs", "deft-run-baseline-train-1", "signature")
    opened.work.mkdir()
    return opened


def write_result(job: Job, codes: str = "0", *, nonce: str = "", end: str = "end") -> None:
    hashes = [
        f"{files.sha256_of_file(path)}  ./{path.relative_to(job.work)}"
        for path in files.files_below(job.work)
    ]
    lines = ["deft-result 1", f"nonce {nonce or job.nonce}", f"codes {codes}", *hashes, end]
    files.write_text(job.folder / f"{job.nonce}.ok", "\n".join(lines) + "\n")


def test_a_submission_is_on_disk_under_a_name_of_its_own_before_it_is_made(job):
    second = open_job(job.folder.parent, "deft-run-baseline-train-1", "signature")
    assert job.name == f"deft-run-baseline-train-1-{job.nonce}"
    assert second.name != job.name
    assert [each.nonce for each in jobs_of(job.folder.parent)] == [job.nonce, second.nonce]
    assert job.record["submitted"] is False
    assert job.folder.stat().st_mode & 0o777 == 0o700


def test_a_result_whose_hashes_hold_counts(job):
    files.write_text(job.work / "a b" / "scores.csv", "1")
    write_result(job, "0 0")
    result = read_result(job)
    assert result is not None
    assert result.passed
    assert set(result.hashes) == {"a b/scores.csv"}


def _change(job: Job) -> None:
    files.write_text(job.work / "scores.csv", "2")


def _remove(job: Job) -> None:
    (job.work / "scores.csv").unlink()


def _cut(job: Job) -> None:
    path = job.folder / f"{job.nonce}.ok"
    path.write_bytes(path.read_bytes()[:-3])


@pytest.mark.parametrize("damage", [_change, _remove, _cut])
def test_a_result_that_does_not_hold_is_none(job, damage):
    files.write_text(job.work / "scores.csv", "1")
    write_result(job)
    damage(job)
    assert read_result(job) is None


@pytest.mark.parametrize("codes", ["", "x", "-1"])
def test_a_result_without_exit_codes_is_no_success(job, codes):
    write_result(job, codes)
    result = read_result(job)
    assert result is None or not result.passed


def test_the_result_of_another_submission_is_none(job):
    write_result(job, nonce="0" * 12)
    assert read_result(job) is None


def test_a_failure_is_read_whatever_its_files_are(job):
    write_result(job, "0 143")
    result = read_result(job)
    assert result is not None
    assert not result.passed
    assert result.signalled


def test_taking_over_replaces_the_folder_as_a_whole_and_leaves_the_jobs_copy(job, tmp_path):
    root = tmp_path / "train.attempt-1"
    files.write_text(root / "spec.yaml", "a: 1")
    files.write_text(root / "interrupted.pth", "half")
    job.work.rmdir()
    copy_to_job(root, job)
    (job.work / "interrupted.pth").unlink()
    files.write_text(job.work / "model.pth", "whole")
    (job.work / "latest.pth").symlink_to("model.pth")
    files.write_text(job.work / ".status.json.7.tmp", "half")
    take_over(job, root)
    assert sorted(path.name for path in root.iterdir()) == ["latest.pth", "model.pth", "spec.yaml"]
    assert (root / "latest.pth").read_text() == "whole"
    assert (root / "latest.pth").is_symlink()
    assert (job.work / "model.pth").read_text() == "whole"
    take_over(job, root)
    assert (root / "model.pth").read_text() == "whole"


def test_partial_work_is_a_copy_that_a_job_which_still_runs_cannot_change(job, tmp_path):
    root = tmp_path / "train.attempt-1"
    files.write_text(root / "spec.yaml", "a: 1")
    files.write_text(job.work / "status.json", "1")
    keep_partial_work(job, root)
    with open(job.work / "status.json", "a") as stream:
        stream.write("2")
    assert (root / "status.json").read_text() == "1"


def test_partial_work_that_cannot_be_copied_leaves_the_folder_as_it_was(job, tmp_path, monkeypatch):
    root = tmp_path / "train.attempt-1"
    files.write_text(root / "spec.yaml", "a: 1")
    files.write_text(job.work / "status.json", "1")

    def vanish(*arguments, **options):
        raise FileNotFoundError

    monkeypatch.setattr("shutil.copy2", vanish)
    keep_partial_work(job, root)
    assert [path.name for path in root.iterdir()] == ["spec.yaml"]


def test_a_token_is_lent_to_its_owner_alone_and_taken_back(job):
    path = job.lend_token("hf_secret")
    assert path.stat().st_mode & 0o777 == 0o600
    job.forget_token()
    assert not path.exists()
