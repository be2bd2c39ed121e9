"""Write a measured figure for people, so that rounding never says another thing than the figure."""

from __future__ import annotations

from collections.abc import Callable


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
