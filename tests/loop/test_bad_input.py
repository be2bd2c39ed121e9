"""Bad input through the real verbs: one message, the exit code of its family, a workspace as it was."""

from __future__ import annotations

import errno
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from deft import files
from deft.run.lock import RunLock
from deft.run.log import read
from deft.workspace.layout import RunFolder, Workspace, state_home
from deft.workspace.rows import read_table, write_table
from loop_fixtures import new_run, open_approved_run, use_stub
from tiny_workspace import make_workspace
from verb_fixtures import inputs_of, run_in_process, tree

TESTS = Path(__file__).resolve().parents[1]
GOOD_TARGET = "FAR < 0.1% at recall = 100%"


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    use_stub(monkeypatch)
    return make_workspace(tmp_path / "workspace")


def refused(said, code: int) -> str:
    """Return the fact and the value of a refusal that is one message of two lines and no traceback."""
    assert said.code == code, said.err
    assert said.record["exit_code"] == code
    error = said.record["error"]
    assert error["hint"], "no next command"
    value = "" if error["value"] is None else error["value"]
    assert "Traceback" not in said.out + said.err
    assert not (state_home() / "crashes").exists()
    assert said.err.startswith(f"error: {error['fact']}")
    assert said.err.rstrip().endswith(f"hint: {error['hint']}")
    return f"{error['fact']}: {value}"


# --- what pre-flight sees: the workspace stays as it was, and no plan waits ----------------------------


def first(folder: Path) -> Path:
    return min(path for path in folder.rglob("*") if path.is_file())


def keep_header(table: Path) -> None:
    table.write_text(table.read_text().splitlines()[0] + "\n")


def misspell(table: Path) -> None:
    table.write_text(table.read_text().replace("label", "lable", 1))


def keep_label(table: Path, label: str) -> None:
    rows = read_table(table)
    write_table(table, rows[rows["label"] == label])


def spoil(folder: Path) -> None:
    first(folder).write_bytes(b"\x89PNG\r\n\x1a\n this ends too early")


