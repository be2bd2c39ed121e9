"""The original's proven faults in tables, embeddings, mining, hooks and doorways, each by its row."""

from __future__ import annotations

import ast
import json
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from deft import files
from deft.embedding.sets import EmbeddingSet
from deft.guard import engagement
from deft.guard.gatekeeper import pre_tool_use
from deft.guard.reports import problems_of
from deft.platforms.embedded import EmbeddedPlatform
from deft.tools.image_embeddings import ImageEmbeddingsConfig, run
from deft.workspace.layout import RunFolder
from deft.workspace.rows import read_table, write_table
from tiny_models import draw_images, save_pair_checkpoint
from tiny_workspace import LIGHT, make_workspace

Say = Callable[..., Any]
NAMED = re.compile(r"(?:scripts|hooks|bin|skills|references)/[\w./-]+\.(?:py|md)")
REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("disguise", ["prefix", "label case", "board name", "absolute", "link", "copy"])
def test_b10_the_original_compared_paths_as_they_were_spelled(
    tmp_path: Path, say: Say, disguise: str
) -> None:
    """The same image in training and validation was "ok", overlap 0, under each of these."""
    workspace = make_workspace(tmp_path / "workspace")
    images = workspace.images
    row = read_table(workspace.validation_table).iloc[[0]].copy()
    folder = row["input_path"].iloc[0]
    held_out = workspace.root / "train/base/held_out.csv"
    write_table(held_out, row)
    if disguise == "prefix":
        row["input_path"] = f"./{folder}"
    elif disguise == "label case":
        row["label"] = "Bridge"
    elif disguise == "board name":
        row["boardname"] = ""
    elif disguise == "absolute":
        row["input_path"] = str(images / folder)
    elif disguise == "link":
        (images / "link").symlink_to(images / folder)
        row["input_path"] = "link"
    else:
        shutil.copytree(images / folder, images / "copy")
        row["input_path"] = "copy"
    write_table(workspace.training_table, row)
    words = ("--csv", workspace.training_table, "--workspace-root", workspace.root)
    said = say("validate-csv", *words, "--validation-csv", held_out, "--light", LIGHT, "--image-ext", ".png")
    assert (said.code, "stand on two sides" in said.err) == (3, True)


def test_b22_every_script_that_a_document_names_is_there() -> None:
    """The original's commands lacked `applications/`: no such folder."""
    named = {
        (document, name)
        for pattern in ("skills/**/*.md", "references/*.md", "agents/*.md", "*.md")
        for document in REPOSITORY.glob(pattern)
        for name in re.findall(
            r"(?:scripts|hooks|bin|skills|references)/[\w./-]+\.(?:py|md)", document.read_text()
        )
    }
    lost = [
        (document.name, name)
        for document, name in named
        if not (REPOSITORY / name).is_file() and not (document.parent / name).is_file()
    ]
    lost = [found for found in lost if not found[1].endswith("NAME.py")]  # stands for any name
    assert len(named) > 20
    assert lost == []


def test_b23_an_unknown_platform_is_one_line_and_no_traceback(say: Say) -> None:
    said = say("list-tao-platforms", "--platform", "banana")
    assert said.code == 2
    assert len(said.err.splitlines()) == 1
    assert "Traceback" not in said.err
    missing = say("list-tao-platforms", "--skill-bank", "/nowhere/at/all")
    assert (missing.code, "Traceback" in missing.err) == (0, False)


def test_b24_the_original_multiplied_rows_of_one_path(tmp_path: Path) -> None:
    """A left merge on a path that is not unique made 10 rows out of 4."""
    paths = draw_images(tmp_path / "images", 2)
    table = pd.DataFrame({"filepath": [paths[0], paths[0], paths[0], paths[1]], "label": list("abcd")})
    table = table.assign(golden_filepath=paths[1])
    table.to_parquet(tmp_path / "in.parquet", index=False)
    model = {"model": "deft_pair", "model_path": str(save_pair_checkpoint(tmp_path / "model.pth"))}
    out = tmp_path / "out.parquet"
    run(ImageEmbeddingsConfig(input_parquet=str(tmp_path / "in.parquet"), output_parquet=str(out), **model))
    assert EmbeddingSet.read(out).table["label"].tolist() == list("abcd")


