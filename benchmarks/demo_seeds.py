"""Does the demo's loop gain, whatever the seed? `python -m benchmarks demo_seeds`

Seeds 11 to 15: no test uses them. The candidate of the last iteration is compared with the baseline.
"""

from __future__ import annotations

import shutil
import statistics
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.runs import phases, private_state, run_all, run_loop_on

SEEDS = (11, 12, 13, 14, 15)
OUTPUT = Path("build/benchmarks/demo_seeds.jsonl")
HEAD = (
    "seed",
    "FAR@100",
    "FAR@99.5",
    "FAR@99",
    "mean FAR 98–100",
    "AUROC",
    "weakest types, recall at 1 % FAR",
)


def one_seed(seed: int) -> list[dict[str, Any]]:
    """Draw, run three iterations, and return the figures of each phase."""
    from deft.workspace.demo import draw_workspace

    private_state()
    folder = Path(tempfile.mkdtemp(prefix="deft-demo-"))
    draw_workspace(folder / "workspace", seed=seed)
    state = run_loop_on(folder / "workspace", {"seed": seed, "top_k_per_target": 2})
    shutil.rmtree(folder)
    return [{"seed": seed, "phases": phases(state), "stop_reason": state["stop_reason"]}]


def table(results: list[dict[str, Any]]) -> str:
    """Return the Markdown table: baseline and last candidate per seed, and the medians."""
    lines = [
        "| " + " | ".join(HEAD) + " |",
        "|---|---|---|---|---|---|---|",
    ]
    ratios = []
    for result in results:
        first, last = (list(result["phases"].values())[i] for i in (0, -1))
        weakest = sorted(first["kpi"]["recall_by_type"], key=first["kpi"]["recall_by_type"].__getitem__)[:2]
        ratios.append(last["kpi"]["far_at_99_5"] / max(first["kpi"]["far_at_99_5"], 1e-9))
        cells = [
            f"{100 * first['kpi'][name]:.2f} → {100 * last['kpi'][name]:.2f} %"
            for name in ("far_at_100", "far_at_99_5", "far_at_99", "mean_far_98_100")
        ]
        cells.append(f"{first['kpi']['auroc']:.4f} → {last['kpi']['auroc']:.4f}")
        cells.append(", ".join(_gain(name, first, last) for name in weakest))
        lines.append(f"| {result['seed']} | " + " | ".join(cells) + " |")
    spread = f"{min(ratios):.3f} to {max(ratios):.3f}"
    return "\n".join(
        [*lines, "", f"FAR@99.5, last / baseline: median {statistics.median(ratios):.3f} ({spread})."]
    )


def _gain(name: str, first: dict[str, Any], last: dict[str, Any]) -> str:
    before, after = (each["kpi"]["recall_by_type"][name] for each in (first, last))
    return f"{name} {before:.2f} → {after:.2f}"


def main() -> None:
    """Run all seeds and print the table."""
    OUTPUT.unlink(missing_ok=True)
    print(table(run_all(one_seed, SEEDS, OUTPUT)))


if __name__ == "__main__":
    main()
