"""What the plan may name as its platform: names, aliases, credentials by name, checks (platforms.yaml)."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from typing import Any

from deft.errors import UsageError
from deft.files import parse_yaml


@dataclass(frozen=True)
class Platform:
    """One entry of platforms.yaml."""

    name: str
    display_name: str
    aliases: tuple[str, ...]
    backend: str
    description: str
    required_credentials: tuple[dict[str, str], ...]
    credential_groups: tuple[dict[str, Any], ...]
    optional_credentials: tuple[dict[str, str], ...]
    checks: tuple[str, ...]

    def credential_names(self) -> list[str]:
        """Return the names a user may be asked for: required, one of a group, optional with its condition."""
        groups = [" or ".join(group["require_one_of"]) for group in self.credential_groups]
        optional = [
            f"{entry['name']} (only when {entry['only_when']})" for entry in self.optional_credentials
        ]
        return [entry["name"] for entry in self.required_credentials] + groups + optional

    def summary(self) -> dict[str, Any]:
        """Return the few facts that a list shows."""
        return {
            "name": self.name,
            "display_name": self.display_name,
            "aliases": list(self.aliases),
            "backend": self.backend,
            "description": self.description,
        }


@dataclass(frozen=True)
class Catalogue:
    """Every platform, the one used when nobody chose, and what each credential is."""

    default: str
    credentials: dict[str, dict[str, str]]
    platforms: tuple[Platform, ...]

    def find(self, name: str) -> Platform:
        """Return the platform of this name or alias, in any case; an unknown name lists the known ones."""
        wanted = name.strip().lower()
        for platform in self.platforms:
            if wanted in (platform.name, *platform.aliases):
                return platform
        known = ", ".join(" = ".join((platform.name, *platform.aliases)) for platform in self.platforms)
        raise UsageError(f"unknown platform (known: {known})", value=name, hint=None)


def read_catalogue() -> Catalogue:
    """Read platforms.yaml from the package."""
    text = resources.files("deft.platforms").joinpath("platforms.yaml").read_text(encoding="utf-8")
    record = parse_yaml(text, "platforms.yaml")
    platforms = tuple(
        Platform(**{key: _frozen(value) for key, value in entry.items()}) for entry in record["platforms"]
    )
    return Catalogue(record["default"], record["credentials"], platforms)


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def list_platforms(catalogue: Catalogue) -> dict[str, Any]:
    """Return the list that the launch intake shows."""
    return {
        "schema_version": 1,
        "prompt_defaults": {"platform": catalogue.default},
        "platforms": [platform.summary() for platform in catalogue.platforms],
    }


def describe_platform(catalogue: Catalogue, name: str) -> dict[str, Any]:
    """Return what one platform needs: credentials with how to get them, and what will be checked."""
    platform = catalogue.find(name)
    return {
        "platform": platform.name,
        "display_name": platform.display_name,
        "required_credentials": [
            _with_description(catalogue, entry) for entry in platform.required_credentials
        ],
        "credential_groups": list(platform.credential_groups),
        "optional_credentials": [
            _with_description(catalogue, entry) for entry in platform.optional_credentials
        ],
        "preflight_checks": list(platform.checks),
    }


def _with_description(catalogue: Catalogue, entry: dict[str, str]) -> dict[str, str]:
    return {**entry, **catalogue.credentials[entry["name"]]}
