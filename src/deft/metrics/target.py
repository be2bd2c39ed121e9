"""The KPI target: what the figure is, how it is measured on a scored table, and what could prove it.

A target has a goal and, where one figure alone could always be met, a constraint: `FAR < 0.1%` is asked at
full recall unless another recall is named, and a recall needs a limit on something else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import numpy as np

from deft.errors import Corruption, UsageError
from deft.metrics.confidence import far_bound, missed_bound, rows_to_prove
from deft.metrics.operating_points import (
    RECALL_TOLERANCE,
    Floats,
    OperatingPoint,
    Sweep,
    require_both_classes,
)
from deft.metrics.target_grammar import LOWER_IS_BETTER, RATIOS, Clause, read_clauses, refuse

DOUBTFUL = 0.01  # a line that may reject one good part in a hundred seldom asks for more
NO_MISSED_DEFECT = Clause("recall", ">=", 1.0)


@dataclass(frozen=True)
class Target:
    """A goal, measured at the best threshold that keeps the constraint; `text` is what the user wrote."""

    goal: Clause
    constraint: Clause | None
    text: str = field(default="", compare=False)

    def normal_form(self) -> str:
        """Return the one spelling of this target; it parses to the same target."""
        if self.constraint is None:
            return _spelled(self.goal)
        return f"{_spelled(self.goal)} at {_spelled(self.constraint)}"

    def to_record(self) -> dict[str, Any]:
        """Return the target as a record for a plan; `from_record` reads it back."""
        return {
            "text": self.text,
            "normal_form": self.normal_form(),
            "metric": self.goal.metric,
            "operator": self.goal.operator,
            "value": self.goal.value,
            "constraint": None
            if self.constraint is None
            else {
                "metric": self.constraint.metric,
                "operator": self.constraint.operator,
                "value": self.constraint.value,
            },
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Target:
        """Return the target of a plan's record; raises Corruption when its parts contradict each other."""
        try:
            parsed = parse_target(str(record["normal_form"]))
        except (KeyError, UsageError):
            raise Corruption("the record of the target has no normal form", value=dict(record)) from None
        target = cls(parsed.goal, parsed.constraint, str(record.get("text", "")))
        if any(record.get(name, value) != value for name, value in target.to_record().items()):
            raise Corruption("the record of the target contradicts itself", value=record["normal_form"])
        return target

    @property
    def recall_floor(self) -> float:
        """The recall that a threshold has to keep: the one asked for, else 1 (no missed defect)."""
        floors = [clause.value for clause in self.clauses if clause.metric == "recall"]
        return floors[0] if floors else 1.0

    @property
    def clauses(self) -> tuple[Clause, ...]:
        return (self.goal,) if self.constraint is None else (self.goal, self.constraint)

    def value(self, points: Sweep) -> float | None:
        """Measure the goal at the best threshold that keeps the constraint; None where none keeps it.

        Ratios are fractions, escapes a count, cost a sum over the table. Needs both classes.
        """
        values = _column(self.goal, points)[self._kept(points)]
        if len(values) == 0:
            return None
        return float(values.min() if self.goal.metric in LOWER_IS_BETTER else values.max())

    def point(self, points: Sweep) -> OperatingPoint | None:
        """Return the point at which `value` is measured: of equal ones that which misses fewest defects."""
        kept = np.flatnonzero(self._kept(points))
        if len(kept) == 0:
            return None
        values = _column(self.goal, points)[kept]
        worse = values if self.goal.metric in LOWER_IS_BETTER else -values
        best = np.lexsort((-points.thresholds[kept], -points.recall[kept], worse))[0]
        return points.point(int(kept[best]))

    def _kept(self, points: Sweep) -> np.ndarray[Any, np.dtype[np.bool_]]:
        require_both_classes(points)
        if self.constraint is None:
            return np.ones(len(points.thresholds), dtype=np.bool_)
        return _holds(self.constraint, _column(self.constraint, points))

    def is_met_by(self, value: float | None) -> bool:
        """Say whether a measured value meets the goal; None (the constraint cannot be kept) never does."""
        return value is not None and bool(_holds(self.goal, np.array([value]))[0])

    def badness(self, value: float | None) -> float:
        """Return what sorts models by the goal, better first; infinite for None."""
        if value is None:
            return float("inf")
        return value if self.goal.metric in LOWER_IS_BETTER else -value


def parse_target(text: str) -> Target:
    """Read a target as people write it; raises UsageError with three examples when it does not parse."""
    goal, constraint = read_clauses(text)
    if constraint is None and goal.metric in ("recall", "escapes"):
        raise refuse(f"{goal.metric} alone is met by calling every row a defect; name a limit for FAR", text)
    if constraint is None and goal.metric in ("far", "precision"):
        constraint = NO_MISSED_DEFECT
    return Target(goal, constraint, text.strip())


