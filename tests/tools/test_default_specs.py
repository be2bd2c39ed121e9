"""What `default_specs` writes can be given back as a spec."""

from __future__ import annotations

from pathlib import Path

import pytest

from conformance import difference
from deft import files
from deft.tools.__main__ import main
from deft.tools.registry import ACTIONS


@pytest.mark.parametrize(
    ("category", "words", "names"),
    [
        ("visual_changenet", [], {"experiment": "train"}),
        ("gap_analysis", ["module_name=gap_analysis"], {"experiment": "vcn_aoi"}),
        ("tmm", ["module_name=nearest_neighbors"], {"experiment": "nearest_neighbors"}),
        ("embedding", [], {name: name for name in ("image_embeddings", "text_embeddings")}),
    ],
)
def test_the_defaults_are_those_that_a_command_shows_and_takes(
    category: str, words: list[str], names: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert difference("default-specs-by-action")
    assert main([category, "default_specs", f"results_dir={tmp_path}", *words]) == 0
    assert {path.stem for path in tmp_path.iterdir()} == set(names)
    for name, action in names.items():
        path = tmp_path / f"{name}.yaml"
        capsys.readouterr()
        assert main([category, action, "-e", str(path), "--cfg=job"]) == 0
        assert capsys.readouterr().out.removesuffix("Execution status: PASS\n") == files.read_text(path)


def test_a_module_of_another_category_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["tmm", "default_specs", f"results_dir={tmp_path}", "module_name=vcn_aoi"]
    assert main(words) == 1
    assert "no module of tmm" in capsys.readouterr().out


def test_every_category_has_it() -> None:
    assert {category for category, action in ACTIONS if action == "default_specs"} == {
        category for category, _ in ACTIONS
    }
