"""What one job is given: the words of sbatch, its paths, its script."""

from __future__ import annotations

import shlex
import stat
from pathlib import Path

import pandas as pd
import pytest

from deft import files
from deft.errors import UsageError
from deft.platforms.base import CallIdentity, ToolCall
from deft.platforms.containers import Image, last_status
from deft.platforms.slurm.jobs import copy_to_job, open_job
from deft.platforms.slurm.rendering import (
    enroot_name,
    moved,
    outputs_folder,
    signature_of,
    submission_words,
    write_script,
)
from deft.platforms.slurm.settings import SlurmSettings

DIGEST = f"sha256:{'a' * 64}"
IMAGES = {
    "train_image": f"registry.example/nvidia/tao/tao-toolkit@{DIGEST}",
    "data_services_image": f"registry.example/nvidia/tao/ds@{DIGEST}",
}


def call_in(folder: Path, **more) -> ToolCall:
    attempt = folder / "run" / "baseline" / "train.attempt-1"
    spec = attempt / "train spec.yaml"
    if not spec.is_file():
        files.write_yaml(spec, {"task": "classify"})
    given = {
        "category": "visual_changenet",
        "action": "train",
        "spec": spec,
        "overrides": {"train.results_dir": attempt, "train.seed": 3, "table": folder / "rows.csv"},
        "reads": (folder,),
        "writes": attempt,
        "log": attempt / "train.log",
        "gpus": 1,
        "identity": CallIdentity("run", "baseline", "train", 1, "key"),
    }
    return ToolCall(**{**given, **more})


def prepared(tmp_path, call, settings, images=IMAGES):
    root = outputs_folder([call])
    job = open_job(tmp_path / "jobs", "deft-run-baseline-train-1", "s")
    copy_to_job(root, job)
    write_script(job, [moved(call, root, job)], settings, images)
    return job


def test_the_words_of_a_submission(tmp_path):
    call = call_in(tmp_path)
    settings = SlurmSettings.from_mapping({"partition": "gpu", "time_limit": "01:00:00"})
    job = prepared(tmp_path, call, settings)
    assert submission_words(job, [call], settings) == [
        "--parsable",
        "--no-requeue",
        "--export=NONE",
        "--nodes=1",
        "--ntasks=1",
        f"--job-name=deft-run-baseline-train-1-{job.nonce}",
        f"--chdir={job.folder}",
        "--output=output.log",
        "--signal=B:TERM@60",
        "--partition=gpu",
        "--time=01:00:00",
        "--gres=gpu:1",
        str(job.folder / "job.sh"),
    ]
    assert stat.S_IMODE(job.script.stat().st_mode) == 0o700


def test_every_path_of_the_outputs_becomes_one_of_the_jobs_own_folder(tmp_path):
    call = call_in(tmp_path)
    job = open_job(tmp_path / "jobs", "deft", "s")
    found = moved(call, outputs_folder([call]), job)
    assert found.overrides == {
        "train.results_dir": job.work,
        "train.seed": 3,
        "table": tmp_path / "rows.csv",
    }
    assert (found.writes, found.log, found.spec) == (
        job.work,
        job.work / "train.log",
        job.work / "train spec.yaml",
    )


def test_the_engine_runs_all_calls_in_one_process_of_the_given_interpreter(tmp_path):
    job = prepared(tmp_path, call_in(tmp_path), SlurmSettings(python="/shared/venv/bin/python"))
    script = job.script.read_text()
    assert f"/shared/venv/bin/python -m deft.tools --batch {job.folder}/calls.json" in script
    (record,) = files.read_json(job.folder / "calls.json")
    assert record["overrides"]["train.results_dir"] == str(job.work)
    assert files.read_yaml(Path(record["spec"])) == {"task": "classify"}


def test_a_container_is_a_step_in_an_image_by_digest_that_sees_the_workspace_read_only(tmp_path):
    job = prepared(tmp_path, call_in(tmp_path), SlurmSettings(engine="pyxis"))
    line = container_line(job)
    for word in (
        f"--container-image=docker://registry.example#nvidia/tao/tao-toolkit:{DIGEST}",
        f"--container-mounts={tmp_path}:{tmp_path}:ro,{job.folder}:{job.folder}",
        "--no-container-mount-home",
        f"visual_changenet train -e {job.folder}/spec-0.yaml",
    ):
        assert word in line
    spec = files.read_yaml(job.folder / "spec-0.yaml")
    assert spec["train"] == {"results_dir": str(job.work), "seed": 3}


