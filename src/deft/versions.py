"""Every pinned image, wheel and weight, read from `versions.yaml` by a dotted key."""

from __future__ import annotations

import platform
from importlib import metadata
from pathlib import Path
from typing import Any

from deft.errors import EnvironmentMissing, UsageError
from deft.files import read_yaml

VERSION = "0.1.0"
VERSIONS_FILE = Path(__file__).resolve().parents[2] / "versions.yaml"


def resolve_versions_key(key: str, versions: Path = VERSIONS_FILE) -> str:
    """Return the text at a dotted key such as `images.tao_toolkit.pyt`; an image gives its full reference.

    Raises UsageError for an unknown or empty key (it names the known ones) and EnvironmentMissing when the
    file is absent, as in an installed wheel.
    """
    if not versions.is_file():
        raise EnvironmentMissing(
            "versions file does not exist", value=versions, hint="run from a checkout of the plugin"
        )
    entries = _flatten(read_yaml(versions))
    if not entries.get(key):
        known = ", ".join(sorted(name for name, text in entries.items() if text))
        raise UsageError("no pinned version under this key", value=key, hint=f"known keys: {known}")
    return entries[key]


def _flatten(node: Any, prefix: str = "") -> dict[str, str]:
    """Return dotted key -> text; an entry with `repository` is an image, `repository@digest` or `…:tag`."""
    if not isinstance(node, dict):
        return {prefix: "" if node is None else str(node)}
    found = {}
    for name, child in node.items():
        found.update(_flatten(child, f"{prefix}.{name}" if prefix else str(name)))
    if "repository" in node:
        suffix = f"@{node['digest']}" if node.get("digest") else f":{node['tag']}"
        found[prefix] = f"{node['repository']}{suffix}"
    return found


def code_version() -> str:
    """Return what a stage's key holds of the code: a new version does finished stages anew."""
    return VERSION


def component_versions() -> dict[str, str]:
    """Return the versions that decide a run's bytes: Python, this package and the libraries below it."""
    names = ("numpy", "pandas", "pyarrow", "torch", "transformers")
    found = {"python": platform.python_version(), "deft": VERSION}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return {**found, "processor": _processor()}


def _processor() -> str:
    """Name the processor as the kernel does: bytes of a training are claimed per kind of processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.machine()
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.machine()
