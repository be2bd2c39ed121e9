"""`deft list-tao-platforms` and `deft resolve-versions-key`: what carries out a run, in which images."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from deft.cli.output import say


@click.command()
@click.option("--skill-bank", type=click.Path(path_type=Path), help="Accepted for compatibility; not needed.")
@click.option("--platform", "name", help="Describe one platform, by its name or an alias.")
@click.option("--format", "style", type=click.Choice(["json", "text"]), default="json", show_default=True)
def list_tao_platforms(skill_bank: Path | None, name: str | None, style: str) -> None:
    """Name the platforms, or one platform's credentials (by name only) and checks.

    An unknown platform is one line with the known ones and exit code 2.
    """
    from deft.platforms.catalogue import describe_platform, list_platforms, read_catalogue

    catalogue = read_catalogue()
    record = describe_platform(catalogue, name) if name else list_platforms(catalogue)
    say(json.dumps(record, indent=2) if style == "json" else _text(record))


def _text(record: dict[str, Any]) -> str:
    if "platforms" in record:
        return "\n".join(_platform_line(entry) for entry in record["platforms"])
    lines = [f"{record['platform']}: {record['display_name']}"]
    lines += [f"  needs {entry['name']}: {entry['description']}" for entry in record["required_credentials"]]
    lines += [
        f"  needs one of {' or '.join(group['require_one_of'])}" for group in record["credential_groups"]
    ]
    lines += [
        f"  may need {entry['name']}: when {entry['only_when']}" for entry in record["optional_credentials"]
    ]
    return "\n".join(lines + [f"  checked: {check}" for check in record["preflight_checks"]])


def _platform_line(entry: dict[str, Any]) -> str:
    aliases = f" (also {', '.join(entry['aliases'])})" if entry["aliases"] else ""
    return f"{entry['name']}{aliases}: {entry['description']}"


@click.command()
@click.argument("key")
def resolve_versions_key(key: str) -> None:
    """Print the pinned version at a dotted KEY of versions.yaml, such as images.tao_toolkit.pyt."""
    from deft.versions import resolve_versions_key as resolve

    say(resolve(key))
