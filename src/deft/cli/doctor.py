"""`deft doctor`: what works on this machine, each failure with its cure."""

from __future__ import annotations

import platform as machine
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from deft.cli.output import emit
from deft.errors import EnvironmentMissing, NotApproved

if TYPE_CHECKING:
    from deft.platforms.base import Check


@click.command()
@click.option("--platform", "name", default="embedded", show_default=True, help="The platform to look at.")
@click.option(
    "--workspace",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    default=Path("."),
    show_default=True,
    help="Whose disk and .env to look at.",
)
@click.option("--probe", is_flag=True, help="Also measure which precision trains faster here (seconds).")
@click.option("--hooks", is_flag=True, help="Prove instead that the plugin's hooks fire in Claude Code.")
@click.option("--client", help="With --hooks: which Claude Code to start, if not `claude` on the PATH.")
def doctor(name: str, workspace: Path, probe: bool, hooks: bool, client: str | None) -> int:
    """Say what works on this machine; exit code 5 when something that is needed is missing."""
    if client is not None and not hooks:
        raise click.UsageError("--client belongs to --hooks")
    return _hooks(client) if hooks else _machine(name, workspace, probe)


def _machine(name: str, workspace: Path, probe: bool) -> int:
    from deft.platforms.registry import canonical_name, platform_named
    from deft.platforms.settings import read_platform_settings
    from deft.preflight.doctor import needed, present, speed
    from deft.versions import component_versions

    name = canonical_name(name)
    found = platform_named(name, read_platform_settings(workspace, name))
    checks = needed(found, workspace) + ([speed(found)] if probe else [])
    works = all(check.passed for check in checks)
    record = {
        "status": "ok" if works else "missing",
        "platform": found.name,
        "python": f"{machine.python_version()} ({sys.executable})",
        "system": f"{machine.system()} {machine.machine()}",
        "versions": component_versions(),
        "checks": _records(checks),
        "also": _records(present(workspace)),
    }
    emit(record, _text)
    return 0 if works else EnvironmentMissing.exit_code


def _hooks(client: str | None) -> int:
    """Say whether the hooks fire in the user's client."""
    from deft.preflight.hooks_check import hooks_checks

    if client is not None:
        _require_a_person()
    checks = hooks_checks(client)
    works = all(check.passed for check in checks)
    record = {"status": "ok" if works else "missing", "checks": _records(checks)}
    emit(
        record,
        lambda shown: "\n".join(line for check in shown["checks"] for line in _lines(check, "MISSING")),
    )
    return 0 if works else EnvironmentMissing.exit_code


def _require_a_person() -> None:
    """Refuse to start a program that an agent names: it would be a launch past the gate."""
    from deft.guard.agent import agent_marker

    marker = agent_marker()
    if marker is not None:
        raise NotApproved(
            "an agent does not choose the client that is started",
            value=f"{marker} is set here",
            hint="deft doctor --hooks finds claude on the PATH; --client is for a terminal of the user's own",
        )


def _records(checks: Sequence[Check]) -> list[dict[str, Any]]:
    return [
        {"name": check.name, "passed": check.passed, "detail": check.detail, "cure": check.cure}
        for check in checks
    ]


def _text(record: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
    return "\n".join(
        [
            f"platform {record['platform']}, Python {record['python']}, {record['system']}",
            f"  {versions}",
            *(line for check in record["checks"] for line in _lines(check, "MISSING")),
            "other platforms would use",
            *(line for check in record["also"] for line in _lines(check, "absent ")),
        ]
    )


def _lines(check: dict[str, Any], word: str) -> list[str]:
    lines = [f"  {'ok     ' if check['passed'] else word} {check['name']}: {check['detail']}"]
    return lines + [f"          {check['cure']}"] * bool(check["cure"] and not check["passed"])
