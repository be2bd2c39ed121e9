"""`python -m benchmarks [NAME ...]`: measure what README and RESULTS.md say; without a name, list them."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

HERE = Path(__file__).parent
NOT_A_BENCHMARK = {"__init__", "__main__", "runs", "timing"}


def main(names: list[str]) -> None:
    """Run the named benchmarks, or print what each of them answers."""
    known = sorted(path.stem for path in HERE.glob("*.py") if path.stem not in NOT_A_BENCHMARK)
    for name in names or known:
        module = importlib.import_module(f"benchmarks.{name}")
        if names:
            print(f"\n## {name}\n")
            sys.argv = [name]  # a benchmark with options of its own takes its defaults here
            module.main()
        else:
            print(f"{name:20}{(module.__doc__ or '').splitlines()[0]}")


if __name__ == "__main__":
    main(sys.argv[1:])
