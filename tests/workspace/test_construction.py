"""A workspace under construction appears whole or not at all."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deft.errors import StateConflict
from deft.workspace.construction import encode_image, new_workspace, place_image
from deft.workspace.layout import Workspace


def test_the_workspace_appears_only_when_it_is_complete(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "workspace"
    with new_workspace(target) as site:
        place_image(site.root / "a" / "b.jpg", b"x")
        assert not target.exists()
    assert (target / "a" / "b.jpg").read_bytes() == b"x"
    assert list(target.parent.iterdir()) == [target]


def test_an_empty_folder_is_taken_over(tmp_path: Path) -> None:
    with new_workspace(tmp_path / ".") as site:
        place_image(site.root / "b.jpg", b"x")
    assert [path.name for path in tmp_path.iterdir()] == ["b.jpg"]


def test_an_interrupted_construction_leaves_nothing(tmp_path: Path) -> None:
    def interrupt(site: Workspace) -> None:
        place_image(site.root / "b.jpg", b"x")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), new_workspace(tmp_path / "workspace") as site:
        interrupt(site)
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_way_is_refused(tmp_path: Path) -> None:
    (tmp_path / "workspace").write_text("")
    with pytest.raises(StateConflict), new_workspace(tmp_path / "workspace"):
        pytest.fail("entered")


def test_a_png_keeps_every_pixel() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (8, 9, 3), dtype=np.uint8)
    decoded = np.asarray(Image.open(io.BytesIO(encode_image(picture, "PNG"))))
    assert (decoded == picture).all()