def test_b25_the_similarity_that_cut_each_mined_row_is_recorded(finished: RunFolder) -> None:
    """The original's mined.parquet held paths alone: its documented cut at 0.9 raised IndexError."""
    for phase in ("iter1", "iter2"):
        folder = finished.phase(phase).mining_filter
        neighbours, mined = (
            files.read_parquet(folder / f"{name}.parquet") for name in ("neighbours", "mined")
        )
        kept = neighbours[neighbours["kept"]]
        assert kept["similarity"].between(-1.0001, 1.0001).all()
        assert set(kept["source_filepath"]) == set(mined["filepath"])
        cut = files.read_csv(folder / "knn_summary.csv")["similarity_threshold"].iloc[0]
        assert cut == "" or (kept["similarity"] >= float(cut)).all()


def test_b27_a_correct_analysis_lacks_nothing(finished: RunFolder, tmp_path: Path, say: Say) -> None:
    """The original's hook asked for gaps.parquet and metrics.json, which its own container never wrote."""
    shutil.copytree(finished.workspace.root, tmp_path / "copied")
    (folder,) = (tmp_path / "copied/results" / finished.root.name / "baseline/rca_results").iterdir()
    from deft.report.facts_record import publish
    from deft.report.rca_report import rca_report

    publish(folder, rca_report(folder))
    problems = problems_of(str(folder / "RCA_Report.md"))
    assert [problem for problem in problems if "artifact" in problem] == []
    assert all(problem.startswith("to write") for problem in problems)


def imported_packages() -> set[str]:
    names = set()
    for path in (REPOSITORY / "src/deft").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                names.add(node.module.partition(".")[0])
    return names - set(sys.stdlib_module_names) - {"deft"}


def test_b28_the_packages_that_are_asked_for_are_those_that_are_imported(tmp_path: Path) -> None:
    """The original asked for three and needed five more, one of the three not at all."""
    text = (REPOSITORY / "pyproject.toml").read_text().lower()
    sdk = {"kubernetes": "nvidia-tao-sdk", "urllib3": "nvidia-tao-sdk"}
    carried = {"fsspec": "torch"}  # imported by the program that runs inside an image, which brings its own
    brought = {"markupsafe": "jinja2", "huggingface_hub": "transformers", **sdk, **carried}
    spelled = {"yaml": "pyyaml", "pil": "pillow", "faiss": "faiss-cpu", **brought}
    wanted = {spelled.get(name.lower(), name.lower()) for name in imported_packages()}
    assert [name for name in wanted if not re.search(rf'"{name}(?:\[\w+\])?\s*[=<>~!"]', text)] == []
    asked = {check.name for check in EmbeddedPlatform().checks(tmp_path)}
    assert {"package torch", "package transformers", "package safetensors"} <= asked


BYPASSES = (
    "bash -lc 'docker run image'",
    "env bash -c 'docker run image'",
    "python3 -c 'import os; os.system(\"docker run image\")'",
    'sh -c "pip install x"',
    "eval docker run image",
    "xargs docker run < list",
)
HARMLESS = ("grep http notes.txt", "cat pull-request.md", "ls docker", "git log --grep pull", "head run.log")


def decided(command: str) -> str:
    """Return what the gate says of a command in a guarded session: nothing where it may run."""
    engagement.engage("s-1", "test")
    call = {"session_id": "s-1", "tool_name": "Bash", "tool_input": {"command": command}, "cwd": "/tmp"}
    raw = json.dumps({**call, "hook_event_name": "PreToolUse"}).encode()
    return pre_tool_use(raw, {"CLAUDE_CODE_SESSION_ID": "s-1"}, str(REPOSITORY)).output


@pytest.mark.parametrize("command", BYPASSES)
def test_h8_the_original_s_word_list_was_passed_by_a_shell_in_a_shell(command: str) -> None:
    assert '"deny"' in decided(command)


@pytest.mark.parametrize("command", HARMLESS)
def test_h8_the_original_s_word_list_stopped_whatever_named_http_or_pull(command: str) -> None:
    assert decided(command) == ""


def test_h10_the_original_wrote_pool_paths_that_only_its_own_folder_knew(finished: RunFolder) -> None:
    """`b/U1_SolderLight.jpg` was opened from wherever the embedder stood."""
    pool = files.read_parquet(finished.synth_pool.source_parquet)
    for column in ("filepath", "golden_filepath"):
        assert all(Path(path).is_absolute() and Path(path).is_file() for path in pool[column])
