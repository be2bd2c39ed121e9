"""Imports point down, stages never meet each other, and torch stays inside the functions that need it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "src" / "deft"

FILES = {"files", "file_batch", "parquet_bounds", "streams"}
BASE = FILES | {"errors", "schemas", "progress", "versions", "untrusted"}
DATA = BASE | {"workspace", "metrics"}
STAGES = DATA | {"platforms", "run", "embedding"}
LOOP = STAGES | {"stages", "guard"}
MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "guard": {"untrusted"},
    "untrusted": set(),
    "files": {"errors", "parquet_bounds", "csv_text", "strict_yaml"},
    "file_batch": {"files"},
    "strict_yaml": set(),
    "csv_text": set(),
    "parquet_bounds": {"errors"},
    "streams": {"files"},
    "schemas": {"errors", "files"},
    "progress": {"errors", "files"},
    "versions": {"errors", "files"},
    "metrics": BASE,
    "workspace": BASE,
    "embedding": DATA,
    "tools": DATA | {"embedding"},
    "platforms": DATA,
    "shards": DATA | {"embedding", "tools", "platforms"},
    "run": DATA | {"guard", "embedding"},
    "stages": STAGES,
    "loop": LOOP,
    "preflight": LOOP | {"tools"},
    "report": LOOP,
    "score": LOOP,
    "steps": LOOP | {"preflight", "report", "shards", "tools"},
    "runner": LOOP | {"loop", "report", "preflight"},
    "cli": LOOP | {"loop", "preflight", "report", "runner", "score", "shards", "steps", "tools"},
    "__main__": {"cli"},
}
HEAVY = {"torch", "transformers", "safetensors", "torchvision", "timm"}
HEAVY_ROOMS = ("embedding", "tools/visual_changenet", "encoder")


def violations(package: Path) -> list[str]:
    """Return one line an import that the house forbids."""
    found = []
    for path in sorted(package.rglob("*.py")):
        place = path.relative_to(package).with_suffix("").as_posix()
        for node, inside_function in imports(ast.parse(path.read_text(encoding="utf-8"))):
            for name in imported_names(node):
                reason = forbidden(place, name, inside_function)
                if reason:
                    found.append(f"{place}:{node.lineno} imports {name}: {reason}")
    return found


def imports(tree: ast.Module) -> Iterator[tuple[ast.Import | ast.ImportFrom, bool]]:
    """Yield every import that runs, with whether it stands inside a function."""
    pending: list[tuple[ast.AST, bool]] = [(tree, False)]
    while pending:
        node, inside = pending.pop()
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node, inside
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            pending.extend((child, inside) for child in node.orelse)
        else:
            deeper = inside or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            pending.extend((child, deeper) for child in ast.iter_child_nodes(node))


def imported_names(node: ast.Import | ast.ImportFrom) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if node.level:
        return ["a relative import"]
    if node.module in ("deft", "deft.stages"):
        return [f"{node.module}.{alias.name}" for alias in node.names]
    return [str(node.module)]


def forbidden(place: str, name: str, inside_function: bool) -> str:
    """Return why `place` may not import `name`, or nothing."""
    parts = name.split(".")
    if name == "a relative import":
        return "write the full name"
    if parts[0] in HEAVY:
        return forbidden_heavy(place, inside_function)
    if parts[0] != "deft" or len(parts) == 1 or parts[1].startswith("__"):
        return ""
    room, other = place.split("/")[0], parts[1]
    if room not in MAY_IMPORT and room != "__init__":
        return "no rule for this room: add it to MAY_IMPORT"
    if room == other == "stages" and place != "stages/base" and parts[2:3] != ["base"]:
        return "stages meet in the run folder"
    if other != room and other not in MAY_IMPORT.get(room, set()):
        return f"{room} may not know {other}"
    return ""


def forbidden_heavy(place: str, inside_function: bool) -> str:
    if not place.startswith(HEAVY_ROOMS):
        return "only embedding and tools/visual_changenet know torch"
    return "" if inside_function else "import it inside the function that needs it"


def test_imports_point_down() -> None:
    assert violations(PACKAGE) == []


def test_every_room_of_the_rules_exists() -> None:
    rooms = {path.relative_to(PACKAGE).with_suffix("").as_posix() for path in PACKAGE.iterdir()}
    assert set(MAY_IMPORT) <= rooms


@pytest.mark.parametrize(
    ("place", "line"),
    [
        ("files.py", "from deft.workspace.layout import Workspace"),
        ("metrics/kpi.py", "import deft.run.log"),
        ("guard/words.py", "from deft.errors import DeftError"),
        ("stages/rca.py", "from deft.stages.evaluate import Evaluate"),
        ("stages/rca.py", "from deft.stages import evaluate"),
        ("stages/rca.py", "from deft import loop"),
        ("platforms/embedded.py", "def start():\n    from deft.tools.gap_analysis import run"),
        ("run/log.py", "from . import state"),
        ("novelty/rows.py", "from deft.files import read_csv"),
        ("loop.py", "def train():\n    import torch"),
        ("embedding/encoders.py", "import torch"),
        ("embedding/encoders.py", "class Encoder:\n    from transformers import AutoModel"),
    ],
)
def test_a_forbidden_import_is_found(tmp_path: Path, place: str, line: str) -> None:
    planted = tmp_path / place
    planted.parent.mkdir(parents=True, exist_ok=True)
    planted.write_text(line, encoding="utf-8")
    assert len(violations(tmp_path)) == 1


@pytest.mark.parametrize(
    ("place", "line"),
    [
        ("stages/rca.py", "from deft.stages.base import Stage"),
        ("run/gate.py", "from deft.guard import approval"),
        ("embedding/encoders.py", "if TYPE_CHECKING:\n    import torch"),
        ("tools/visual_changenet/train.py", "def train():\n    import torch"),
    ],
)
def test_an_allowed_import_is_not_found(tmp_path: Path, place: str, line: str) -> None:
    planted = tmp_path / place
    planted.parent.mkdir(parents=True, exist_ok=True)
    planted.write_text(line, encoding="utf-8")
    assert violations(tmp_path) == []
