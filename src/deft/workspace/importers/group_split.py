"""Share groups of rows (boards) among splits: none stands on two sides, and every side has both classes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from deft.errors import InputRefused

DEFECT, GOOD = "defect", "good"


def split_by_group(
    groups: Sequence[str], is_defect: Sequence[bool], shares: Mapping[str, float], seed: int
) -> list[str]:
    """Return the split of every row; rows of one group stay together.

    `shares` are fractions of the rows by split and sum to one. Groups are dealt in random order, those with
    defects first, each to the split that lacks most of what it brings. A split that ends without good or
    without defective rows is refused, with the counts.
    """
    brings: dict[str, Counter[str]] = {}
    for group, defective in zip(groups, is_defect, strict=True):
        brings.setdefault(group, Counter())[DEFECT if defective else GOOD] += 1
    wanted = {name: share for name, share in shares.items() if share > 0}
    dealt = _deal(brings, wanted, seed)
    _require_both_classes(brings, dealt, wanted)
    return [dealt[group] for group in groups]


def _deal(brings: Mapping[str, Counter[str]], shares: Mapping[str, float], seed: int) -> dict[str, str]:
    names = sorted(brings)
    shuffled = [names[i] for i in np.random.default_rng(seed).permutation(len(names))]
    totals = sum(brings.values(), Counter())
    wanted = {name: {kind: share * totals[kind] for kind in (DEFECT, GOOD)} for name, share in shares.items()}
    has: dict[str, Counter[str]] = {name: Counter() for name in shares}
    dealt: dict[str, str] = {}
    for group in sorted(shuffled, key=lambda name: brings[name][DEFECT] == 0):
        kind = DEFECT if brings[group][DEFECT] else GOOD
        poorest = min(shares, key=lambda name: has[name][kind] / max(wanted[name][kind], 1e-9))
        dealt[group] = poorest
        has[poorest] += brings[group]
    return dealt


def _require_both_classes(
    brings: Mapping[str, Counter[str]], dealt: Mapping[str, str], splits: Mapping[str, float]
) -> None:
    has: dict[str, Counter[str]] = {name: Counter() for name in splits}
    for group, split in dealt.items():
        has[split] += brings[group]
    lacking = [
        f"{name} has {count[GOOD]} good and {count[DEFECT]} defective rows"
        for name, count in has.items()
        if not (count[GOOD] and count[DEFECT])
    ]
    if lacking:
        rows = sum(sum(count.values()) for count in has.values())
        raise InputRefused(
            "rows do not suffice for every split to hold good and defective ones",
            value=f"{'; '.join(lacking)} (of {rows} rows on {len(dealt)} boards)",
            hint="every split needs a board with good and one with defective rows: add boards, or set the "
            "share of holdout to 0",
        )
