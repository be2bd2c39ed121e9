"""Which arithmetic trains faster here: 32 bits, or bfloat16 where the processor multiplies it natively.

Pre-flight asks in a child process (`python -m deft.tools.visual_changenet.precision --threads 2`) and writes
the answer into the plan; training itself never probes, because the answer changes the bytes of a checkpoint.
"""

from __future__ import annotations

import argparse
import os
import time
from typing import Any

from deft.embedding.pair_network import PairNetworkSettings, build_pair_network, pair_logits
from deft.errors import UsageError
from deft.tools.output import say

PRECISIONS = ("32-true", "bf16-mixed")
PROBE_BATCH = 96
PROBE_STEPS = 3
WORTHWHILE = 0.9


def require_precision(precision: str) -> str:
    """Return a precision this engine trains in; `auto` has to be resolved before, by `probe_precision`."""
    if precision not in PRECISIONS:
        raise UsageError(
            f"train.precision must be {' or '.join(PRECISIONS)}",
            value=precision,
            hint="python -m deft.tools.visual_changenet.precision measures which is faster here",
        )
    return precision


def set_threads(threads: int) -> int:
    """Let torch use that many threads, 0 meaning every core this process may run on; return the number."""
    import torch

    if threads < 0:
        raise UsageError("train.embedded.threads must be 0 (all cores) or more", value=threads)
    count = threads or len(os.sched_getaffinity(0))
    torch.set_num_threads(count)
    return count


def probe_precision(threads: int, seconds: float = 1.0) -> str:
    """Time three training steps in each precision, for about `seconds` in all, and return the faster one."""
    set_threads(threads)
    exact, mixed = (_step_seconds(precision, seconds / 2) for precision in PRECISIONS)
    return PRECISIONS[1] if mixed < WORTHWHILE * exact else PRECISIONS[0]


def _step_seconds(precision: str, budget: float) -> float:
    """Return the fastest step's seconds; the first step only warms up, unless the budget ends there."""
    step = _training_step(precision)
    started = time.monotonic()
    fastest = float("inf")
    for number in range(1 + PROBE_STEPS):
        before = time.monotonic()
        step()
        now = time.monotonic()
        if number or now - started > budget:
            fastest = min(fastest, now - before)
        if now - started > budget:
            break
    return fastest


def _training_step(precision: str) -> Any:
    import torch

    settings = PairNetworkSettings()
    with torch.random.fork_rng(devices=[]):
        network = build_pair_network(settings)
        images = torch.rand(2, PROBE_BATCH, 1, 3, settings.image_height, settings.image_width)

    def step() -> None:
        pair_logits(network, images[0], images[1], precision=precision).sum().backward()

    return step


def main() -> None:
    """Print the faster precision."""
    parser = argparse.ArgumentParser(description="Print the precision that trains faster on this machine.")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=1.0)
    options = parser.parse_args()
    say(probe_precision(options.threads, options.seconds))


if __name__ == "__main__":
    main()