def container_line(job) -> str:
    (line,) = [line for line in job.script.read_text().splitlines() if line.startswith("carry_out ")]
    return line


def test_a_container_sees_all_that_its_call_names_wherever_it_lies(tmp_path):
    workspace, elsewhere = tmp_path / "workspace", tmp_path / "elsewhere"
    weights = files.make_folder(elsewhere / "weights")
    checkpoint = files.write_text(elsewhere / "model.pth", "x")
    (files.make_folder(workspace) / "images").symlink_to(files.make_folder(elsewhere / "linked"))
    picture = files.write_text(elsewhere / "listed" / "a.png", "x")
    attempt = files.make_folder(workspace / "run" / "baseline" / "mining.attempt-1")
    table = files.write_parquet(attempt / "in.parquet", pd.DataFrame({"filepath": [str(picture)]}))
    named = {"model_path": weights, "checkpoint": checkpoint, "input_parquet": table}
    call = call_in(workspace, reads=(workspace,), writes=attempt, log=attempt / "a.log", overrides=named)
    job = prepared(workspace, call, SlurmSettings(engine="pyxis"))
    (words,) = [word for word in shlex.split(container_line(job)) if word.startswith("--container-mounts=")]
    mounts = words.removeprefix("--container-mounts=").split(",")
    read = (workspace, weights, checkpoint, elsewhere / "linked", elsewhere / "listed")
    assert set(mounts) == {*(f"{path}:{path}:ro" for path in read), f"{job.folder}:{job.folder}"}
    assert mounts[-1] == f"{job.folder}:{job.folder}"


def test_what_an_earlier_job_said_in_the_log_is_not_the_word_of_this_ones_container(tmp_path):
    call = call_in(tmp_path)
    files.write_text(call.log, "Execution status: PASS\n")
    job = prepared(tmp_path, call, SlurmSettings(engine="pyxis"))
    assert last_status(job.work / call.log.name) is None
    assert last_status(call.log) == "PASS"


def test_a_step_is_given_the_cpus_of_its_job_since_it_inherits_none(tmp_path):
    job = prepared(tmp_path, call_in(tmp_path), SlurmSettings(engine="pyxis", cpus=8))
    assert " --cpus-per-task=8 " in container_line(job)
    plain = prepared(tmp_path, call_in(tmp_path), SlurmSettings(engine="pyxis"))
    assert "--cpus-per-task" not in container_line(plain)


@pytest.mark.parametrize("name", ["a:b", "a,b"])
def test_a_folder_whose_name_would_become_another_mount_is_refused(tmp_path, name):
    with pytest.raises(UsageError, match="colon or a comma"):
        prepared(tmp_path, call_in(tmp_path, reads=(tmp_path / name,)), SlurmSettings(engine="pyxis"))


@pytest.mark.parametrize(
    ("reference", "name"),
    [
        (f"registry.example/nvidia/tao@{DIGEST}", f"docker://registry.example#nvidia/tao:{DIGEST}"),
        (f"localhost:5000/tao@{DIGEST}", f"docker://localhost:5000#tao:{DIGEST}"),
        (f"library/tao@{DIGEST}", f"docker://library/tao:{DIGEST}"),
    ],
)
def test_an_image_is_named_by_its_digest_as_every_enroot_reads_it(reference, name):
    assert enroot_name(Image(reference)) == name


def test_a_token_reaches_the_job_as_a_file_and_stands_in_no_word(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    staged = prepared(tmp_path, call_in(tmp_path), SlurmSettings())
    assert not (staged.folder / "hub-token").exists()
    files.write_yaml(call_in(tmp_path).spec, {"model_path": "org/gated"})
    job = prepared(tmp_path, call_in(tmp_path), SlurmSettings())
    token = job.folder / "hub-token"
    assert token.read_text() == "hf_secret"
    assert stat.S_IMODE(token.stat().st_mode) == 0o600
    assert f"export HF_TOKEN_PATH={token}" in job.script.read_text()
    for path in files.files_below(job.folder):
        assert path == token or b"hf_secret" not in path.read_bytes()


def test_other_inputs_another_spec_or_another_word_are_another_signature(tmp_path):
    call = call_in(tmp_path)
    first = signature_of([call])
    assert signature_of([call_in(tmp_path)]) == first
    other_key = CallIdentity("run", "baseline", "train", 1, "other key")
    assert signature_of([call_in(tmp_path, identity=other_key)]) != first
    assert signature_of([call_in(tmp_path, overrides={})]) != first
    files.write_yaml(call.spec, {"task": "other"})
    assert signature_of([call]) != first
