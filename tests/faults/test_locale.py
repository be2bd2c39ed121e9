"""A hostile locale changes no byte: Turkish letters, no UTF-8, another decimal point."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2] / "src"
LOCALES = ("C", "POSIX", "tr_TR.UTF-8", "tr_TR.ISO-8859-9", "de_DE.UTF-8", "nonsense")
PROGRAM = """
import hashlib, json, locale, sys
from pathlib import Path
try:
    locale.setlocale(locale.LC_ALL, "")
except locale.Error:
    pass
import pandas as pd
from deft import files
from deft.metrics.target import parse_target
from deft.tools.override_values import parse_value
from deft.untrusted import untrusted
from deft.workspace.rows import COLUMNS, normalise_label, read_table, write_table

root = Path(sys.argv[1])
root.mkdir()
row = dict.fromkeys(COLUMNS, "") | {"input_path": "şekil", "golden_path": "İyi"}
row |= {"label": "MISSING", "object_name": "I1"}
table = write_table(root / "tablo_ığüşöç.csv", pd.DataFrame([row]))
record = {
    "label": [normalise_label(text) for text in ("TILT", "SHIFT I", "İNCE", "Ié")],
    "read": read_table(table).to_dict("records"),
    "target": parse_target("FAR < 0.1% at recall >= 100%").normal_form(),
    "values": [parse_value(text) for text in ("1.5", "1e-4", "TRUE", "null", "1,5")],
    "shown": untrusted("Iıİi \u202e" + chr(27) + "[2J 1.234,5"),
}
files.write_json(root / "kayıt.json", record)
files.write_yaml(root / "ayar.yaml", {"ışık": [0.1, "İ", "1,5"]})
record["yaml"] = files.read_yaml(root / "ayar.yaml")
name = lambda path: hashlib.sha256(path.name.encode()).hexdigest()
sums = {name(path): files.sha256_of_file(path) for path in sorted(root.iterdir())}
sys.stdout.buffer.write(json.dumps([record, sums], sort_keys=True).encode())
"""


def result(folder: Path, locale: str) -> bytes:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG"))}
    environment |= {"LC_ALL": locale, "LANG": locale, "PYTHONPATH": str(SOURCE)}
    program = folder.with_suffix(".py")
    program.write_text(PROGRAM, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(program), str(folder)], env=environment, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def test_tables_records_labels_and_figures_are_the_same_bytes_in_every_locale(
    tmp_path: Path, figure: Callable[[str, str, str], None]
) -> None:
    expected = result(tmp_path / "expected", "C.UTF-8")
    assert b"MISSING" not in expected
    found = {locale: result(tmp_path / locale, locale) for locale in LOCALES}
    assert set(found.values()) == {expected}
    figure("hostile locales", "same bytes", f"{len(found)} locales, all equal to C.UTF-8")
