"""A path cell of the pool leads to one folder of the workspace, or the work stops."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from deft import files
from deft.errors import InputRefused
from deft.workspace.layout import Workspace
from deft.workspace.pool_paths import _Resolver, resolve_pool_paths
from deft.workspace.rows import ImageLayout, read_table

LAYOUT = ImageLayout(("Top",), ".png")
POOL = "augmentation/mining_pool"


def draw(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (4, 4)).save(path)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    for name in ("in/U0", "in/U1", "ok/U0", "ok/U1"):
        draw(tmp_path / "ws" / POOL / "images" / f"{name}_Top.png")
    made = Workspace.at(tmp_path / "ws")
    write_pool(made, "images/in,images/ok,PASS,U0", "images/in,images/ok,Open,U1")
    return made


def write_pool(workspace: Workspace, *lines: str) -> None:
    text = "\n".join(["input_path,golden_path,label,object_name", *lines])
    files.write_text(workspace.mining_pool_table, text + "\n")


def resolved(workspace: Workspace, layout: ImageLayout = LAYOUT) -> list[tuple[str, str]]:
    table = resolve_pool_paths(read_table(workspace.mining_pool_table), workspace, layout)
    return list(zip(table["input_path"], table["golden_path"], strict=True))


@pytest.mark.parametrize(
    "cell",
    [
        "images/{0}",
        "images/{0}/",
        "./images/{0}",
        "{0}",
        f"{POOL}/images/{{0}}",
        "images/{0}/U0_Top.png",
        "{0}/U0_Top.png",
        "images/{0}/U0_Top",
        "images/{0}/U0",
        "{root}/" + POOL + "/images/{0}",
        "{root}/" + POOL + "/images/{0}/U0_Top.png",
    ],
)
def test_a_path_is_resolved_whether_it_names_a_folder_or_a_file_and_from_where(
    workspace: Workspace, cell: str
) -> None:
    write_pool(
        workspace, ",".join(cell.format(side, root=workspace.root) for side in ("in", "ok")) + ",PASS,U0"
    )
    assert resolved(workspace) == [(f"{POOL}/images/in", f"{POOL}/images/ok")]


def test_a_folder_without_a_slash_stays_a_folder(workspace: Workspace) -> None:
    """B6: the original took `dirname` of the dir-style path `images` and fell through a level."""
    draw(workspace.mining_pool / "images" / "U7_Top.png")
    write_pool(workspace, "images,images,PASS,U7")
    assert resolved(workspace) == [(f"{POOL}/images", f"{POOL}/images")]


def test_images_of_the_kpi_folder_may_be_named(workspace: Workspace) -> None:
    draw(workspace.root / "kpi/images/line/U0_Top.png")
    write_pool(workspace, "line,images/ok,PASS,U0")
    assert resolved(workspace) == [("kpi/images/line", f"{POOL}/images/ok")]


def test_an_absolute_path_through_a_link_to_the_workspace_is_followed(
    workspace: Workspace, tmp_path: Path
) -> None:
    (tmp_path / "link").symlink_to(workspace.root)
    write_pool(workspace, f"{tmp_path}/link/{POOL}/images/in,images/ok,PASS,U0")
    assert resolved(workspace)[0][0] == f"{POOL}/images/in"


def test_an_absent_golden_of_a_real_row_is_refused(workspace: Workspace) -> None:
    """B2: the original never looked for the golden of a real row and prefixed it with kpi/images."""
    os.remove(workspace.mining_pool / "images/ok/U1_Top.png")
    with pytest.raises(InputRefused, match=r"row 3 golden_path `images/ok`: U1_Top.png is in none of"):
        resolved(workspace)


def test_a_path_with_two_readings_is_refused_and_both_are_listed(workspace: Workspace) -> None:
    draw(workspace.root / "images/in/U0_Top.png")
    with pytest.raises(InputRefused) as caught:
        resolved(workspace)
    assert "row 2 input_path `images/in` leads to several" in str(caught.value)
    assert f"{workspace.root}/images/in" in str(caught.value)
    assert f"{workspace.mining_pool}/images/in" in str(caught.value)


def test_two_readings_of_one_folder_are_one(workspace: Workspace) -> None:
    (workspace.root / "images").symlink_to(workspace.mining_pool / "images")
    assert resolved(workspace)[0] == (f"{POOL}/images/in", f"{POOL}/images/ok")


@pytest.mark.parametrize("cell", ["../../../../outside", "{0}/outside"])
def test_a_path_out_of_the_workspace_leads_nowhere(workspace: Workspace, tmp_path: Path, cell: str) -> None:
    draw(tmp_path / "outside" / "U0_Top.png")
    write_pool(workspace, f"{cell.format(tmp_path)},images/ok,PASS,U0")
    with pytest.raises(InputRefused, match=r"is in none of|`\.\.`"):
        resolved(workspace)


def test_at_most_five_unresolved_paths_are_listed(workspace: Workspace) -> None:
    write_pool(workspace, *(f"nowhere{n},images/ok,PASS,U0" for n in range(7)))
    with pytest.raises(InputRefused, match=r"^7 path\(s\)") as caught:
        resolved(workspace)
    assert "nowhere4" in str(caught.value)
    assert "nowhere5" not in str(caught.value)


def test_every_light_of_a_row_must_exist(workspace: Workspace) -> None:
    with pytest.raises(InputRefused, match=r"U0_Side\.png"):
        resolved(workspace, ImageLayout(("Top", "Side"), ".png"))


@given(
    st.lists(st.text(st.characters(categories=("L", "N"), include_characters="._ -"), min_size=1), min_size=1)
)
def test_whatever_a_cell_says_only_folders_of_the_workspace_are_looked_into(parts: list[str]) -> None:
    resolver = _Resolver(Workspace(Path("/nowhere/ws")), LAYOUT)
    for cell in ("/".join(parts), "/" + "/".join(parts), "../" * len(parts) + parts[0]):
        folders = list(resolver._readings(cell, "U0"))
        assert all(folder == "/nowhere/ws" or folder.startswith("/nowhere/ws/") for folder in folders)
