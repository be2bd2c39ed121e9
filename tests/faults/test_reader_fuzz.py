"""Every reader of files, given spoilt files: an error of a known family or an answer, never a crash.

Each kind of file is read in a process of its own, whose address space may grow by 512 MiB and no more.
"""

from __future__ import annotations

import contextlib
import io
import json
import resource
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mutations
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deft import files
from deft.cli.answers import answer
from deft.embedding.sets import FINGERPRINT_KEY, REFERENCE_KEY, EmbeddingSet, PoolReference, read_arrow
from deft.errors import DeftError
from deft.loop import run_loop
from deft.metrics.kpi_files import analyze
from deft.preflight.inspect import inspect_workspace
from deft.progress import read_progress
from deft.run.audit import audit_run
from deft.run.evaluation import read_scores
from deft.run.gate import require_approval
from deft.run.lock import holder
from deft.run.log import LoopLog, scan
from deft.run.state import read_plan, rebuild
from deft.run.tokens import read_messages
from deft.runner import outcome_of
from deft.tools.gap_analysis import read_image_naming, read_inference
from deft.tools.grammar import compose
from deft.workspace.checkpoints import recorded_losses
from deft.workspace.images import read_pixels
from deft.workspace.layout import RunFolder
from deft.workspace.pixels import read_picture
from deft.workspace.rows import read_table
from deft.workspace.training_spec import TrainingSettings, read_baseline_spec, training_spec
from loop_children import child
from loop_fixtures import SILENT, new_run

ALLOWED_BYTES = 512 * 2**20
EXAMPLES, MANY = 60, 5_000
AUDIT = 6  # takes so many times as long as most readers
Read = Callable[[Path], object]


@dataclass(frozen=True)
class Reader:
    """Something that reads: its name, the valid file that is spoilt in place, how it reads, what it costs."""

    name: str
    path: Path
    read: Read
    cost: int = 1


def schema() -> type:
    from deft.tools.visual_changenet.schema import ExperimentConfig

    return ExperimentConfig


def csv_readers(run: RunFolder) -> list[Reader]:
    workspace, scores = run.workspace, run.phase("baseline").inference / "best_val" / "inference.csv"
    return [
        Reader("rows", workspace.kpi_table, read_table),
        Reader("any table", workspace.training_table, files.read_csv),
        Reader("scores", scores, read_scores),
        Reader("scores of a container", scores, read_inference),
        Reader("KPI analysis", scores, lambda path: analyze(path, run.root / "analysis")),
        Reader("pre-flight", workspace.mining_pool_table, lambda path: inspect_workspace(workspace)),
    ]


def yaml_readers(run: RunFolder) -> list[Reader]:
    workspace, plan = run.workspace, files.read_json(run.plan)

    def derive(path: Path) -> object:
        return training_spec(read_baseline_spec(workspace), workspace, TrainingSettings.from_plan(plan))

    return [
        Reader("any spec", workspace.baseline_spec, files.read_yaml),
        Reader("baseline spec", workspace.baseline_spec, derive),
        Reader("tool's spec", workspace.baseline_spec, lambda path: compose(schema(), path, [])),
        Reader("names of images", workspace.baseline_spec, read_image_naming),
        Reader("pre-flight", workspace.baseline_spec, lambda path: inspect_workspace(workspace)),
    ]


def line_readers(run: RunFolder) -> list[Reader]:
    note = {"iter": "iter1", "stage": "remark", "status": "ok", "summary": "more", "kind": "note"}
    status = run.phase("baseline").train / "status.json"
    transcript = files.write_text(run.root / "claude_session.jsonl", TRANSCRIPT)
    return [
        Reader("log", run.log, scan),
        Reader("append", run.log, lambda path: LoopLog(path).append(note)),
        Reader("answer", run.log, lambda path: answer(run)),
        Reader("losses", status, lambda path: recorded_losses(path.parent)),
        Reader("tokens", transcript, lambda path: list(read_messages([path]))),
    ]


TRANSCRIPT = "".join(
    json.dumps(
        {
            "type": "assistant",
            "timestamp": f"2026-01-02T03:04:0{number}.000Z",
            "requestId": f"r{number}",
            "message": {"id": f"m{number}", "usage": {"input_tokens": 3, "output_tokens": 4}},
        }
    )
    + "\n"
    for number in range(5)
)


