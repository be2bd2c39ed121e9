"""`deft doctor`: what works on this machine, each failure with its cure."""

from __future__ import annotations

import platform as machine
import sys
from pathlib import Path
from typing import Any

import click

from deft.cli.output import emit
from deft.errors import EnvironmentMissing


@click.command()
@click.option("--platform", "name", default="embedded", show_default=True, help="The platform to look at.")
@click.option("--workspace", type=click.Path(path_type=Path), default=Path("."), show_default=True)
def doctor(name: str, workspace: Path) -> int:
    """Look at what a platform needs on this machine; exit code 5 when something is missing."""
    from deft.platforms.catalogue import read_catalogue
    from deft.platforms.registry import platform_named

    found = platform_named(read_catalogue().find(name).name)
    checks = [
        {"name": check.name, "passed": check.passed, "detail": check.detail, "cure": check.cure}
        for check in found.checks(workspace)
    ]
    works = all(check["passed"] for check in checks)
    record = {
        "status": "ok" if works else "missing",
        "platform": found.name,
        "python": f"{machine.python_version()} ({sys.executable})",
        "system": f"{machine.system()} {machine.machine()}",
        "checks": checks,
    }
    emit(record, _text)
    return 0 if works else EnvironmentMissing.exit_code


def _text(record: dict[str, Any]) -> str:
    lines = [f"platform {record['platform']}, Python {record['python']}, {record['system']}"]
    for check in record["checks"]:
        lines.append(f"  {'ok     ' if check['passed'] else 'MISSING'} {check['name']}: {check['detail']}")
        if check["cure"] and not check["passed"]:
            lines.append(f"          {check['cure']}")
    return "\n".join(lines)
