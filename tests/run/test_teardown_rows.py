"""The original's proven faults in records, each by its row: what it did, and that it cannot happen here."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deft.errors import Corruption, InputRefused, StateConflict, UsageError
from deft.run import gate
from deft.run.log import LoopLog, read
from deft.run.state import fold
from deft.run.tokens import align_token_usage, project_slug, read_messages, transcript_files
from deft.run.transitions import completed, next_stage
from deft.workspace.layout import RunFolder

Entry = dict[str, Any]
Make = Callable[..., Entry]


def append_in_this_process(path: str, writer: int, count: int, kind: str) -> None:
    log = LoopLog(Path(path))
    for number in range(count):
        log.append(
            {
                "iter": "baseline",
                "stage": "remark",
                "status": "ok",
                "summary": f"{writer}:{number}",
                "kind": kind,
            }
        )


def append_in_parallel(path: Path, writers: int, count: int) -> list[Entry]:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["deft.run.log"])
    workers = [
        context.Process(target=append_in_this_process, args=(str(path), number, count, "note"))
        for number in range(writers)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert all(worker.exitcode == 0 for worker in workers)
    return read(path)


def test_b14_the_original_logged_any_phase_and_any_order(log: LoopLog, stage: Make) -> None:
    with pytest.raises(UsageError):
        log.append(stage("banana/train", kind="manual"))
    log.append(stage("baseline/train"))
    log.append(stage("baseline/loop_stop", stop_reason="hard_stop"))
    with pytest.raises(StateConflict):
        log.append(stage("baseline/rca", kind="manual"))
    with pytest.raises(StateConflict):
        log.append(stage("baseline/train", attempt=2))
    assert len(log.read()) == 2


def test_b15_the_original_gave_400_appends_of_8_processes_291_numbers(run: RunFolder) -> None:
    entries = append_in_parallel(run.log, writers=8, count=50)
    assert [entry["seq"] for entry in entries] == list(range(1, 401))


def test_b16_the_original_refused_forever_after_a_torn_line(log: LoopLog, stage: Make) -> None:
    log.append(stage("baseline/train"))
    with open(log.path, "ab") as stream:
        stream.write(b'{"seq": 2, "ts": "2026')
    log.append(stage("baseline/evaluate"))
    assert [entry["kind"] for entry in log.read()] == ["stage", "recovered", "stage"]


@pytest.mark.parametrize(
    ("name", "value"), [("max_iterations", -3), ("num_epochs", -1), ("num_epochs", 0), ("batch_size", "many")]
)
def test_b17_the_original_began_a_run_with_any_figures(plan: dict[str, Any], name: str, value: Any) -> None:
    plan["settings"][name] = {"value": value, "source": "user"}
    with pytest.raises(Corruption, match=name):
        gate.save_pending(plan)


def test_b18_the_original_counted_each_row_of_a_reply_and_older_sessions(
    log: LoopLog, stage: Make, tmp_path: Path
) -> None:
    log.append({**stage("baseline/train"), "duration_sec": 300})
    usage = {"input_tokens": 1, "output_tokens": 10}
    rows = [
        ("old session", "2026-01-01T00:00:00Z"),
        *[("reply", f"2026-01-02T03:04:0{n}Z") for n in (1, 2, 3)],
    ]
    project = tmp_path / "-tmp-my-proj-v2"
    (project / "s" / "subagents").mkdir(parents=True)
    lines = [json.dumps({"timestamp": at, "message": {"id": name, "usage": usage}}) for name, at in rows]
    (project / "s.jsonl").write_text("\n".join(lines))
    (project / "s" / "subagents" / "a.jsonl").write_text(lines[-1].replace("reply", "subagent's reply"))
    assert project_slug("/tmp/my_proj.v2") == project.name
    record = align_token_usage(log.path, transcript_files(project), append=log.append)[1]
    assert (record["n_messages"], record["output"]) == (2, 20)
    assert len(read_messages(transcript_files(project))) == 3


def test_h1_the_original_let_a_run_begin_with_the_fifth_iteration(log: LoopLog, stage: Make) -> None:
    for kind in ("stage", "manual"):
        with pytest.raises(StateConflict, match="baseline/train comes next"):
            log.append(stage("iter5/routing", kind=kind))


def test_h2_h3_h5_h6_junk_evidence_by_hand_completes_nothing(
    log: LoopLog, stage: Make, plan: dict[str, Any]
) -> None:
    """The original took junk for a table, a report of 99 leaks, a failed log and an old checkpoint."""
    junk = {"path": "iter1/mining_filter/mined.parquet", "sha256": "0" * 64, "size": 2, "rows": 5000}
    for step in ("baseline/train", "baseline/evaluate", "baseline/rca", "iter1/routing"):
        entry = stage(step, kind="manual", far_pct=0.0, best_ckpt_path="/old/2001.pth", target_met=True)
        log.append({**entry, "evidence": [junk]})
    state = fold(plan, log.read())
    assert completed(log.read()) == []
    assert next_stage(log.read(), plan) == ("baseline", "train")
    assert (state["status"], state["iterations"]) == ("pending", {})
    assert [item["stage"] for item in state["unaudited"]] == ["train", "evaluate", "rca", "routing"]


def test_h4_the_original_was_complete_after_two_forged_commits(
    log: LoopLog, stage: Make, plan: dict[str, Any]
) -> None:
    for kind in ("stage", "manual"):
        with pytest.raises(StateConflict):
            log.append(stage("baseline/evaluate", kind=kind, target_met=True))
        with pytest.raises(StateConflict):
            log.append(stage("baseline/loop_stop", kind=kind, stop_reason="target_met"))
    log.append(stage("baseline/train", kind="manual"))
    log.append(stage("baseline/evaluate", kind="manual", target_met=True))
    log.append(stage("baseline/loop_stop", kind="manual", stop_reason="target_met"))
    assert fold(plan, log.read())["status"] == "pending"


def test_h7_the_original_kept_7_of_12_concurrent_commits(run: RunFolder) -> None:
    entries = append_in_parallel(run.log, writers=12, count=1)
    assert len({entry["summary"] for entry in entries}) == 12


def test_h9_the_original_turned_a_failed_commit_into_a_good_one(
    log: LoopLog, stage: Make, plan: dict[str, Any]
) -> None:
    """Here an error stays what it was: what is done again is another attempt with evidence of its own."""
    log.append(stage("baseline/train", "error"))
    with pytest.raises(StateConflict, match="attempt 1 of baseline/train is already logged"):
        log.append(stage("baseline/train"))
    assert fold(plan, log.read())["status"] == "failed"
    log.append(stage("baseline/train", attempt=2))
    assert [(entry["status"], entry["attempt"]) for entry in log.read()] == [("error", 1), ("ok", 2)]


def test_the_original_s_return_codes_for_tokens_are_refusals_of_input(log: LoopLog, tmp_path: Path) -> None:
    """It returned 2 for a missing transcript and 3 when nothing was attributed; both are exit 3 here."""
    with pytest.raises(InputRefused) as missing:
        align_token_usage(tmp_path / "none.jsonl", [], append=pytest.fail)
    log.path.touch()
    with pytest.raises(InputRefused) as nothing:
        align_token_usage(log.path, [], append=log.append)
    assert missing.value.exit_code == nothing.value.exit_code == 3
