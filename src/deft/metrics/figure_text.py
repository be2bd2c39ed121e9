"""Write a measured figure for people, so that rounding never says another thing than the figure."""

from __future__ import annotations

from collections.abc import Callable

from deft.metrics.target import Target
from deft.metrics.target_grammar import RATIOS

NO_FIGURE = "none"
"""What is said of a model for which no threshold keeps the target's constraint."""


def percent_text(fraction: float, tells: Callable[[float], object] = bool) -> str:
    """Return a fraction in percent with three digits, or with as many more as `tells` needs to say the same.

    Only a rate of nothing reads 0 and only a rate of everything reads 100.
    """
    meant = tells(fraction), fraction == 1
    for digits in range(3, 17):
        text = f"{100 * fraction:.{digits}g}"
        rounded = float(text) / 100
        if (tells(rounded), rounded == 1) == meant:
            break
    return f"{text}%"


def figure_text(target: Target, value: float | None) -> str:
    """Return the target's figure: a rate in percent, a count or a cost as a number."""
    if value is None:
        return NO_FIGURE
    return percent_text(value, target.is_met_by) if target.goal.metric in RATIOS else f"{value:.10g}"


def stated(target: Target, value: float | None) -> str:
    """Return a target with the figure in place of its limit: `recall = 6.67% at FAR <= 1%`."""
    return f"{_goal(target)} = {figure_text(target, value)}{_condition(target)}"


def measure(target: Target) -> str:
    """Return what a target measures, without its limit: `recall at FAR <= 1%`."""
    return _goal(target) + _condition(target)


def far_recall(target: Target) -> float | None:
    """Return the recall at which a target limits FAR; None for any other kind of target."""
    kept = target.constraint
    if target.goal.metric != "far" or kept is None or (kept.metric, kept.operator) != ("recall", ">="):
        return None
    return kept.value


def _goal(target: Target) -> str:
    return Target(target.goal, None).normal_form().partition(f" {target.goal.operator} ")[0]


def _condition(target: Target) -> str:
    return "" if target.constraint is None else f" at {Target(target.constraint, None).normal_form()}"
