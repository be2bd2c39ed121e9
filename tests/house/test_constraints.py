"""Every package that the project asks for is pinned, once, by its files' hashes, without a host or a path."""

from __future__ import annotations

import re
import tomllib
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PIN = re.compile(r"(?P<name>[A-Za-z0-9][\w.-]*)==(?P<version>[0-9][\w.]*)")
BUILT_BY_BIN_DEFT = ("embedded", "test")


def normal_form(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(text: str) -> dict[str, str]:
    """Return name -> version; a line that is neither a comment nor a plain pin is refused."""
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    found = [PIN.fullmatch(line) for line in lines]
    assert None not in found, [line for line, pin in zip(lines, found, strict=True) if pin is None]
    return {normal_form(pin["name"]): pin["version"] for pin in found if pin is not None}


def unpinned(project: dict[str, Any], text: str) -> list[str]:
    """Return the packages that bin/deft installs and constraints.txt does not name."""
    extras = (project["optional-dependencies"][name] for name in BUILT_BY_BIN_DEFT)
    wishes = chain(project["dependencies"], *extras)
    names = [re.split(r"[<>=!~\[; ]", wish)[0] for wish in wishes]
    return sorted({normal_form(name) for name in names} - set(pins(text)))


def read() -> tuple[dict[str, Any], str]:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return project, (REPOSITORY / "constraints.txt").read_text(encoding="utf-8")


def test_every_package_is_pinned() -> None:
    assert unpinned(*read()) == []


def test_torch_is_pinned_without_the_name_of_a_build() -> None:
    assert "+" not in pins(read()[1])["torch"]


def test_a_package_without_a_pin_is_found() -> None:
    project, text = read()
    without = "\n".join(line for line in text.splitlines() if not line.startswith("pandas=="))
    assert unpinned(project, without) == ["pandas"]


def test_a_line_with_a_host_is_found() -> None:
    with pytest.raises(AssertionError, match=r"example\.org"):
        pins("--index-url https://example.org/simple\npandas==3.1.1\n")


# --- the locks -------------------------------------------------------------------------------

HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")


def locked(text: str) -> dict[str, str]:
    """Return name -> version of a lock; an entry without a hash, or a line that is no entry, is refused."""
    text = text.replace(" \\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith(("#", "-r requirements"))]
    for line in lines:
        pin, *hashes = line.split()
        assert hashes, f"{pin} has no hash"
        assert all(HASH.fullmatch(one) for one in hashes), line
    return pins("\n".join(line.split()[0] for line in lines))


def locks() -> tuple[dict[str, str], dict[str, str]]:
    program, tests = (
        (REPOSITORY / name).read_text(encoding="utf-8")
        for name in ("requirements.lock", "requirements-test.lock")
    )
    assert "-r requirements.lock\n" in tests
    return locked(program), locked(tests)


def test_the_locks_and_the_constraints_hold_the_same_pins() -> None:
    program, tests = locks()
    constraints = pins(read()[1])
    assert constraints.pop("torch")
    assert not program.keys() & tests.keys()
    assert {**program, **tests} == constraints


def test_the_program_s_lock_holds_what_the_program_asks_for_and_no_test_tool() -> None:
    project, _ = read()
    program, _ = locks()
    wishes = [*project["dependencies"], *project["optional-dependencies"]["embedded"]]
    names = {normal_form(re.split(r"[<>=!~\[; ]", wish)[0]) for wish in wishes}
    assert names - {"torch"} <= program.keys()
    assert not {"pytest", "mypy", "ruff", "hypothesis"} & program.keys()


@pytest.mark.parametrize(
    "text",
    [
        "pandas==3.1.1\n",
        "pandas==3.1.1 \\\n    --hash=sha256:12\n",
        "pandas==3.1.1 \\\n    --hash=md5:" + "0" * 32 + "\n",
        "--index-url https://example.org/simple\n",
        "pandas>=3 \\\n    --hash=sha256:" + "0" * 64 + "\n",
    ],
)
def test_a_lock_entry_without_its_hash_or_with_a_host_is_found(text: str) -> None:
    with pytest.raises(AssertionError):
        locked(text)