def empty(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


def double(folder: Path) -> None:
    shutil.copy(first(folder), first(folder).with_suffix(".jpg"))


def change_spec(workspace: Workspace, old: str, new: str) -> None:
    text = workspace.baseline_spec.read_text()
    assert old in text
    workspace.baseline_spec.write_text(text.replace(old, new))


Damage = Callable[[Workspace], object]
MISSING: dict[str, tuple[Damage, str]] = {
    "an empty workspace": (lambda w: [shutil.rmtree(p) for p in w.root.iterdir()], "baseline_spec.yaml"),
    "no spec": (lambda w: w.baseline_spec.unlink(), "file does not exist: {}/specs/baseline_spec.yaml"),
    "no training table": (lambda w: w.training_table.unlink(), "{}/train/base/training_set.csv"),
    "no images": (
        lambda w: shutil.rmtree(w.images),
        "image(s) of 26 rows do not exist: row 2: /",
    ),
    "no pool": (lambda w: shutil.rmtree(w.mining_pool), "{}/augmentation/mining_pool/mining_pool.csv"),
    "no pool images": (lambda w: shutil.rmtree(w.mining_pool / "images"), "row 2 input_path `pool/board0`"),
    "no pairs": (lambda w: shutil.rmtree(w.anomalygen), "does not exist: {}/augmentation/anomalygen"),
    "an empty folder of pairs": (lambda w: empty(w.reconstructed_images), "is empty: {}/augmentation"),
    "an absent golden": (
        lambda w: first(w.images / "golden" / "kpi").unlink(),
        "1 image(s) of 45 rows do not exist: row 2: {}/kpi/images/golden/kpi/board0/C0_SolderLight.png",
    ),
}
BROKEN: dict[str, tuple[Damage, str]] = {
    "an unpaired stem": (lambda w: first(w.original_images).unlink(), "have no partner: R0+bridge_0"),
    "a stem that stands twice": (lambda w: double(w.original_images), "1 stem(s) twice: R0+bridge_0"),
    "a column by another name": (lambda w: misspell(w.kpi_table), "table lacks label (it has input_path"),
    "a pool without a row": (lambda w: keep_header(w.mining_pool_table), "no rows: {}/augmentation"),
    "a pool without a header": (lambda w: w.mining_pool_table.write_text(""), "it has no columns"),
    "PASS rows only": (lambda w: keep_label(w.kpi_table, "PASS"), "PASS rows only, kpi needs both: {}/kpi"),
    "defects only": (lambda w: keep_label(w.training_table, "bridge"), "defect rows only, train needs both"),
    "an unreadable image": (lambda w: spoil(w.images / "kpi"), "{}/kpi/images/kpi/board0/C0_SolderLight.png"),
    "an unreadable golden": (
        lambda w: spoil(w.images / "golden" / "holdout"),
        "{}/kpi/images/golden/holdout/board0/C0_SolderLight.png",
    ),
    "an unreadable picture of a pair": (
        lambda w: spoil(w.original_images),
        "{}/augmentation/anomalygen/original_image/R0+bridge_0.png",
    ),
    "an unreadable golden of the pool": (
        lambda w: spoil(w.mining_pool / "images" / "golden"),
        "{}/augmentation/mining_pool/images/golden/pool/board0/C0_SolderLight.png",
    ),
    "a table that is no text": (lambda w: w.kpi_table.write_bytes(b"\xff\xfe"), "not UTF-8 text"),
    "a spec that is no YAML": (lambda w: w.baseline_spec.write_text("a: [1"), "not acceptable YAML"),
    "a block that is a number": (
        lambda w: change_spec(w, "train:\n", "train: 5\nrest:\n"),
        "`train` is no block",
    ),
}


@pytest.mark.parametrize("case", [*MISSING, *BROKEN])
def test_preflight_refuses_by_name_and_leaves_everything_as_it_was(workspace, say, case):
    damage, told = {**MISSING, **BROKEN}[case]
    damage(workspace)
    before = tree(workspace.root)
    assert told.format(workspace.root) in refused(say("preflight", workspace.root), 3)
    assert tree(workspace.root) == before
    assert not (state_home() / "pending").exists()


def test_a_workspace_that_is_not_there_is_refused_by_every_verb_of_the_loop(tmp_path, say):
    place = tmp_path / "nowhere"
    for verb in ("preflight", "run", "status", "next", "stop", "report", "audit", "clean", "spot-check"):
        assert str(place) in refused(say(verb, place), 3)
    assert not place.exists()


def test_a_refusal_without_a_better_hint_names_the_command_to_repeat(workspace, say):
    workspace.mining_pool_table.unlink()
    said = say("preflight", workspace.root, "--max-iterations", 1)
    command = shlex.join(["deft", "preflight", str(workspace.root), "--max-iterations", "1"])
    assert said.record["error"]["hint"].endswith(command)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("batch_size: 8", "batch_size: many", "batch_size must be a whole number (source: spec): many"),
        ("num_epochs: 2", "num_epochs: 2.5", "num_epochs must be a whole number (source: spec): 2.5"),
        ("seed: 1", "seed: true", "seed must be a whole number (source: spec): True"),
    ],
)
def test_a_number_of_the_spec_that_is_none_is_refused_by_name(workspace, say, old, new, told):
    change_spec(workspace, old, new)
    assert refused(say("preflight", workspace.root), 2).endswith(told)


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ("FAR < 0% at recall = 100%", "no model can meet this"),
        ("FAR < 0.1% at recall = 110%", "a rate lies between 0 and 100 %"),
        ("as good as possible", "as good as possible"),
    ],
)
def test_a_target_that_nothing_can_meet_is_refused_with_examples(workspace, say, target, told):
    before = tree(workspace.root)
    said = say("preflight", workspace.root, "--target", target)
    assert told in refused(said, 2)
    assert GOOD_TARGET in said.record["error"]["hint"]
    assert tree(workspace.root) == before


# --- what only a run can see: everything but results/ stays as it was ----------------------------------


