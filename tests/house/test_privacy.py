"""No file of the repository names a machine, a person's home or a package host."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
THIS_FILE = "tests/house/test_privacy.py"
FORBIDDEN = {
    "a home folder": re.compile(r"(?<![\w$}~])/(?:home|Users)/[a-z]\w*|(?<![\w$}~.])/roo[t]/"),
    "a folder of one machine": re.compile(r"(?<![\w$}~.>])/(?:work|mnt|opt)/\w+"),
    "a registry host": re.compile(
        r"\bnvcr\.io|\bquay\.io|\bghcr\.io|\bgcr\.io|docker\.io|pypi\.org|pythonhosted"
    ),
    "a credential": re.compile(r"\bhf_[A-Za-z0-9]{20,}|\bnvapi-[\w-]{20,}|\bglpat-\w{16,}|PRIVATE KEY-----"),
}
# An image's name is a fact of the product: users pull it from there.
ALLOWED = {("versions.yaml", "a registry host"), (".ci/run", "a registry host")}  # Debian's package docker.io


def violations(name: str, text: str) -> list[str]:
    """Return one line a place that says more than it may."""
    return [
        f"{name}:{number} names {what}: {match[0]}"
        for number, line in enumerate(text.splitlines(), 1)
        for what, pattern in FORBIDDEN.items()
        if (match := pattern.search(line)) and (name, what) not in ALLOWED
    ]


def tracked_texts() -> dict[str, str]:
    """Return every text file that is, or is about to be, part of the repository."""
    listing = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY,
        capture_output=True,
        check=True,
        text=True,
    )
    texts = {}
    for name in filter(None, listing.stdout.split("\0")):
        path = REPOSITORY / name
        if path.is_file() and b"\0" not in (content := path.read_bytes()):
            texts[name] = content.decode("utf-8", "replace")
    return texts


def test_no_file_names_a_machine_a_home_or_a_host() -> None:
    texts = tracked_texts()
    assert len(texts) > 50
    found = [line for name, text in texts.items() if name != THIS_FILE for line in violations(name, text)]
    assert found == []


@pytest.mark.parametrize(
    "line",
    [
        "cd /home/ann/deft",
        "path: /Users/bob/x",
        "see /" + "root/.cache",
        "data in /" + "work/shared",
        "image: nvcr.io/nvidia/x",
        "index pypi" + ".org/simple",
        "token hf_" + "a" * 24,
    ],
)
def test_a_planted_name_is_found(line: str) -> None:
    assert len(violations("README.md", line)) == 1


@pytest.mark.parametrize(
    "line", ["~/workspace", "$HOME/.cache", "/workspace/images", "{home}/" + "root/x", "a/" + "work/b"]
)
def test_a_harmless_path_is_not_found(line: str) -> None:
    assert violations("README.md", line) == []


def test_an_image_may_be_named_where_images_are_pinned() -> None:
    assert violations("versions.yaml", "repository: nvcr.io/nvidia/tao") == []
