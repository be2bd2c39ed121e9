"""Which keys an image knows, asked once for each digest, and a spec fitted to them (container_keys.yaml)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from deft import files
from deft.errors import EnvironmentMissing, InputRefused
from deft.platforms.containers import Image, Spec, leaves
from deft.workspace.layout import cache_home

KEY_LINE = re.compile(r"(?P<indent> *)(?P<name>[A-Za-z_]\w*):(?: |$)")
Keys = frozenset[str]


def known_keys(image: Image, category: str, action: str, ask: Callable[[], str]) -> Keys:
    """Return the dotted keys of one action of an image; `ask` is called where no earlier answer is kept.

    Raises EnvironmentMissing where the answer holds no keys.
    """
    path = _kept_at(image, category, action)
    if path.is_file():
        return frozenset(files.read_json(path)["keys"])
    answer = ask()
    keys = read_keys(answer)
    if not keys:
        said = " ".join(answer.split())[-300:] or "nothing"
        raise EnvironmentMissing(
            f"image does not show the keys of {category} {action} (`--cfg=job` printed: {said})",
            value=image.reference,
            hint="name the image of another version in specs/platforms.yaml",
        )
    files.write_json(path, {"image": image.reference, "keys": sorted(keys)})
    return keys


def _kept_at(image: Image, category: str, action: str) -> Path:
    folder = image.digest.replace(":", "-")
    return cache_home() / "image-keys" / folder / f"{category}.{action}.json"


def read_keys(text: str) -> Keys:
    """Return every dotted key of the YAML that `--cfg=job` prints, whatever else stands around it."""
    keys: set[str] = set()
    parents: list[tuple[int, str]] = []
    for line in text.splitlines():
        match = KEY_LINE.match(line)
        if match is None:
            continue
        indent = len(match["indent"])
        parents = [parent for parent in parents if parent[0] < indent]
        key = ".".join([*(name for _, name in parents), match["name"]])
        parents.append((indent, match["name"]))
        keys.add(key)
    return frozenset(keys)


def fit_spec(spec: Mapping[str, Any], category: str, known: Keys) -> tuple[Spec, list[str]]:
    """Return the spec with the names that the image has, and a sentence for each key that was changed.

    Raises InputRefused with every key that the image lacks and nothing excuses.
    """
    table = _differences()
    fitted: Spec = {}
    notes, lacking = [], []
    for key, value in leaves(spec):
        if _is_below(key, table["own"].get(category, [])):
            continue
        name, sent = _name_in_image(key, value, known, table["renamed"].get(category, {}))
        if name is not None:
            _put(fitted, name, sent)
            notes += [f"{key} is sent as {name}"] if name != key else []
        elif key in (optional := table["optional"].get(category, {})) and optional[key] == value:
            notes.append(f"{key} is left out: the image has no such key and does the same")
        else:
            lacking.append(key)
    if lacking:
        raise InputRefused(
            f"image does not know {len(lacking)} key{'s' if len(lacking) > 1 else ''} of the spec",
            value=", ".join(lacking),
            hint="remove them from specs/baseline_spec.yaml, or take an image that knows them",
        )
    return fitted, notes


def _name_in_image(
    key: str, value: object, known: Keys, renamed: Mapping[str, Mapping[str, str]]
) -> tuple[str | None, object]:
    if _is_known(key, known):
        return key, value
    older = renamed.get(key)
    if older and older["older"] in known:
        return older["older"], older["value"].replace("{}", str(value))
    return None, value


def _is_known(key: str, known: Keys) -> bool:
    """Say whether an image knows a key: by name, or below one whose content is free."""
    if key in known:
        return True
    parent = key.rpartition(".")[0]
    if not parent:
        return False
    is_open = parent in known and not any(name.startswith(f"{parent}.") for name in known)
    return is_open or (parent not in known and _is_known(parent, known))


def _is_below(key: str, blocks: list[str]) -> bool:
    return any(key == block or key.startswith(f"{block}.") for block in blocks)


def _put(spec: Spec, key: str, value: object) -> None:
    *parents, last = key.split(".")
    for name in parents:
        spec = spec.setdefault(name, {})
    spec[last] = value


@cache
def _differences() -> dict[str, dict[str, Any]]:
    text = resources.files("deft.platforms").joinpath("container_keys.yaml").read_text(encoding="utf-8")
    table: dict[str, dict[str, Any]] = files.parse_yaml(text, "container_keys.yaml")
    return table