def parquet_readers(run: RunFolder) -> list[Reader]:
    mining = run.phase("iter1").mining_filter
    gaps = next(run.phase("baseline").rca_results.glob("*/kpi_gaps.parquet"))
    return [
        Reader("embedding set", mining / "target_embeddings.parquet", EmbeddingSet.read),
        Reader("gaps", gaps, files.read_parquet),
        Reader(
            "neighbours", mining / "neighbours.parquet", lambda path: read_arrow(path, required=("rank",))
        ),
    ]


def record_readers(run: RunFolder) -> list[Reader]:
    plan = files.read_json(run.plan)
    rca = next(run.phase("baseline").rca_results.glob("*/spot_check.json"))
    outcome = files.write_json(run.runner / "outcome.json", {"status": "stopped", "reason": "asked to stop"})
    held = {"pid": 1, "starttime": 2, "boot_id": "b", "since": "2026-01-02T03:04:05.000000Z"}
    holding = files.write_json(run.runner / "holder.json", held)
    return [
        Reader("answer", run.plan, lambda path: answer(run)),
        Reader("rebuilt state", run.plan, lambda path: rebuild(run)),
        Reader("approval of a plan", run.plan, lambda path: require_approval(run, read_plan(run))),
        Reader("approval", run.approval, lambda path: require_approval(run, plan)),
        Reader("audit", run.phase("iter1").merge_validation, lambda path: audit_run(run), AUDIT),
        Reader("audit of a state", run.state, lambda path: audit_run(run), AUDIT),
        Reader(
            "audit of a manifest", run.phase("baseline").train / "manifest.json", lambda path: audit_run(run)
        ),
        Reader("audit of a spot check", rca, lambda path: audit_run(run), AUDIT),
        Reader("statistics of a pool", files.write_json(run.root / "pool.json", POOL), read_reference),
        Reader("progress", files.write_json(run.runner / "progress.json", PROGRESS), read_progress),
        Reader("last word", outcome, lambda path: (outcome_of(run), answer(run))),
        Reader("holder", holding, lambda path: holder(run)),
    ]


PROGRESS = {"task": "train", "done": 3, "total": 10, "unit": "step", "seconds_left": 7}
POOL = {"means": [[0.5, 0.25], [1.0]], "deviations": [[1.0, 2.0], [3.0]], "calibration": ["a.png", "b.png"]}


def read_reference(path: Path) -> PoolReference:
    """Read a record as the metadata of a pool's embedding table."""
    metadata = {FINGERPRINT_KEY: b"{}", REFERENCE_KEY: path.read_bytes()}
    table = path.with_suffix(".parquet")
    pq.write_table(pa.schema([]).with_metadata(metadata).empty_table(), table)
    return PoolReference.read(table)


def image_readers(run: RunFolder) -> list[Reader]:
    png = next((run.workspace.images / "kpi").rglob("*.png"))
    from PIL import Image

    for suffix in ("jpg", "bmp", "tif"):
        Image.open(png).save(run.root / f"picture.{suffix}")
    pictures = [png, *sorted(run.root.glob("picture.*"))]
    ways: dict[str, Read] = {
        "pixels": lambda path: read_pixels([path], width=8, height=8),
        "content": lambda path: read_picture(str(path)),
    }
    return [
        Reader(f"{name} of {path.suffix}", path, read) for path in pictures for name, read in ways.items()
    ]


KINDS: dict[str, tuple[Callable[[RunFolder], list[Reader]], Callable[[Path], st.SearchStrategy[Any]]]] = {
    "CSV": (csv_readers, lambda place: mutations.BYTES),
    "YAML": (
        yaml_readers,
        lambda place: st.one_of(mutations.BYTES, mutations.YAML_RECORDS, mutations.YAML_TRICKS),
    ),
    "JSONL": (line_readers, lambda place: st.one_of(mutations.BYTES, mutations.JSON_LINES)),
    "Parquet": (parquet_readers, lambda place: st.one_of(mutations.BYTES, mutations.tables(place))),
    "JSON": (record_readers, lambda place: st.one_of(mutations.BYTES, mutations.JSON_RECORDS)),
    "images": (image_readers, lambda place: mutations.BYTES),
}