def test_a_target_that_the_data_do_not_reach_ends_the_run_with_that_verdict(tmp_path, monkeypatch, say):
    run, _ = new_run(tmp_path, monkeypatch, max_iterations=1)
    run_in_process(monkeypatch)
    said = say("run", run.root)
    assert (said.code, said.record["status"]) == (0, "complete")
    assert said.record["stop_reason"] == "max_iterations"
    say("report", run.root)
    assert "before the target was reached" in run.report.read_text()


def test_a_score_that_is_no_number_fails_the_stage_by_its_row(tmp_path, monkeypatch, say):
    run, _ = new_run(tmp_path, monkeypatch)
    run_in_process(monkeypatch)
    before = inputs_of(run.workspace.root)
    from stub_platform import _score

    monkeypatch.setattr(
        "stub_platform._score",
        lambda image, label, known: np.nan if image.stem.startswith("C3_") else _score(image, label, known),
    )
    said = say("run", run.root)
    assert (said.code, said.record["status"]) == (1, "failed")
    assert said.record["error"]["fact"] == "inference wrote a score that is no number in row 5"
    assert said.record["error"]["value"].endswith("inference.csv")
    assert said.record["next"].startswith("deft run ")
    assert "Traceback" not in said.out + said.err
    last = read(run.log)[-1]
    assert (last["stage"], last["status"]) == ("evaluate", "error")
    assert not run.phase("baseline").inference.exists()
    assert inputs_of(run.workspace.root) == before


def test_a_table_of_scores_that_holds_no_number_is_refused_by_its_row(workspace, tmp_path, say):
    table = read_table(workspace.kpi_table)
    table["siamese_score"] = ["0.5", "nan", *["0.5"] * (len(table) - 2)]
    scores = write_table(tmp_path / "scores.csv", table)
    assert "row 3" in refused(say("analyze-kpi", scores, "--output-dir", tmp_path / "kpi"), 3)
    assert not (tmp_path / "kpi").exists()


def test_a_busy_run_is_joined_and_nothing_else_touches_it(tmp_path, monkeypatch, say):
    run, stub = new_run(tmp_path, monkeypatch)
    with RunLock(run):
        before = tree(run.workspace.root)
        joined = say("run", run.root, "--wait", 0)
        assert (joined.code, joined.record["status"]) == (0, "running")
        assert "run is busy" in refused(say("clean", run.root, "--yes"), 4)
        assert tree(run.workspace.root) == before
    assert stub.calls == []


def test_a_second_runner_gives_way_to_the_first(tmp_path, monkeypatch):
    from deft import runner

    run, stub = new_run(tmp_path, monkeypatch)
    monkeypatch.setattr("signal.signal", lambda number, action: None)
    with RunLock(run):
        assert runner.main([str(run.root)]) == 4
    assert stub.calls == []
    assert not (run.runner / "outcome.json").exists()


def test_a_picture_that_breaks_after_the_approval_stops_the_run_before_its_first_stage(
    tmp_path, monkeypatch, say
):
    run, stub = new_run(tmp_path, monkeypatch)
    started = run_in_process(monkeypatch)
    spoil(run.workspace.images / "kpi")
    before = tree(run.workspace.root)
    assert "images of kpi/testing_set.csv" in refused(say("run", run.root), 4)
    assert tree(run.workspace.root) == before
    assert started == []
    assert stub.calls == []


