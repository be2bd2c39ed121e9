"""The verbs of the loop as a shell calls them: plan, approve, run, look, judge, stop, tidy."""

from __future__ import annotations

import json
import shlex

import pytest

from deft import files
from deft.loop import run_loop
from deft.run.gate import approve as record_approval
from deft.run.gate import pending_for, remember_drawn
from deft.run.lock import RunLock
from deft.run.log import read
from deft.run.spot_check import rca_folder
from deft.workspace.checkpoints import checkpoint_name
from deft.workspace.layout import state_home
from loop_fixtures import SILENT, TARGET, new_run, use_stub
from tiny_workspace import make_workspace
from verb_fixtures import inputs_of, run_in_process, sit_at_terminal, tree


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    use_stub(monkeypatch)
    return make_workspace(tmp_path / "line 4")


def at_terminal(monkeypatch, *answers):
    """Let a person sit there who gives these answers; returns the questions."""
    sit_at_terminal(monkeypatch)
    asked, left = [], list(answers)

    def prompt(text, **more):
        asked.append(text)
        return left.pop(0)

    monkeypatch.setattr("click.prompt", prompt)
    return asked


# --- preflight -----------------------------------------------------------------------------------------


def test_preflight_prints_every_table_and_stops_without_a_byte_in_the_workspace(workspace, say):
    before = tree(workspace.root)
    said = say("preflight", workspace.root, "--target", "FAR<0.1%@recall=100%", "--max-iterations", 2)
    assert said.code == 0
    for title in ("Run config", "Dataset", "Augmentation", "Platform", "Know before you say yes"):
        assert f"## {title}" in said.out
    assert "FAR < 0.1% at recall >= 100%" in said.out
    command = shlex.join(["deft", "approve", str(workspace.root)])
    assert said.out.splitlines()[-1].endswith(f"waits. next: {command}")
    assert tree(workspace.root) == before


def test_in_a_session_preflight_asks_for_the_users_word_and_not_for_a_terminal(workspace, say, monkeypatch):
    monkeypatch.setenv("DEFT_SESSION_ID", "11111111-2222")
    last = say("preflight", workspace.root).out.splitlines()[-1]
    assert last.endswith("end your turn; the user's own message approves")


def test_preflight_keeps_the_plan_outside_the_workspace_with_what_was_asked_for(workspace, say):
    given = {
        "--epochs": 3,
        "--top-k-per-target": 4,
        "--min-similarity": "p25",
        "--mining": "random",
        "--seed": 9,
    }
    say("preflight", workspace.root, *(word for pair in given.items() for word in pair), "--no-spot-check")
    settings = pending_for(workspace)["settings"]
    chosen = {name: found["value"] for name, found in settings.items() if found["source"] == "user"}
    assert chosen == {
        "num_epochs": 3,
        "top_k_per_target": 4,
        "min_similarity": "p25",
        "mining": "random",
        "seed": 9,
        "spot_check": False,
    }


def test_preflight_says_what_to_mend_where_the_platform_is_not_ready(workspace, say, monkeypatch):
    from deft.platforms.base import Check

    say("preflight", workspace.root)
    monkeypatch.setattr(
        "stub_platform.StubPlatform.checks",
        lambda self, workspace: [Check("docker", False, "not found", "install docker")],
    )
    said = say("preflight", workspace.root)
    assert said.code == 5
    assert "- docker: install docker" in said.out
    assert said.out.rstrip().endswith("no plan waits. next: mend the above, then the same command")
    assert pending_for(workspace) is None


def test_no_plan_waits_whose_summary_could_not_be_shown(workspace, say, monkeypatch):
    def broken(text, **more):
        raise BrokenPipeError

    monkeypatch.setattr("deft.cli.loop.say", broken)
    say("preflight", workspace.root)
    assert pending_for(workspace) is None


def test_preflight_gives_programs_the_facts_of_its_summary(workspace, say, monkeypatch):
    from deft.platforms.base import Check

    record = json.loads(say("preflight", workspace.root, "--seed", 9, "--json").out)
    assert record["status"] == "waits"
    assert record["plan"] == files.sha256_of_record(pending_for(workspace))
    assert record["settings"]["seed"] == {"value": 9, "source": "user"}
    assert record["next"].startswith("deft approve ")
    failing = [Check("docker", False, "not found", "install docker")]
    monkeypatch.setattr("stub_platform.StubPlatform.checks", lambda self, workspace: failing)
    said = say("preflight", workspace.root, "--json")
    record = json.loads(said.out)
    assert (said.code, record["status"], record["plan"]) == (5, "missing", None)
    assert {"name": "docker", "passed": False, "detail": "not found", "cure": "install docker"} in record[
        "checks"
    ]


def test_a_word_that_preflight_does_not_know_is_a_usage_error(workspace, say):
    said = say("preflight", workspace.root, "--epochs", "many")
    assert said.code == 2
    assert "many" in said.record["error"]["fact"]
    assert not (state_home() / "pending").exists()


# --- approve -------------------------------------------------------------------------------------------


