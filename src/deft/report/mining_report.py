"""`Mining_Report.md`: seven sections filled from the artifacts of one search; two wait for prose."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from markupsafe import Markup

from deft import files
from deft.embedding.sets import FILEPATH
from deft.errors import InputRefused
from deft.report.facts_record import Report
from deft.report.markdown import rendered
from deft.report.mining_evidence import (
    KNN,
    MINED,
    NEIGHBOURS,
    Search,
    facts_of,
    is_search,
    per_label,
    rows_of,
)
from deft.stages.data_mining import POOL_EMBEDDINGS, TARGET_EMBEDDINGS

NAME = "Mining_Report.md"
SECTIONS = (
    "Verdict",
    "Inputs",
    "Encoder Consistency",
    "Mining Run",
    "Per-Label Breakdown",
    "Output Sanity",
    "Recommended Actions",
)
ARTIFACTS = (
    TARGET_EMBEDDINGS,
    POOL_EMBEDDINGS,
    MINED,
    NEIGHBOURS,
    KNN,
    "mining_summary.txt",
    "embedding_spec.yaml",
    "mining_spec.yaml",
)
SETTINGS = (
    "encoder",
    "encoder_path",
    "top_k_per_target",
    "knn_metric",
    "filter_by_label",
    "min_similarity",
    "synthetic_share",
    "mining",
)
ASKS = {
    "verdict": "40 to 100 words: are these rows what the weak samples need, are there enough to retrain on, "
    "is anything suspicious?",
    "recommended-actions": "40 to 120 words: two to four actions tied to figures: retrain, widen or narrow "
    "the search, collect rows for a label, look at a pair of pictures",
}
SMALL_YIELD = 0.1
PAIRS_AN_END = 3
Record = dict[str, Any]


def mining_report(folder: Path) -> Report:
    """Return the report on a search, of a loop or alone; raises InputRefused for a folder without one."""
    if not is_search(folder):
        raise InputRefused("folder holds no mining results", value=folder, hint="deft mine --help")
    search = Search.of(folder)
    facts, labels = facts_of(search), per_label(search)
    signals = _signals(facts, labels)
    text = rendered(
        "mining_report.md",
        facts=facts,
        origin=_origin(search),
        encoder=list(_encoder_rows(search)),
        settings=list(_settings(search)),
        fates=_fates(search),
        labels=labels,
        uncovered=", ".join(row["label"] for row in labels if row["targets"] and not row["pool"]),
        checks=_checks(search),
        pairs=list(_pairs_to_look_at(search)),
        signals=[{"signal": Markup(s), "count": n, "action": Markup(ACTIONS[s])} for s, n in signals.items()],
    )
    artifacts = [name for name in ARTIFACTS if (folder / name).is_file()]
    names = [row["label"] for row in labels]
    return Report(NAME, text, facts, SECTIONS, names, artifacts, ASKS, signals)


# --- the report ------------------------------------------------------------------------------


def _origin(search: Search) -> Record:
    if search.run is not None:
        root, name = search.run.root, f"{search.run.root.name}, {search.folder.parent.name}"
    else:
        root = search.folder.parent.parent
        name = root.name
    return {"name": name, "folder": search.folder.relative_to(root).as_posix()}


def _encoder_rows(search: Search) -> Iterator[Record]:
    """Yield the fields of both fingerprints side by side."""
    sides = [side.fingerprint or {} if side is not None else {} for side in (search.targets, search.pool)]
    for name in sorted({*sides[0], *sides[1]} - {"width"}):
        yield {"name": name, "targets": sides[0].get(name), "pool": sides[1].get(name)}


def _settings(search: Search) -> Iterator[Record]:
    for name in SETTINGS:
        setting = search.plan.get("settings", {}).get(name)
        if setting is not None:
            shown = "off" if setting["value"] is None else str(setting["value"])
            yield {"name": Markup(name.replace("_", " ")), "value": f"{shown} ({setting['source']})"}


def _fates(search: Search) -> list[Record]:
    if search.neighbours is None or search.neighbours.empty:
        return []
    counts = Counter(str(reason) for reason in search.neighbours["reason"] if reason)
    return [{"reason": reason, "count": count} for reason, count in sorted(counts.items())]


def _checks(search: Search) -> list[Record]:
    """Return what must hold of every result, checked here and now."""
    kept, pool = search.kept, rows_of(search.pool)
    known = set(pool[FILEPATH])
    checks = {
        "every mined row stands once": len(set(kept)) == len(kept),
        "every mined row is a row of the pool": set(kept) <= known,
        "every mined image is there": all(Path(path).is_file() for path in kept),
        "no target is among the mined rows": not set(kept) & set(rows_of(search.targets)[FILEPATH]),
        "candidates are kept plus rejected": _adds_up(search.folder),
        "something was mined": bool(kept),
    }
    return [{"name": Markup(name), "passed": passed} for name, passed in checks.items()]


def _pairs_to_look_at(search: Search) -> Iterator[Record]:
    """Yield the nearest and the furthest pairs that were kept: where a wrong encoder shows first."""
    if search.neighbours is None:
        return
    kept = search.neighbours[search.neighbours["kept"]].sort_values("similarity", ascending=False)
    ends = kept.index.isin([*kept.index[:PAIRS_AN_END], *kept.index[-PAIRS_AN_END:]])
    for row in kept[ends].to_dict("records"):
        sides = {side: _short(row[f"{side}_filepath"]) for side in ("target", "source")}
        yield {**sides, "similarity": row["similarity"]}


def _short(path: object) -> str:
    return "/".join(Path(str(path)).parts[-2:])


def _adds_up(folder: Path) -> bool:
    path = folder / KNN
    if not path.is_file():
        return True
    row = files.read_csv(path).iloc[0]
    return int(row["candidate_count"]) == int(row["kept_count"]) + int(row["rejected_count"])


def _signals(facts: Record, labels: list[Record]) -> dict[str, int]:
    """Return what the figures call for, with how often."""
    few = facts["kept"] < SMALL_YIELD * facts["targets"]
    halved = facts["kept_before"] is not None and facts["kept"] < facts["kept_before"] / 2
    missing = sum(row["targets"] > 0 and row["pool"] == 0 for row in labels)
    counts = {
        "weak labels without a row in the pool": missing,
        "rows kept, fewer than a tenth of the targets": facts["kept"] if few else 0,
        "rows kept, fewer than half of the iteration before": facts["kept"] if halved else 0,
        "kept pairs across PASS and defect": facts["cross_class"] or 0,
        "new rows to retrain on": facts["kept"],
    }
    return {signal: count for signal, count in counts.items() if count > 0}


ACTIONS = {
    "weak labels without a row in the pool": "collect or generate examples of these labels",
    "rows kept, fewer than a tenth of the targets": "lower the cut, or set it relative to the pool (p25)",
    "rows kept, fewer than half of the iteration before": "add fresh production samples to the pool",
    "kept pairs across PASS and defect": "look at a few of these pairs: hard examples or wrong labels",
    "new rows to retrain on": "go on: merge them and retrain",
}
