"""The verbs of one step: options become settings with their source; text for people, records for programs."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from deft import files
from deft.cli.main import main
from deft.run.gate import pending_for
from deft.workspace.layout import Workspace
from step_fixtures import make_experiment, run_deft, say_go, use_step_platform
from tiny_workspace import make_workspace


@pytest.fixture
def gaps_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Workspace, list[str]]:
    use_step_platform(monkeypatch)
    workspace, experiment = make_experiment(tmp_path)
    spec, images = str(workspace.baseline_spec), str(workspace.images)
    return workspace, ["analyze-gaps", str(experiment), "--train-config", spec, "--media-path", images]


def test_the_first_call_shows_the_plan_and_ends_with_4(gaps_call, capsys):
    workspace, words = gaps_call
    assert main(words) == 4
    printed = capsys.readouterr()
    assert "top_k_per_label = 50 (default)" in printed.err
    assert json.loads(printed.out)["error"]["hint"].startswith("let the user say go")
    assert pending_for(workspace)["kind"] == "analyze-gaps"


def test_at_a_terminal_the_plan_is_the_answer(gaps_call, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    _, words = gaps_call
    assert main(words) == 4
    assert "# analyze-gaps:" in capsys.readouterr().out


def test_the_command_in_the_plan_is_the_call_from_any_folder(gaps_call, capsys, monkeypatch, tmp_path):
    workspace, words = gaps_call
    monkeypatch.chdir(tmp_path)
    relative = [str(Path(word).relative_to(tmp_path)) if "/" in word else word for word in words]
    run_deft(capsys, *relative, "--min-recall", "0.9")
    plan = pending_for(workspace)
    say_go(workspace.root)
    monkeypatch.chdir("/")
    assert run_deft(capsys, *plan["command"].split()[1:])[0] == 0


def test_an_answer_fits_in_a_kilobyte_and_names_the_next_command(gaps_call, capsys):
    workspace, words = gaps_call
    run_deft(capsys, *words)
    say_go(workspace.root)
    code, record = run_deft(capsys, *words)
    assert (code, record["status"]) == (0, "done")
    assert record["next"].startswith("deft route ")
    assert len(json.dumps(record).encode()) <= 1024


def test_an_answer_is_lines_at_a_terminal(gaps_call, capsys, monkeypatch):
    workspace, words = gaps_call
    run_deft(capsys, *words)
    say_go(workspace.root)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert main(words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("weak components: ") for line in lines)
    assert lines[-1].startswith("next: deft route ")


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (("--threshold", "-1"), "--threshold"),
        (("--threshold", "nan"), "--threshold"),
        (("--threshold", "inf"), "--threshold"),
        (("--min-recall", "nan"), "--min-recall"),
        (("--min-recall", "2"), "--min-recall"),
        (("--top-k-per-label", "0"), "--top-k-per-label"),
    ],
)
def test_a_limit_out_of_range_is_a_usage_error(gaps_call, capsys, words, part):
    code, record = run_deft(capsys, *gaps_call[1], *words)
    assert code == 2
    assert part in record["error"]["fact"]


@pytest.mark.parametrize("verb", [("mine",), ("shard", "plan", "mining")])
@pytest.mark.parametrize("share", ["nan", "-0.1", "1.5"])
def test_a_share_that_is_none_is_a_usage_error_of_its_option(tmp_path, capsys, verb, share):
    words = (*verb, "targets.parquet", "pool.parquet", "--output-dir", tmp_path, "--synthetic-share", share)
    code, record = run_deft(capsys, *words)
    assert code == 2
    assert "--synthetic-share" in record["error"]["fact"]


def test_an_unknown_platform_is_refused_before_anything_is_planned(tmp_path, capsys):
    workspace = make_workspace(tmp_path / "workspace")
    words = ("train", workspace.baseline_spec, f"results_dir={tmp_path}", "--platform", "moon")
    assert run_deft(capsys, *words)[0] == 2
    assert pending_for(workspace) is None


def test_an_alias_of_a_platform_is_planned_under_its_own_name(gaps_call, capsys):
    workspace, words = gaps_call
    files.write_yaml(workspace.platform_settings, {"docker": {"shm_size": "16g"}})
    assert run_deft(capsys, *words, "--platform", "local-docker")[0] == 4
    plan = pending_for(workspace)
    assert (plan["platform"], plan["platform_settings"]) == ("docker", {"shm_size": "16g"})
    assert plan["command"].endswith("--platform docker")


def test_a_word_after_a_spec_must_change_a_key(tmp_path, capsys):
    workspace = make_workspace(tmp_path / "workspace")
    for word in ("+train.new=1", "train.num_epochs"):
        assert run_deft(capsys, "train", workspace.baseline_spec, word)[0] == 2


def test_a_mining_option_is_shown_with_the_user_as_its_source(tmp_path, capsys, monkeypatch):
    use_step_platform(monkeypatch)
    workspace = make_workspace(tmp_path / "workspace")
    rows = pd.DataFrame({"filepath": [str(path) for path in sorted(workspace.images.rglob("*.png"))]})
    table = files.write_parquet(tmp_path / "rows.parquet", rows)
    words = ("mine", table, table, "--output-dir", tmp_path / "out", "--top-k", 3, "--min-similarity", "p25")
    assert run_deft(capsys, *words)[0] == 4
    settings = pending_for(Workspace(tmp_path))["settings"]
    assert settings["top_k_per_target"] == {"value": 3, "source": "user"}
    assert settings["min_similarity"] == {"value": "p25", "source": "user"}
    assert settings["encoder"] == {"value": "SigLIP", "source": "default"}