def _column(clause: Clause, points: Sweep) -> Floats:
    """Return a clause's figure at every candidate threshold."""
    match clause.metric:
        case "far":
            return points.far
        case "recall":
            return points.recall
        case "precision":
            return points.precision
        case "f1":
            return points.f1
        case "escapes":
            return points.fn.astype(np.float64)
    return (clause.escape_cost or 0.0) * points.fn + (clause.false_alarm_cost or 0.0) * points.fp


def _holds(clause: Clause, values: Floats) -> np.ndarray[Any, np.dtype[np.bool_]]:
    match clause.operator:
        case "<":
            return values < clause.value
        case "<=":
            return values <= clause.value + RECALL_TOLERANCE
        case ">":
            return values > clause.value
    return values >= clause.value - RECALL_TOLERANCE


def _spelled(clause: Clause) -> str:
    name = {"far": "FAR", "f1": "F1"}.get(clause.metric, clause.metric)
    if clause.metric in RATIOS:
        return f"{name} {clause.operator} {_percent(clause.value)}%"
    if clause.metric == "cost":
        name = f"cost(escape={_plain(clause.escape_cost)}, false_alarm={_plain(clause.false_alarm_cost)})"
    return f"{name} {clause.operator} {_plain(clause.value)}"


def _percent(fraction: float) -> str:
    return _plain(Decimal(repr(fraction)) * 100)


def _plain(number: Decimal | float | None) -> str:
    text = format(number if isinstance(number, Decimal) else Decimal(repr(number or 0.0)), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


# --- what a table of this size can prove -----------------------------------------------------


def rows_needed(target: Target) -> tuple[int | None, int | None]:
    """Return how many PASS and defect rows, without one error, would prove the target at 95 % confidence.

    None where the target sets no limit for that class, or one of zero, which no number of rows proves.
    """
    far, miss_rate = _limits(target)
    return (rows_to_prove(far) if far else None, rows_to_prove(miss_rate) if miss_rate else None)


def _limits(target: Target) -> tuple[float | None, float | None]:
    """Return the highest FAR and the highest miss rate that the target allows; None where it names none."""
    far = next((clause.value for clause in target.clauses if clause.metric == "far"), None)
    recall = next((clause.value for clause in target.clauses if clause.metric == "recall"), None)
    return far, None if recall is None else float(1 - Decimal(repr(recall)))


def sample_size_advice(target: Target, pass_rows: int, defect_rows: int) -> list[str]:
    """Say in sentences what a KPI set of this size can prove about the target, before anything runs."""
    far, miss_rate = _limits(target)
    advice = [] if far is None else _far_advice(target, far, pass_rows)
    return _spelling_advice(target) + advice + _miss_advice(miss_rate, defect_rows)


def _spelling_advice(target: Target) -> list[str]:
    """Say how a rate was read that a percent sign would have made a hundred times smaller."""
    return [
        f"{clause.value:g} without a percent sign is a fraction, so this asks for {_spaced(clause)}; "
        f"if per cent was meant, write {clause.value:g}%."
        for clause in target.clauses
        if clause.metric == "far" and clause.is_bare and clause.value >= DOUBTFUL
    ]


def _far_advice(target: Target, far: float, rows: int) -> list[str]:
    claim = next(_spaced(clause) for clause in target.clauses if clause.metric == "far")
    if far == 0 or rows == 0:
        return (
            [f"{rows:,} PASS rows can never prove {claim}: no number of rows does."] if rows else [_NO_PASS]
        )
    needed = rows_to_prove(far)
    if rows >= needed:
        allowed = _alarms_allowed(far, rows)
        alarms = f"at most {allowed:,} of them raise" if allowed else "none of them raises"
        return [f"{rows:,} PASS rows can prove {claim} only while {alarms} a false alarm."]
    advice = (
        f"{rows:,} PASS rows can never prove {claim}: about {_about(needed)} with no false alarm are needed."
    )
    one = f"One false alarm in {rows:,} PASS rows is already {_short(1 / rows)} %."
    return [advice, one] if 1 / rows >= far else [advice]


_NO_PASS = "The KPI set has no PASS rows: it says nothing about false alarms."


def _alarms_allowed(far: float, rows: int) -> int:
    """Return the largest number of false alarms whose bound still lies below the limit, by bisection."""
    low, high = 0, int(far * rows) + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if far_bound(middle, rows) < far else (low, middle)
    return low


def _miss_advice(miss_rate: float | None, rows: int) -> list[str]:
    if rows == 0:
        return ["The KPI set has no defect rows: it says nothing about missed defects."]
    bound = f"{rows:,} defects bound the miss rate at {_short(missed_bound(0, rows))} %, if none is missed"
    if miss_rate and rows < rows_to_prove(miss_rate):
        needed = _about(rows_to_prove(miss_rate))
        return [f"{bound}: about {needed} are needed to prove {_short(miss_rate)} %."]
    return [f"{bound}."]


def _spaced(clause: Clause) -> str:
    return _spelled(clause).replace("%", " %")


def _about(rows: int) -> str:
    """Round to two digits, as one says it: 2,995 are about 3,000."""
    return f"{round(rows, 2 - len(str(rows))):,}"


def _short(fraction: float) -> str:
    return f"{100 * fraction:.2g}"