def test_a_yes_at_the_terminal_approves_and_the_run_may_start(workspace, say, monkeypatch):
    say("preflight", workspace.root, "--target", TARGET)
    plan = pending_for(workspace)
    before = tree(workspace.root)
    with monkeypatch.context() as terminal:
        asked = at_terminal(terminal, "yes")
        said = say("approve", workspace.root)
    assert asked == [f"Run {plan['run_id']} as summarised? (yes/no)"]
    assert (said.code, said.out) == (0, f"approved: {plan['run_id']}\nnext: deft run '{workspace.root}'\n")
    assert tree(workspace.root) == before
    monkeypatch.setattr("deft.cli.running.start_runner", lambda run, **how: None)
    assert say("run", workspace.root, "--wait", 0).record["run"].endswith(plan["run_id"])
    assert files.read_json(workspace.results / plan["run_id"] / "approval.json")["by"] == "terminal"


@pytest.mark.parametrize("answer", ["no", "", "yes, but 5 epochs", "don't go yet"])
def test_anything_but_a_yes_approves_nothing(workspace, say, monkeypatch, answer):
    say("preflight", workspace.root)
    with monkeypatch.context() as terminal:
        at_terminal(terminal, answer)
        assert say("approve", workspace.root).code == 4
    assert say("run", workspace.root).code == 4
    assert not workspace.results.exists()


def test_in_a_pipe_nobody_is_asked(workspace, say, monkeypatch):
    say("preflight", workspace.root)
    monkeypatch.setattr("deft.run.gate.agent_marker", lambda: None)
    monkeypatch.setattr("click.prompt", lambda *words, **more: pytest.fail("asked"))
    said = say("approve", workspace.root)
    assert said.code == 4
    assert said.record["error"]["fact"] == "approval needs a terminal"
    assert say("run", workspace.root).code == 4


def test_an_agent_is_not_asked_even_at_a_terminal(workspace, say, monkeypatch):
    say("preflight", workspace.root)
    with monkeypatch.context() as terminal:
        asked = at_terminal(terminal, "yes")
        terminal.undo()
        terminal.setattr("sys.stdin.isatty", lambda: True, raising=False)
        terminal.setattr("sys.stdout.isatty", lambda: True, raising=False)
        terminal.setenv("CLAUDECODE", "1")
        said = say("approve", workspace.root)
    assert (said.code, asked) == (4, [])
    assert "an agent cannot approve" in said.err
    assert "CLAUDECODE" in said.err
    assert say("run", workspace.root).code == 4


def test_without_a_waiting_plan_nobody_is_asked(workspace, say, monkeypatch):
    with monkeypatch.context() as terminal:
        asked = at_terminal(terminal, "yes")
        said = say("approve", workspace.root)
    assert (said.code, asked) == (4, [])
    where = str(workspace.root)
    assert said.err == f"error: no plan waits for this workspace: {where}\nhint: deft preflight '{where}'\n"


# --- run -----------------------------------------------------------------------------------------------


def test_a_run_without_approval_ends_with_4_and_the_command_that_helps(workspace, say):
    before = tree(workspace.root)
    said = say("run", workspace.root)
    assert (said.code, said.record["error"]["hint"]) == (4, f"deft preflight '{workspace.root}'")
    say("preflight", workspace.root)
    said = say("run", workspace.root)
    assert (said.code, said.record["error"]["fact"]) == (4, "nobody approved this plan")
    assert said.record["error"]["hint"] == f"deft approve '{workspace.root}'"
    assert tree(workspace.root) == before


def test_a_run_pauses_for_eyes_takes_their_verdicts_and_goes_on_to_its_end(workspace, say, monkeypatch):
    run_in_process(monkeypatch)
    say("preflight", workspace.root, "--max-iterations", 1, "--target", TARGET)
    remember_drawn(workspace)
    record_approval(workspace, by="demo")
    before = inputs_of(workspace.root)
    waiting = say("run", workspace.root, "--until", "judgement")
    assert (waiting.code, waiting.record["status"]) == (0, "judgement")
    assert len(waiting.out.encode()) <= 1024
    count = len(waiting.record["images"])
    run = workspace.runs()[0]
    answers = ["1=mislabeled", *(f"{number}=edge case" for number in range(2, count + 1))]
    judged = say("spot-check", run.root, *answers)
    assert judged.record["proposed_corrections"] == 1
    assert judged.record["next"] == f"deft run '{run.root}' --until judgement"
    verdicts = files.read_json(rca_folder(run, read(run.log)) / "verdicts.json")
    assert [sample["verdict"] for sample in verdicts["samples"]].count("edge case") == count - 1
    ended = say("run", workspace.root)
    assert (ended.code, ended.record["status"]) == (0, "complete")
    assert "nobody looked" in read(run.log)[-2]["summary"]
    assert inputs_of(workspace.root) == before


def test_a_verdict_that_is_none_or_one_too_few_records_nothing(tmp_path, monkeypatch, say):
    run, _ = new_run(tmp_path, monkeypatch)
    assert say("spot-check", run.root, "1=systematic").code == 4
    run_loop(run, SILENT, until_judgement=True)
    lines = run.log.read_bytes()
    unknown = say("spot-check", run.root, "1=fine")
    assert (unknown.code, unknown.record["error"]["value"]) == (2, "1=fine")
    assert say("spot-check", run.root, "1=systematic").code == 2
    assert run.log.read_bytes() == lines


