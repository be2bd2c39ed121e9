"""The threshold sweep against the original's algorithm: every distinct score tried on every row.

    python -m benchmarks sweep

The peer is written out in `original`, from contracts of the container's command: a Python loop over all rows
for each candidate threshold. Both must choose the same point. Then ten million rows, in a process of its own.
"""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np

from benchmarks.timing import in_turn, peak_mebibytes, print_times, seconds_of

ROWS, MANY = 20_000, 10_000_000
Point = tuple[float, float, float]


def scored(rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw scores, all distinct, and defects that score higher by one and a half deviations."""
    draw = np.random.default_rng(0)
    defects = draw.random(rows) < 0.1
    return draw.normal(size=rows) + 1.5 * defects, defects


def original(scores: list[float], labels: list[str], min_recall: float) -> Point:
    """Return (f1, precision, threshold) as the container's sweep does: O(rows x distinct scores)."""
    truth = [label.strip().upper() != "PASS" for label in labels]
    distinct = sorted(set(scores))
    best: Point | None = None
    for threshold in [math.nextafter(distinct[0], -math.inf), *distinct]:
        tp = fp = fn = 0
        for score, defect in zip(scores, truth, strict=True):
            if score > threshold:
                tp, fp = (tp + 1, fp) if defect else (tp, fp + 1)
            elif defect:
                fn += 1
        precision = tp / (tp + fp) if tp + fp else 0.0
        recall = tp / (tp + fn) if tp + fn else 0.0
        f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
        if recall >= min_recall - 1e-12:
            best = max(best or (-1.0, -1.0, -1.0), (f1, precision, threshold))
    assert best is not None
    return best


def ours(scores: np.ndarray, defects: np.ndarray) -> Point:
    """Return the same point by one sort."""
    from deft.metrics.operating_points import operating_point, sweep

    point = operating_point(sweep(scores, defects), 1.0)
    return point.f1, point.precision, point.threshold


def main() -> None:
    """Measure 20,000 rows against the original, and ten million alone."""
    if sys.argv[1:] == ["many"]:
        scores, defects = scored(MANY)
        times = [seconds_of(lambda: ours(scores, defects)) for _ in range(3)]
        print(f"{MANY:,} rows: {min(times):.1f} to {max(times):.1f} s, peak {peak_mebibytes()} MiB")
        return
    scores, defects = scored(ROWS)
    values, labels = scores.tolist(), ["NO_PASS" if defect else "PASS" for defect in defects]
    found: list[Point] = []
    works = {
        "deft": lambda: found.append(ours(scores, defects)),
        "original": lambda: found.append(original(values, labels, 1.0)),
    }
    print_times(in_turn(works, 3), "deft")
    assert len(set(found)) == 1, "both choose one point, to the last bit"
    print(flush=True)
    subprocess.run([sys.executable, "-m", "benchmarks.sweep", "many"], check=True)


if __name__ == "__main__":
    main()
