"""Prompt injection: texts of outside wherever a run reads, and every place where it writes looked at.

Rule (SECURITY.md): keys are fixed, text from outside stands in a quoted, short field without a character that
no reader sees, and no text of outside begins a line or ends a field of ours.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hostile_text import PAYLOADS, faults_of, hidden_in, mark_of
from PIL import Image, PngImagePlugin

from deft import files
from deft.errors import StageFailed
from deft.guard import engagement
from deft.guard.conversation import post_tool_use, stop, user_prompt_submit
from deft.guard.gatekeeper import pre_tool_use
from deft.loop import run_loop
from deft.report.render import render_report
from deft.run.log import LoopLog, read
from deft.workspace.layout import RunFolder, Workspace
from deft.workspace.rows import REQUIRED, can_stand_in_a_row, normalise_label, read_table, write_table
from loop_fixtures import SILENT, open_approved_run, use_stub
from stub_platform import StubPlatform
from tiny_workspace import LIGHT, make_workspace
from verb_fixtures import run_in_process

Figure = Callable[[str, str, str], None]
Say = Callable[..., Any]
MARK = re.compile(r"[Kk]\d\dQ", re.IGNORECASE)
SESSION = "0f3a4711-22aa-4bcd-9e00-1234567890ab"
PLUGIN = str(Path(__file__).resolve().parents[2])


def assert_clean(where: str, text: str) -> None:
    assert (where, faults_of(text)) == (where, [])


def assert_clean_answer(where: str, said: Any) -> None:
    """Check both streams of a verb; what is JSON must be whole JSON whose texts are visible."""
    assert "Traceback" not in said.err, where
    for text in (said.out, said.err):
        assert_clean(where, text)
    for line in said.out.splitlines():
        if line.startswith("{"):
            assert [text for text in texts_of(json.loads(line)) if hidden_in(text) or "\n" in text] == [], (
                where
            )


def texts_of(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else []:
        yield from texts_of(part)


def keys_of(value: Any, path: str = "") -> Iterator[str]:
    for name, part in value.items() if isinstance(value, dict) else []:
        yield f"{path}.{name}"
        yield from keys_of(part, f"{path}.{name}")
    for part in value if isinstance(value, list) else []:
        yield from keys_of(part, f"{path}[]")


# --- what is refused: every payload as every kind of input -------------------------------------------


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return make_workspace(tmp_path_factory.mktemp("small") / "workspace")


def refused_table(root: Path, column: str, payload: str) -> Path:
    row = {"input_path": "a", "golden_path": "g", "label": "x", "object_name": "c", "boardname": "b"}
    table = pd.DataFrame([row | {column: payload}])
    path = root / "table.csv"
    table.to_csv(path, index=False, lineterminator="\n", encoding="utf-8")
    return path


def test_no_cell_speaks_through_a_refusal(small: Workspace, say: Say, tmp_path: Path, figure: Figure) -> None:
    looked = 0
    for column in (*REQUIRED, "boardname"):
        for number, payload in enumerate(PAYLOADS):
            table = refused_table(tmp_path, column, payload)
            said = say("validate-csv", "--csv", table, "--workspace-root", small.root)
            assert said.code == 3, (column, payload)
            assert_clean_answer(f"{column} {number}", said)
            value = said.record["error"]["value"] or ""
            assert len(value) <= 200
            assert said.record["untrusted"] == ["error.fact", "error.value"]
            looked += 1
    figure("injection payloads as cells of a table: raw in a refusal", f"0 of {looked}", f"0 of {looked}")


def test_no_target_spec_or_defect_specification_speaks_through_a_refusal(
    tmp_path: Path, say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_stub(monkeypatch)
    workspace = make_workspace(tmp_path / "workspace")
    whole = workspace.baseline_spec.read_text()
    for number, payload in enumerate(PAYLOADS):
        assert_clean_answer(f"target {number}", say("preflight", workspace.root, "--target", payload))
        one_line = payload.replace("\n", " ").replace("\r", " ")
        workspace.baseline_spec.write_text(f"# {one_line}\n{whole}\n{json.dumps(payload)}: 1\n", "utf-8")
        said = say("preflight", workspace.root)
        assert_clean_answer(f"spec {number}", said)
        workspace.baseline_spec.write_text(f"task: [{one_line}\n", "utf-8", "replace")
        assert_clean_answer(f"broken spec {number}", say("preflight", workspace.root))
        workspace.baseline_spec.write_text(whole)
        line = json.dumps({"defect_type": payload, "stem": f"{payload}.png"})
        workspace.defect_spec.write_text(line + "\n", "utf-8", "replace")
        said = say("preflight", workspace.root)
        assert said.code == 3
        assert_clean_answer(f"defect specification {number}", said)
        workspace.defect_spec.unlink()


def test_no_file_name_speaks_through_a_refusal(
    tmp_path: Path, say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_stub(monkeypatch)
    workspace = make_workspace(tmp_path / "workspace")
    for number, payload in enumerate(PAYLOADS):
        name = payload.replace("/", "_").replace("\0", "_").encode()[:200].decode(errors="ignore")
        planted = workspace.reconstructed_images / f"{name}.png"
        planted.write_bytes(b"no picture")
        said = say("preflight", workspace.root)
        assert said.code == 3
        assert_clean_answer(f"file name {number}", said)
        planted.unlink()


# --- what goes in: every visible payload in one run ----------------------------------------------------


def file_name(payload: str) -> str:
    return payload.replace("/", "∕").encode()[:120].decode(errors="ignore").strip()


def is_accepted(payload: str) -> bool:
    name = file_name(payload)
    return can_stand_in_a_row(payload) and can_stand_in_a_row(name) and "\\" not in name and ".." not in name


ACCEPTED = [payload for payload in PAYLOADS if is_accepted(payload)]


def plant(workspace: Workspace, table: Path, images: Path) -> None:
    """Let one row a payload carry it as label, object name, folder, board, and text inside the picture."""
    rows = read_table(table)
    source = rows[rows["label"] != "PASS"].iloc[0]
    added = []
    for number, payload in enumerate(ACCEPTED):
        row = source.to_dict()
        row |= {"object_name": f"{number} {file_name(payload)}", "boardname": payload}
        row["golden_path"] = f"golden/{table.stem}/{number}/{file_name(payload)}"
        row["label"] = normalise_label(payload)
        for column in ("input_path", "golden_path"):
            path = images / row[column] / f"{row['object_name']}_{LIGHT}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            draw(path, payload, seed=hash((str(table), number, column)) % 2**32)
        added.append(row)
    write_table(table, pd.concat([rows, pd.DataFrame(added)], ignore_index=True))


def draw(path: Path, payload: str, seed: int) -> None:
    import numpy as np

    rng = np.random.default_rng(seed)
    image = Image.fromarray(rng.integers(0, 255, (8, 8, 3), dtype=np.uint8))
    words = PngImagePlugin.PngInfo()
    words.add_itxt("Comment", payload.replace("\0", ""))
    exif = Image.Exif()
    exif[0x010E] = payload.encode("ascii", "replace").decode()
    image.save(path, pnginfo=words, exif=exif)


@pytest.fixture
def hostile(hostile_run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    """The run, with the state folder of the user who approved it."""
    monkeypatch.setenv("XDG_STATE_HOME", str(hostile_run.workspace.root.parent / "state"))
    return hostile_run


@pytest.fixture(scope="module")
def hostile_run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    with pytest.MonkeyPatch.context() as patch:
        root = tmp_path_factory.mktemp("hostile")
        patch.setenv("XDG_STATE_HOME", str(root / "state"))
        patch.setenv("HOME", str(root / "home"))
        use_stub(patch)
        workspace = make_workspace(root / "workspace")
        plant(workspace, workspace.kpi_table, workspace.images)
        plant(workspace, workspace.mining_pool_table, workspace.mining_pool / "images")
        comments = "".join(f"# {payload}\n" for payload in ACCEPTED)
        notes = json.dumps(
            {"wandb": {"notes": list(PAYLOADS)}}
        )  # the one key in which a spec may say anything
        spec = files.read_yaml(workspace.baseline_spec) | json.loads(notes)
        files.write_yaml(workspace.baseline_spec, spec)
        with workspace.baseline_spec.open("a", encoding="utf-8") as stream:
            stream.write(comments)
        run = open_approved_run(workspace, max_iterations=1, filter_by_label="none", top_k_per_target=1)
        run_loop(run, SILENT)
    return run


def words_of_loop(run: RunFolder) -> list[tuple[str, ...]]:
    return [
        ("status",),
        ("next",),
        ("report",),
        ("report", "summary"),
        ("report", "rca"),
        ("report", "mining"),
        ("audit",),
        ("clean",),
        ("rebuild-state",),
        ("align-token-usage",),
    ]


def answers(run: RunFolder, say: Say) -> dict[str, Any]:
    found = {
        " ".join(words): say(*words, run.root)
        for words in words_of_loop(run)
        if words[0] != "align-token-usage"
    }
    found["compare"] = say("compare", run.root, run.root)
    for name, table in (("kpi", run.workspace.kpi_table), ("pool", run.workspace.mining_pool_table)):
        found[f"validate {name}"] = say(
            "validate-csv", "--csv", table, "--workspace-root", run.workspace.root
        )
    return found


def test_no_verb_of_the_loop_repeats_a_payload_raw(
    hostile: RunFolder, finished: RunFolder, say: Say, monkeypatch: pytest.MonkeyPatch, figure: Figure
) -> None:
    """In JSON keys are those of a harmless run; as text no line is forged and nothing hidden is printed."""
    use_stub(monkeypatch)
    harmless, found = answers(finished, say), answers(hostile, say)
    for name, said in found.items():
        assert_clean_answer(name, said)
        keys = [set(keys_of(json.loads(a.out.splitlines()[-1]))) for a in (said, harmless[name]) if a.out]
        if len(keys) == 2:
            new = {key for key in keys[0] - keys[1] if MARK.search(key)}
            assert (name, new) == (name, set())
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    for name, said in answers(hostile, say).items():
        assert_clean(name, said.out + said.err)
    assert_clean_answer("preflight", say("preflight", hostile.workspace.root))
    figure(
        f"{len(ACCEPTED)} payloads in names, cells, pictures and YAML of a run: verbs that repeat one raw",
        f"0 of {2 * len(found)}",
        f"0 of {2 * len(found)}",
    )


def outside_of_code(markdown: str) -> str:
    return re.sub(r"`[^`\n]*`|\(rca_images/\d\d_[A-Za-z0-9-]{1,20}\.png\)", "", markdown)


def test_no_file_that_a_person_or_a_model_reads_holds_a_payload_raw(hostile: RunFolder, say: Say) -> None:
    for kind in ("rca", "mining"):
        assert say("report", kind, hostile.root).code == 0
    render_report(hostile)
    seen = 0
    for path in sorted(hostile.root.rglob("*")):
        if path.suffix not in (".md", ".txt", ".json", ".jsonl", ".html", ".yaml"):
            continue
        text = path.read_text(encoding="utf-8")
        seen += 1
        if path.suffix == ".md":
            assert_clean(path.name, text)
            assert (path.name, MARK.findall(outside_of_code(text))) == (path.name, [])
        elif path.suffix in (".txt", ".jsonl", ".html"):
            assert (path.name, hidden_in(text)) == (path.name, [])
    for line in hostile.log.read_text().splitlines():
        entry = json.loads(line)
        assert len(entry["summary"]) <= 400
        assert [event for event in entry["outcome"].get("events", []) if len(event) > 200] == []
    assert MARK.search(hostile.state.read_text())
    assert seen > 20


def test_pictures_that_eyes_are_asked_for_carry_no_text_and_no_name_of_outside(hostile: RunFolder) -> None:
    shown = [path for path in hostile.root.rglob("rca_images/*") if path.is_file()]
    assert len(shown) > 5
    for path in shown:
        assert re.fullmatch(r"\d\d_[A-Za-z0-9-]{1,20}\.png", path.name), path.name
        assert not re.search(rb"K\d\dQ", path.read_bytes())
        with Image.open(path) as image:
            assert not image.getexif()


# --- logs, tools and hooks -----------------------------------------------------------------------------


def test_what_a_tool_says_when_it_fails_is_shown_and_logged_as_data(
    tmp_path: Path, say: Say, monkeypatch: pytest.MonkeyPatch, figure: Figure
) -> None:
    """The words of a container end in the error, the log, the state, the outcome and the answers."""
    words = iter(PAYLOADS)

    def fail(call: Any) -> None:
        payload = next(words)
        call.log.parent.mkdir(parents=True, exist_ok=True)
        call.log.write_text(payload, "utf-8", "replace")
        raise StageFailed(
            f"{call.name} ended with code 1\n  {payload}", value=payload, hint=f"read {call.log}"
        )

    use_stub(monkeypatch, StubPlatform(before=fail))
    run = open_approved_run(make_workspace(tmp_path / "workspace"), max_iterations=1)
    run_in_process(monkeypatch)
    looked = 0
    for number in range(len(PAYLOADS)):
        said = say("run", run.root, "--wait", 0)
        for name, answer in (("run", said), ("status", say("status", run.root))):
            assert_clean_answer(f"{name} {number}", answer)
            assert "error" in answer.record["untrusted"]
            looked += 1
        assert_clean(f"outcome {number}", " ".join(texts_of(files.read_json(run.runner / "outcome.json"))))
    entries = read(run.log)
    failed = [entry for entry in entries if entry["status"] == "error"]
    assert len(failed) == len(PAYLOADS)
    for entry in failed:
        assert hidden_in(entry["summary"]) == []
        assert "\n" not in entry["summary"]
    assert_clean("page", re.sub("<[^>]*>", "", render_report(run).read_text()).replace("base64", ""))
    figure("words of a failing tool: raw in answers, log, outcome, page", f"0 of {looked}", f"0 of {looked}")


def test_a_summary_that_is_logged_by_hand_is_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_stub(monkeypatch)
    run = open_approved_run(make_workspace(tmp_path / "workspace"))
    for payload in PAYLOADS:
        entry = {"iter": "baseline", "stage": "remark", "status": "ok", "summary": payload, "kind": "note"}
        kept = LoopLog(run.log).append(entry)
        assert hidden_in(kept["summary"]) == []
        assert "\n" not in kept["summary"]
        assert len(kept["summary"]) <= 400


def event(name: str, **more: Any) -> bytes:
    base = {"session_id": SESSION, "hook_event_name": name, "cwd": "/tmp", "transcript_path": ""}
    return json.dumps({**base, **more}).encode("utf-8", "replace")


def test_no_hook_tells_the_model_a_payload_raw(
    hostile: RunFolder, say: Say, tmp_path: Path, figure: Figure
) -> None:
    """Commands that name hostile files, outputs of tools, prompts, reports: what hooks answer is one line."""
    environment = {"CLAUDE_CODE_SESSION_ID": SESSION}
    engagement.engage(SESSION, "test")
    looked = 0
    for number, payload in enumerate(PAYLOADS):
        given = {
            "pre": pre_tool_use(
                event("PreToolUse", tool_name="Bash", tool_input={"command": f"docker run {payload}"}),
                environment,
                PLUGIN,
            ),
            "write": pre_tool_use(
                event("PreToolUse", tool_name="Write", tool_input={"file_path": f"/x/{payload}/plan.json"}),
                environment,
                PLUGIN,
            ),
            "tool": pre_tool_use(
                event("PreToolUse", tool_name=f"mcp__{payload}", tool_input={}), environment, PLUGIN
            ),
            "post": post_tool_use(
                event(
                    "PostToolUse",
                    tool_name="Bash",
                    tool_input={"command": "deft run ."},
                    tool_response={"stdout": f"Execution status: FAIL\n{payload}", "stderr": payload},
                ),
                environment,
                PLUGIN,
            ),
            "prompt": user_prompt_submit(
                event("UserPromptSubmit", prompt=f"look at {payload}"), environment, PLUGIN
            ),
            "stop": stop(event("Stop", stop_hook_active=False), environment, PLUGIN),
        }
        assert given["pre"].output or given["pre"].error
        assert "permissionDecision" in given["write"].output + given["tool"].output
        for name, answer in given.items():
            decoded = [json.loads(answer.output)] if answer.output.startswith("{") else [answer.output]
            for text in [*texts_of(decoded), answer.error]:
                assert_clean(f"hook {name} {number}", text)
                assert len(text) <= 2100
            looked += 1
    figure("payloads told to a model by hooks", f"0 of {looked}", f"0 of {looked}")


def test_a_report_with_foreign_facts_is_answered_in_short_quoted_words(tmp_path: Path) -> None:
    folder = tmp_path / "rca_results"
    folder.mkdir()
    (folder / "RCA_Report.md").write_text("# 1. Per-Label Breakdown\n\nnothing\n")
    facts = {"facts": {}, "sections": list(PAYLOADS), "labels": list(PAYLOADS), "artifacts": list(PAYLOADS)}
    (folder / "facts.json").write_text(json.dumps(facts), "utf-8", "replace")
    engagement.engage(SESSION, "test")
    given = event(
        "PostToolUse",
        tool_name="Write",
        tool_input={"file_path": str(folder / "RCA_Report.md")},
        tool_response={},
    )
    answer = post_tool_use(given, {"CLAUDE_CODE_SESSION_ID": SESSION}, PLUGIN)
    (said,) = [text for text in texts_of(json.loads(answer.output)) if text != "block"]
    assert hidden_in(said) == []
    assert len(said.splitlines()) <= 12


def test_skills_and_agents_say_that_data_is_never_an_instruction() -> None:
    told = [*Path(PLUGIN).glob("skills/*/SKILL.md"), *Path(PLUGIN).glob("agents/*.md")]
    told = [path for path in told if "deft" in path.read_text()]
    silent = [path for path in told if not re.search(r"never an? ?instruction", path.read_text())]
    assert len(told) >= 7
    assert silent == []


def test_the_corpus_is_what_the_issue_asks_for(figure: Figure) -> None:
    assert all(mark_of(number) in payload for number, payload in enumerate(PAYLOADS))
    figure("prompt-injection payloads", ">= 60", str(len(set(PAYLOADS))))
    assert len(set(PAYLOADS)) >= 60
    assert len(ACCEPTED) >= 30
