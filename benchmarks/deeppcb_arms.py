"""Does mining beat random rows and no rows on real boards? `python -m benchmarks deeppcb_arms`

`../shared/data/deeppcb`, realistic imaging, split by board group: KPI 77000, held out 50600, the rest
train, validation and pool by board. Two pools (balanced; 3 % defects), three arms with equal steps,
five seeds. All arms of a seed start from one baseline checkpoint.
"""

from __future__ import annotations

import shutil
import statistics
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.runs import FIGURES, phases, private_state, run_all, run_loop_on

SEEDS = (21, 22, 23, 24, 25)
POOLS = {"balanced": None, "3 % defects": 0.03}
ARMS = ("targets", "random", "none")
ITERATIONS = 1
SOURCE = Path("../shared/data/deeppcb")
OUTPUT = Path("build/benchmarks/deeppcb_arms.jsonl")


def one_seed(seed: int) -> list[dict[str, Any]]:
    """Import both pools, train one baseline, and run the three arms on each pool."""
    private_state()
    folder = Path(tempfile.mkdtemp(prefix="deft-arms-"))
    workspaces = {
        name: _import(folder / f"workspace{i}", seed, share) for i, (name, share) in enumerate(POOLS.items())
    }
    results, baseline = [], None
    for pool, workspace in workspaces.items():
        for arm in ARMS:
            given = {"seed": seed, "mining": arm, "top_k_per_target": 2, "max_iterations": ITERATIONS}
            state = run_loop_on(workspace, given, baseline=baseline)
            found = Path(state["iterations"]["baseline"]["best_ckpt_path"])
            baseline = baseline or Path(shutil.copy(found, folder / "baseline.pth"))
            results.append({"seed": seed, "pool": pool, "arm": arm, "phases": phases(state)})
    shutil.rmtree(folder)
    return results


def _import(workspace: Path, seed: int, share: float | None) -> Path:
    from deft.workspace.importers.deeppcb import import_deeppcb

    import_deeppcb(SOURCE, workspace, realistic=True, seed=seed, pool_defect_share=share)
    return workspace


def table(results: list[dict[str, Any]]) -> str:
    """Return one Markdown row a pool, set and arm: the mean over seeds with the range."""
    head = ("pool", "set", "arm", "AUROC", "FAR@99.5", "FAR@99", "mean FAR 98–100", "FAR@100")
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for pool in POOLS:
        for side in ("kpi", "holdout"):
            rows = [result for result in results if result["pool"] == pool]
            lines.append(
                _row(pool, side, "baseline", [result for result in rows if result["arm"] == ARMS[0]], 0)
            )
            for arm in ARMS:
                lines.append(_row(pool, side, arm, [result for result in rows if result["arm"] == arm], -1))
    return "\n".join(lines)


def _row(pool: str, side: str, arm: str, results: list[dict[str, Any]], phase: int) -> str:
    found = [list(result["phases"].values())[phase][side] for result in results]
    order = ("auroc", "far_at_99_5", "far_at_99", "mean_far_98_100", "far_at_100")
    cells = [_spread(name, [each[name] for each in found]) for name in order]
    name = {"kpi": "KPI", "holdout": "held out"}[side]
    return f"| {pool} | {name} | {arm} | " + " | ".join(cells) + " |"


def _spread(name: str, values: list[float]) -> str:
    assert name in FIGURES
    if name == "auroc":
        return f"{statistics.mean(values):.4f} ({min(values):.4f}–{max(values):.4f})"
    low, mean, high = (100 * value for value in (min(values), statistics.mean(values), max(values)))
    return f"{mean:.2f} % ({low:.2f}–{high:.2f})"


def main() -> None:
    """Run all seeds and print the table."""
    OUTPUT.unlink(missing_ok=True)
    print(table(run_all(one_seed, SEEDS, OUTPUT)))


if __name__ == "__main__":
    main()