def fuzz(kind: str, root: str, examples: int, found: str) -> None:
    """Spoil and read in a process of its own; leave what was done, what crashed and what memory it took."""
    readers_of, spoilers_for = KINDS[kind]
    readers = readers_of(RunFolder(Path(root)))
    for reader in readers:
        quietly(reader.read, reader.path)  # everything is imported and every cache is warm: the idle process
    idle = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    limit = virtual_bytes() + ALLOWED_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    crashes: dict[str, str] = {}
    done = {"read": 0, "refused": 0}
    for reader in readers:
        crash = spoil_and_read(reader, spoilers_for(Path(root) / "spoilt"), examples // reader.cost, done)
        if crash:
            crashes[reader.name] = crash
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    record = {"crashes": crashes, "mebibytes": (peak - idle) // 1024, "readers": len(readers), **done}
    Path(found).write_text(json.dumps(record))


def virtual_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def quietly(read: Read, path: Path) -> None:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        read(path)


def spoil_and_read(
    reader: Reader, spoilers: st.SearchStrategy[Any], examples: int, done: dict[str, int]
) -> str | None:
    """Read a file again and again, each time spoilt otherwise; return the trace of what nobody foresaw."""
    valid = reader.path.read_bytes()

    @settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(spoilers)
    def check(spoil: Callable[[bytes], bytes]) -> None:
        reader.path.write_bytes(spoil(valid))
        try:
            quietly(reader.read, reader.path)
            done["read"] += 1
        except DeftError:
            done["refused"] += 1

    try:
        check()
    except Exception:  # noqa: BLE001 - whatever it is, it is what is looked for
        return traceback.format_exc()[-3000:]
    finally:
        reader.path.write_bytes(valid)
    return None


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> RunFolder:
    """A finished run of one iteration, at the place that it was approved for."""
    made, _ = new_run(tmp_path, monkeypatch, max_iterations=1)
    run_loop(made, SILENT)
    capsys.readouterr()
    return made


def fuzz_in_child(kind: str, run: RunFolder, examples: int) -> dict[str, Any]:
    found = run.root.parent / "found.json"
    process = child(fuzz, kind, str(run.root), examples, str(found))
    process.join()
    assert process.exitcode == 0
    record: dict[str, Any] = json.loads(found.read_text())
    return record


@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", KINDS)
def test_no_reader_meets_a_spoilt_file_that_it_does_not_name(kind, run, figure):
    record = fuzz_in_child(kind, run, EXAMPLES)
    assert record["crashes"] == {}, "\n".join(record["crashes"].values())
    assert record["mebibytes"] <= ALLOWED_BYTES // 2**20
    figure(
        f"fuzz of the readers of {kind}",
        "no uncaught exception, <= 512 MiB above idle",
        f"{record['readers']} readers, {record['refused']:,} refused, {record['read']:,} read, "
        f"{record['mebibytes']} MiB",
    )


@pytest.mark.long
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("kind", KINDS)
def test_no_reader_meets_one_of_many_spoilt_files_that_it_does_not_name(kind, run):
    record = fuzz_in_child(kind, run, MANY)
    assert record["crashes"] == {}, "\n".join(record["crashes"].values())


def test_a_reader_that_fails_in_its_own_way_is_found(run):
    careless = Reader("careless", run.state, lambda path: json.loads(path.read_text())["status"])
    crash = spoil_and_read(careless, mutations.BYTES, EXAMPLES, {"read": 0, "refused": 0})
    assert crash is not None
    assert "JSONDecodeError" in crash or "UnicodeDecodeError" in crash


def test_spoilt_tables_are_tables_of_other_types(tmp_path):
    path = tmp_path / "table.parquet"
    pd.DataFrame({"a": ["x", "y"]}).to_parquet(path)
    spoilt = mutations._retype(path, 0, "infinite lists", 1)(path.read_bytes())
    path.write_bytes(spoilt)
    assert [len(row) for row in pd.read_parquet(path)["a"]] == [2]