def test_an_agent_waits_for_a_minute_and_a_half_and_a_person_without_end(tmp_path, monkeypatch, say):
    run, _ = new_run(tmp_path, monkeypatch)
    monkeypatch.setattr("deft.cli.running.start_runner", lambda run, **how: None)
    waits = []

    def follow(run, wait_seconds):
        waits.append(wait_seconds)
        return {"status": "running"}

    monkeypatch.setattr("deft.cli.running.follow", follow)
    say("run", run.root)
    monkeypatch.setenv("CLAUDECODE", "1")
    say("run", run.root)
    say("run", run.root, "--wait", 5)
    assert waits == [None, 90.0, 5.0]


def test_a_failed_run_ends_with_the_code_of_what_failed(tmp_path, monkeypatch, say):
    run, stub = new_run(tmp_path, monkeypatch)
    run_in_process(monkeypatch)

    def fail(call):
        from deft.errors import EnvironmentMissing

        raise EnvironmentMissing("GPU is gone", value=call.name, hint="deft doctor")

    stub.before = fail
    said = say("run", run.root)
    assert said.code == 5
    assert said.record["error"] == {
        "fact": "GPU is gone",
        "value": "visual_changenet train",
        "hint": "deft doctor",
    }


# --- status, next, stop --------------------------------------------------------------------------------


def test_status_and_next_are_one_line_of_json_for_programs_and_text_for_people(finished, say, monkeypatch):
    status, following = say("status", finished.root), say("next", finished.workspace.root)
    for said in (status, following):
        assert said.code == 0
        assert said.out.count("\n") == 1
        assert len(said.out.encode()) <= 1024
    assert status.record["status"] == "complete"
    assert following.record == {"status": "complete", "next": f"deft report {finished.root}"}
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    text = say("status", finished.root).out
    assert text.startswith(f"complete: {finished.root}\n")
    assert text.endswith(f"next: deft report {finished.root}\n")
    assert say("next", finished.root).out == f"deft report {finished.root}\n"
    assert json.loads(say("status", finished.root, "--json").out)["status"] == "complete"


def test_looking_changes_nothing(finished, say):
    before = tree(finished.workspace.root)
    for verb in ("status", "next", "stop", "clean"):
        assert say(verb, finished.root).code == 0
    assert tree(finished.workspace.root) == before


def test_stopping_what_does_not_run_says_so(finished, say):
    said = say("stop", finished.root)
    assert said.record == {"status": "not running", "next": f"deft run {finished.root}"}


def test_stopping_ends_what_a_killed_runner_left_at_work_elsewhere(tmp_path, say, monkeypatch):
    monkeypatch.setattr(
        "deft.platforms.base.Platform.end", lambda platform, run: ["deft-job-1", "deft-job-2"]
    )
    run, _ = new_run(tmp_path, monkeypatch)
    with RunLock(run):
        pass  # and killed
    said = say("stop", run.root)
    assert (said.record["status"], said.record["ended"]) == ("stopped", "deft-job-1, deft-job-2")


def test_stopping_asks_the_runner_and_waits_for_it(tmp_path, monkeypatch, say):
    run, _ = new_run(tmp_path, monkeypatch)
    signals = []
    lock = RunLock(run)
    lock.__enter__()

    def kill(pid, number):
        signals.append((pid, number))
        lock.__exit__(None, None, None)

    monkeypatch.setattr("os.kill", kill)
    import os
    import signal

    assert say("stop", run.root).record["status"] == "stopped"
    assert signals == [(os.getpid(), signal.SIGTERM)]


# --- clean ---------------------------------------------------------------------------------------------


def test_cleaning_first_says_what_it_would_remove_and_removes_it_on_a_yes(tmp_path, monkeypatch, say):
    run, _ = new_run(tmp_path, monkeypatch, max_iterations=1)
    run_loop(run, SILENT)
    extra = files.write_text(run.phase("baseline").train / checkpoint_name(7, 80), "old")
    before = tree(run.workspace.root)
    dry = say("clean", run.root)
    assert dry.record["status"] == "would remove"
    assert dry.record["bytes"] >= 3
    assert tree(run.workspace.root) == before
    done = say("clean", run.root, "--yes")
    assert done.record == {**dry.record, "status": "removed"}
    assert not extra.exists()
    assert read(run.log)[-1]["stage"] == "clean"
    assert say("clean", run.root).record["checkpoints"] == 0
    assert files.Path(files.read_json(run.best_model)["checkpoint"]).is_file()


def test_cleaning_needs_the_runs_approval(tmp_path, monkeypatch, say):
    run, _ = new_run(tmp_path, monkeypatch, max_iterations=1)
    run_loop(run, SILENT)
    extra = files.write_text(run.phase("baseline").train / checkpoint_name(7, 80), "old")
    run.approval.unlink()
    assert say("clean", run.root, "--yes").code == 4
    assert extra.exists()
