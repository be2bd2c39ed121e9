"""Remember what pure functions returned: thousands of children of one warm process do the same stage again.

Each of these reads nothing but its arguments, or a file whose bytes are part of the key, and changes nothing;
the pictures of the workspace do not change while runs of it are broken.
"""

from __future__ import annotations

import importlib
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

Key = Callable[..., object]


def _by_arguments(*arguments: Any, **options: Any) -> object:
    return pickle.dumps((arguments, sorted(options.items())))


def _by_statistics(points: Any, statistics: Any, **options: Any) -> object:
    return pickle.dumps((points, sorted(statistics), sorted(options.items())))


def _by_content(path: Path, **options: Any) -> object:
    return path.read_bytes() if path.is_file() else None, repr(options)


PURE: tuple[tuple[str, str, Key], ...] = (
    ("deft.files", "parse_yaml", lambda text, origin="text": text),
    ("deft.workspace.rows", "read_table", _by_content),
    ("deft.workspace.leakage", "find_overlaps", _by_arguments),
    ("deft.workspace.pixels", "read_picture", _by_arguments),
    ("deft.metrics.confidence", "bootstrap_intervals", _by_statistics),
    ("deft.metrics.confidence", "recall_intervals", _by_statistics),
)


def remember_pure_functions() -> None:
    """Put a memory before each of `PURE`, wherever the package has imported it by name."""
    for module, name, key in PURE:
        function = getattr(importlib.import_module(module), name)
        remembering = _remembering(function, key)
        for loaded in [found for where, found in sys.modules.items() if where.startswith(("deft", "stub_"))]:
            for attribute, value in list(vars(loaded).items()):
                if value is function:
                    setattr(loaded, attribute, remembering)


def _remembering(function: Callable[..., Any], key: Key) -> Callable[..., Any]:
    memory: dict[object, bytes] = {}

    def remembered(*arguments: Any, **options: Any) -> Any:
        known = key(*arguments, **options)
        if known not in memory:
            memory[known] = pickle.dumps(function(*arguments, **options))
        return pickle.loads(memory[known])  # noqa: S301 - written two lines above

    return remembered
