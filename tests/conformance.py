"""Run one recorded case of a container's command, and know which differences are deliberate."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from deft.tools.__main__ import main

REPOSITORY = Path(__file__).resolve().parents[1]
DIFFERENCES = REPOSITORY / "references" / "tao-differences.yaml"
FIXTURES = REPOSITORY.parent / "shared" / "fixtures" / "tao"
MORE_FILES = {"metrics.json": "metrics-json-written", "unreachable_kpi.txt": "unreachable-kpi-written"}


def difference(name: str) -> dict[str, str]:
    """Return the record of a deliberate difference; an unknown id fails the test that names it."""
    records = {record["id"]: record for record in yaml.safe_load(DIFFERENCES.read_text(encoding="utf-8"))}
    return records[name]


def case_names(kind: str) -> Sequence[Any]:
    """Return the names of the recorded cases; without them, one parameter that is skipped by name."""
    folder = FIXTURES / kind
    if not folder.is_dir():
        return [pytest.param("", marks=pytest.mark.skip(reason="../shared/fixtures/tao is absent"))]
    return sorted(path.name for path in folder.iterdir())


@dataclass(frozen=True)
class Ended:
    """How a case ended here, and how it ended where it was recorded."""

    recorded: Path
    expected: dict[str, Any]
    code: int
    text: str
    out: Path

    @property
    def expected_folder(self) -> Path:
        """Return the recorded files; pandas 3 reads some cells otherwise, and those have their own."""
        newer = self.recorded / "expected_pandas3"
        return newer if newer.is_dir() and pd.__version__ >= "3" else self.recorded / "expected"

    def files(self) -> set[str]:
        """Return the names of the files written, without those that are a deliberate difference."""
        written = {path.name for path in self.out.glob("*")}
        for name in written & set(MORE_FILES):
            difference(MORE_FILES[name])
        return written - set(MORE_FILES)

    def tables(self, name: str) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Return a table as it was recorded and as it was written here."""
        return pd.read_parquet(self.expected_folder / name), pd.read_parquet(self.out / name)


def run_case(
    kind: str, name: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Ended:
    """Run a recorded case in `folder`, in this process."""
    recorded = FIXTURES / kind / name
    shutil.copytree(recorded / "input", folder / "input")
    monkeypatch.chdir(folder)
    call = json.loads((recorded / "args.json").read_text(encoding="utf-8"))
    expected = json.loads((recorded / "expected.json").read_text(encoding="utf-8"))
    code = main([*call["command"].split(), *call["argv"]])
    return Ended(recorded, expected, code, capsys.readouterr().out, folder / "out")
