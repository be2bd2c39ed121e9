"""Write requirements.lock and requirements-test.lock: each pin of constraints.txt but torch, with its hashes.

Run it with an environment that has the packages after a pin changed: `PYTHON .ci/lock.py`. pip names the
file that it would install on each kind of machine below, from whatever index it is configured with; an index
that changes a file later is then refused by `pip --require-hashes`. What is locked already keeps its hashes.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import tomllib
from collections import defaultdict
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
GLIBC = {"old": (28, 27, 26, 24, 17, 12, 5), "new": (39, 38, 36, 35, 34, 31, 28, 27, 26, 24, 17, 12, 5)}
MACHINES = {
    **{
        f"{machine}, {age} glibc": [
            *(f"manylinux_2_{v}_{machine}" for v in versions),
            f"manylinux2014_{machine}",
        ]
        for machine in ("x86_64", "aarch64")
        for age, versions in GLIBC.items()
    },
    "macOS 12": ["macosx_12_0_arm64"],
    "macOS 15": ["macosx_15_0_arm64"],
}
HEAD = "# Written by .ci/lock.py from constraints.txt; installed with --require-hashes, torch apart.\n"


def normal_form(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    found = [line for line in lines if line and not line.startswith("#")]
    return {normal_form(line.split("==")[0]): line for line in found if not line.startswith("torch==")}


def needed(wishes: list[str], known: set[str]) -> set[str]:
    """Return the pinned packages that some requirements lead to, on any machine."""
    found: set[str] = set()
    pending = [Requirement(wish) for wish in wishes]
    while pending:
        wish = pending.pop()
        name = normal_form(wish.name)
        if name in found or name not in known | {"torch"}:
            continue
        found.add(name)
        inner = map(Requirement, metadata.requires(name) or [])
        pending += [one for one in inner if "extra" not in str(one.marker) or _is_asked(one, wish.extras)]
    return found - {"torch"}


def _is_asked(inner: Requirement, extras: set[str]) -> bool:
    return any(inner.marker is not None and inner.marker.evaluate({"extra": extra}) for extra in extras)


def locked() -> dict[str, set[str]]:
    """Return the hashes of every pin that stands in the locks."""
    found: dict[str, set[str]] = {}
    for path in ROOT.glob("requirements*.lock"):
        for entry in path.read_text(encoding="utf-8").replace(" \\\n", " ").splitlines():
            pin, *given = entry.split()
            if given and given[0].startswith("--hash="):
                found[pin] = {one.rpartition(":")[2] for one in given}
    return found


def hashes(pins: list[str]) -> dict[str, set[str]]:
    """Ask pip, machine by machine, for the sha256 of the file of every pin."""
    found: dict[str, set[str]] = defaultdict(set)
    for python in PYTHONS if pins else ():
        for machine, tags in MACHINES.items():
            sys.stderr.write(f"Python {python}, {machine}\n")
            target = [f"--python-version={python}", *(f"--platform={tag}" for tag in tags)]
            for name, sha256 in asked(pins, target):
                found[name].add(sha256)
    return found


def asked(pins: list[str], target: list[str]) -> list[tuple[str, str]]:
    """Return name and sha256 of what pip would install; a pin without a file for a machine is left out."""
    with tempfile.TemporaryDirectory() as folder:
        wanted, report = Path(folder, "wanted.txt"), Path(folder, "report.json")
        wanted.write_text("\n".join(pins), encoding="utf-8")
        command = [
            sys.executable,
            "-m",
            "pip",
            "install",
            "-qq",
            "--dry-run",
            "--ignore-installed",
            "--no-deps",
        ]
        command += [
            "--only-binary=:all:",
            f"--target={folder}",
            f"--report={report}",
            *target,
            "-r",
            str(wanted),
        ]
        if subprocess.run(command, check=False).returncode == 0:
            items = json.loads(report.read_text(encoding="utf-8"))["install"]
            archives = [(item["metadata"]["name"], item["download_info"]["archive_info"]) for item in items]
            return [(normal_form(name), archive["hashes"]["sha256"]) for name, archive in archives]
    return [pair for pin in pins for pair in asked([pin], target)] if len(pins) > 1 else []


def lock(names: set[str], known: dict[str, str], found: dict[str, set[str]]) -> str:
    entries = (
        " \\\n".join([known[name], *(f"    --hash=sha256:{one}" for one in sorted(found[name]))])
        for name in sorted(names)
    )
    return "\n".join(entries) + "\n"


def main() -> None:
    """Write both files."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    known = pins()
    extras = project["optional-dependencies"]
    program = needed([*project["dependencies"], *extras["embedded"]], set(known))
    kept = locked()
    found = hashes(sorted(pin for pin in known.values() if pin not in kept))
    found |= {name: kept[pin] for name, pin in known.items() if pin in kept}
    (ROOT / "requirements.lock").write_text(HEAD + lock(program, known, found), encoding="utf-8")
    tests = HEAD + "-r requirements.lock\n" + lock(set(known) - program, known, found)
    (ROOT / "requirements-test.lock").write_text(tests, encoding="utf-8")


if __name__ == "__main__":
    main()
