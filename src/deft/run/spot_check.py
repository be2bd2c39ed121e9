"""The visual spot check: ten weak samples, one verdict each, by whoever can look at pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from deft import files
from deft.errors import StateConflict, UsageError
from deft.run.log import LoopLog
from deft.run.state import append_and_fold
from deft.run.transitions import completed
from deft.workspace.layout import RunFolder

VERDICTS = ("mislabeled", "edge case", "data quality", "systematic")
SAMPLES, ANSWERS = "spot_check.json", "verdicts.json"
Record = dict[str, Any]


def rca_folder(run: RunFolder, entries: Sequence[Record]) -> Path | None:
    """Return the folder of the last completed analysis, or None before the first."""
    for entry in reversed(entries):
        if entry["stage"] == "rca" and entry["status"] == "ok" and entry["kind"] == "stage":
            return run.root / str(entry["outcome"]["folder"])
    return None


def awaits_eyes(run: RunFolder, plan: Record, entries: Sequence[Record]) -> bool:
    """Say whether the last thing done is an analysis whose samples nobody has judged yet."""
    done = completed(entries)
    if not done or done[-1][1] != "rca" or not plan["settings"]["spot_check"]["value"]:
        return False
    return rca_folder(run, entries) is not None and not _judged(entries)


def _judged(entries: Sequence[Record]) -> bool:
    """Say whether a spot check follows the last analysis in the log; verdicts without a line do not count."""
    for entry in reversed(entries):
        if entry["stage"] in ("rca", "spot_check") and entry["status"] == "ok":
            return bool(entry["stage"] == "spot_check")
    return False


def samples(folder: Path) -> list[Record]:
    """Return the samples that wait for a verdict."""
    found: list[Record] = files.read_json(folder / SAMPLES)["samples"]
    return found


def parse_verdicts(answers: Sequence[str], count: int) -> dict[int, str]:
    """Read answers such as `3=edge case`; each sample needs exactly one of the four verdicts."""
    given: dict[int, str] = {}
    for answer in answers:
        number, separator, verdict = answer.partition("=")
        name = verdict.strip().replace("_", " ").replace("-", " ").lower()
        if not separator or not number.strip().isdigit() or name not in VERDICTS:
            raise UsageError(
                "verdict is not NUMBER=VERDICT", value=answer[:80], hint=f"verdicts: {', '.join(VERDICTS)}"
            )
        given[int(number)] = name
    missing = sorted(set(range(1, count + 1)) - set(given))
    if missing or max(given, default=0) > count:
        raise UsageError(f"spot check needs one verdict for each of {count} samples", value=sorted(given))
    return given


def record_verdicts(run: RunFolder, plan: Record, log: LoopLog, answers: Sequence[str]) -> Record:
    """Record the verdicts of the waiting spot check; `mislabeled` becomes a proposed correction.

    A verdict never changes a label by itself. Raises StateConflict where nothing waits.
    """
    folder = rca_folder(run, log.read())
    if folder is None or not awaits_eyes(run, plan, log.read()):
        raise StateConflict("no spot check is waiting", value=run.root.name, hint="deft next")
    record = _judged_samples(folder, answers)
    _write(run, plan, log, folder, record, f"{len(record['samples'])} samples judged")
    return record


def record_alone(folder: Path, answers: Sequence[str]) -> Record:
    """Record the verdicts on an analysis that no run contains, beside its samples."""
    record = _judged_samples(folder, answers)
    files.write_json(folder / ANSWERS, record)
    return record


def _judged_samples(folder: Path, answers: Sequence[str]) -> Record:
    waiting = samples(folder)
    given = parse_verdicts(answers, len(waiting))
    judged = [{**sample, "verdict": given[sample["number"]]} for sample in waiting]
    corrections = [
        {"component_id": sample["component_id"], "label": sample["label"]}
        for sample in judged
        if sample["verdict"] == "mislabeled"
    ]
    return {"looked": True, "samples": judged, "proposed_corrections": corrections}


def record_nobody_looked(run: RunFolder, plan: Record, log: LoopLog) -> None:
    """Record that a run without eyes passed the spot check unseen."""
    folder = rca_folder(run, log.read())
    assert folder is not None
    record = {"looked": False, "samples": samples(folder), "proposed_corrections": []}
    _write(run, plan, log, folder, record, "nobody looked at the weak samples")


def _write(run: RunFolder, plan: Record, log: LoopLog, folder: Path, record: Record, summary: str) -> None:
    path = files.write_json(folder / ANSWERS, record)
    relative = path.relative_to(run.root).as_posix()
    evidence = {"path": relative, "sha256": files.sha256_of_file(path), "size": path.stat().st_size}
    entry = {
        "iter": completed(log.read())[-1][0],
        "stage": "spot_check",
        "status": "ok",
        "summary": summary,
        "kind": "note",
        "evidence": [evidence],
        "outcome": {"looked": record["looked"]},
    }
    append_and_fold(run, plan, log, entry)