# --- a full disk ---------------------------------------------------------------------------------------


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Let every call of one kind fail as on a full disk, from the moment it is asked for."""

    def fill(call: str) -> None:
        def fail(*arguments: object) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(f"os.{call}", fail)

    yield fill
    monkeypatch.undo()


@pytest.mark.parametrize("call", ["write", "fsync"])
def test_a_full_disk_keeps_no_half_plan_and_names_the_file(workspace, say, full_disk, call):
    before = tree(workspace.root)
    full_disk(call)
    said = say("preflight", workspace.root)
    assert f"no space left on the device: {state_home().parents[1]}" in refused(said, 5)
    assert "deft clean" in said.record["error"]["hint"]
    assert tree(workspace.root) == before
    assert [path for path in state_home().rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("call", ["write", "fsync"])
def test_a_full_disk_leaves_a_report_as_it_was(finished, tmp_path, say, full_disk, call):
    copy = shutil.copytree(finished.workspace.root, tmp_path / "copy", symlinks=True)
    run = RunFolder(copy / "results" / finished.root.name)
    files.write_text(run.report, "the last report")
    before = tree(copy)
    full_disk(call)
    assert f"no space left on the device: {run.report}" in refused(say("report", run.root), 5)
    assert tree(copy) == before


def test_a_disk_that_fills_during_a_stage_fails_it_with_the_file_and_the_run_goes_on_later(
    tmp_path, monkeypatch, say
):
    run, _ = new_run(tmp_path, monkeypatch, max_iterations=1)
    run_in_process(monkeypatch)
    before = inputs_of(run.workspace.root)
    with monkeypatch.context() as full:
        _fill_for(full, run.phase("baseline").root / "inference.attempt-1")
        said = say("run", run.root)
    assert (said.code, said.record["status"]) == (5, "failed")
    assert said.record["error"]["fact"] == "no space left on the device"
    assert "inference.attempt-1" in said.record["error"]["value"]
    assert inputs_of(run.workspace.root) == before
    again = say("run", run.root)
    assert (again.code, again.record["status"]) == (0, "complete")


def _fill_for(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Let files below one folder find no space, as where a quota or a mount is full."""
    write = os.write

    def fail_there(descriptor: int, content: bytes) -> int:
        if str(folder) in os.readlink(f"/proc/self/fd/{descriptor}"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(descriptor, content)

    monkeypatch.setattr("os.write", fail_there)


def test_a_disk_too_full_for_a_last_word_still_frees_the_run_and_ends_with_an_error(tmp_path, monkeypatch):
    from deft import runner

    run, _ = new_run(tmp_path, monkeypatch, max_iterations=1)
    with monkeypatch.context() as full:
        _fill_all_but_the_holder(full)
        outcome = runner.work(run, until_judgement=False)
    assert (outcome["status"], outcome["exit_code"]) == ("failed", 5)
    assert outcome["error"]["fact"] == "log cannot be written (No space left on device)"
    assert not (run.runner / "outcome.json").exists()
    with RunLock(run):
        assert [entry["kind"] for entry in read(run.log)] == ["approval"]


def _fill_all_but_the_holder(monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write

    def fail(descriptor: int, content: bytes) -> int:
        if "holder.json" in os.readlink(f"/proc/self/fd/{descriptor}"):
            return write(descriptor, content)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("os.write", fail)


# --- a million rows ------------------------------------------------------------------------------------

MILLION = """
import resource, sys
from pathlib import Path
import pytest
limit = int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
from deft.cli.main import main
from loop_fixtures import use_stub
use_stub(pytest.MonkeyPatch())
sys.exit(main(["preflight", sys.argv[1]]))
"""
LIMIT_BYTES = 4 * 2**30


@pytest.mark.slow
def test_a_table_of_a_million_rows_is_planned_within_memory_and_counted_honestly(workspace):
    table = read_table(workspace.kpi_table)
    write_table(workspace.kpi_table, pd.concat([table] * (1_000_000 // len(table) + 1)).head(1_000_000))
    before = tree(workspace.root)
    done = subprocess.run(
        [sys.executable, "-c", MILLION, str(workspace.root), str(LIMIT_BYTES)],
        env={**os.environ, "PYTHONPATH": f"{TESTS.parent / 'src'}:{TESTS}", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    counted = next(line for line in done.stdout.splitlines() if line.startswith("| kpi "))
    assert [int(cell) for cell in counted.strip("|").split("|")[1:]] == [666_670, 333_330]
    assert "666,670 PASS rows can prove FAR < 0.1 % only while" in done.stdout
    assert tree(workspace.root) == before


def test_the_stub_is_approved_for_a_workspace_of_the_demo_alone(tmp_path, monkeypatch):
    """The fixture that these tests lean on approves as the demo does; nothing here bypasses the gate."""
    use_stub(monkeypatch)
    run = open_approved_run(make_workspace(tmp_path / "workspace"))
    assert files.read_json(run.approval)["by"] == "demo"
