"""Every container image is named in versions.yaml alone, by its digest or with an explicit null."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deft.files import parse_yaml, read_yaml

REPOSITORY = Path(__file__).resolve().parents[2]
VERSIONS = REPOSITORY / "versions.yaml"
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
# What pulls or runs an image by name: `FROM name`, `image: name`, `docker run name:tag`, `--image name`.
REFERENCE = re.compile(
    r"^FROM\s+\S+|\bimage:\s*[\"']?[\w.-]+/[\w./-]+|\b(?:docker|podman|enroot|apptainer|srun)\b.*\s[\w.-]+/[\w./-]+:[\w.-]+",
    re.MULTILINE,
)
SEARCHED = (
    "src/**/*.py",
    "src/**/*.yaml",
    "src/**/*.sh",
    "hooks/*",
    "scripts/*",
    "bin/*",
    ".ci/*",
    "Makefile",
)


def images(node: Any, place: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every entry of versions.yaml that is an image."""
    if isinstance(node, dict):
        if "repository" in node:
            yield place, node
        for name, child in node.items():
            yield from images(child, f"{place}.{name}".lstrip("."))


def faults(record: Any) -> list[str]:
    """Return the images that name no digest, or one that is none."""
    found = []
    for place, image in images(record):
        if set(image) != {"repository", "tag", "digest"}:
            found.append(f"{place} has {', '.join(sorted(image))}")
        elif image["digest"] is not None and not DIGEST.fullmatch(str(image["digest"])):
            found.append(f"{place} has the digest {image['digest']}")
        elif "@" in image["repository"] or ":" in image["repository"].rpartition("/")[2]:
            found.append(f"{place} has a tag or a digest in its repository")
    return found


def test_every_image_has_a_digest_or_an_explicit_null() -> None:
    record = read_yaml(VERSIONS)
    assert len(list(images(record))) >= 2
    assert faults(record) == []


@pytest.mark.parametrize(
    "text",
    [
        "a: {repository: x/y, tag: '1'}",
        "a: {repository: x/y, tag: '1', digest: latest}",
        "a: {repository: x/y, tag: '1', digest: 'sha256:12'}",
        "a: {b: {repository: 'x/y:1', tag: '1', digest: null}}",
        "a: {repository: x/y@sha256, tag: '1', digest: null}",
    ],
)
def test_an_image_without_a_digest_is_found(text: str) -> None:
    assert len(faults(parse_yaml(text))) == 1


def test_no_other_file_names_an_image_by_its_tag() -> None:
    found = []
    for pattern in SEARCHED:
        for path in REPOSITORY.glob(pattern):
            if path.is_file():
                text = path.read_text(encoding="utf-8", errors="replace")
                found += [f"{path.name}: {match[0]}" for match in REFERENCE.finditer(text)]
    assert found == []


@pytest.mark.parametrize(
    "line", ["FROM debian:12", "  image: nvidia/tao:7", "docker run --rm nvidia/tao/toolkit:7.1.0 ls"]
)
def test_a_reference_by_tag_is_found(line: str) -> None:
    assert REFERENCE.search(line)
