"""Where the client and the skill scanner are kept; `python tests/client/installation.py` gets them there.

Both come by name from the package registries of whoever runs this; both are outside the repository. What
cannot be had is said and left out: the tests that need it then skip with that reason.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "deft"  # before a test moves it
CLIENT_PACKAGE, SCANNER_PACKAGE = "@anthropic-ai/claude-code", "cisco-ai-skill-scanner"


def pinned(name: str) -> str:
    """Return the version of one of the programs that only tests need."""
    versions = yaml.safe_load((REPOSITORY / "versions.yaml").read_text(encoding="utf-8"))
    return str(versions["client"][name])


def client_folder() -> Path:
    """Return where the client of the pinned version is installed."""
    return CACHE / f"client-{pinned('claude_code')}"


def client_program() -> Path:
    """Return the program of the client, whether or not it is there."""
    return client_folder() / "node_modules" / ".bin" / "claude"


def scanner_folder() -> Path:
    """Return the environment of the skill scanner of the pinned version."""
    return CACHE / f"skill-scanner-{pinned('skill_scanner')}"


def scanner_program() -> Path:
    """Return the program of the scanner, whether or not it is there."""
    return scanner_folder() / "bin" / "skill-scanner"


def install_client() -> None:
    """Install the client with npm; it is complete only if it says its version."""
    npm = shutil.which("npm")
    if npm is None:
        raise OSError("npm is not installed")
    package = f"{CLIENT_PACKAGE}@{pinned('claude_code')}"
    subprocess.run(
        [npm, "install", "--silent", "--no-save", "--prefix", client_folder(), package], check=True
    )
    subprocess.run([client_program(), "--version"], check=True, stdin=subprocess.DEVNULL)


def install_scanner() -> None:
    """Install the scanner into an environment of its own."""
    subprocess.run([sys.executable, "-m", "venv", scanner_folder()], check=True)
    package = f"{SCANNER_PACKAGE}=={pinned('skill_scanner')}"
    pip = [scanner_folder() / "bin" / "python", "-m", "pip", "install", "--quiet"]
    subprocess.run([*pip, "--disable-pip-version-check", package], check=True)


def main() -> None:
    """Install what is missing."""
    CACHE.mkdir(parents=True, exist_ok=True)
    for program, install in ((client_program(), install_client), (scanner_program(), install_scanner)):
        if program.exists():
            continue
        sys.stdout.write(f"installing {program.name}\n")
        try:
            install()
        except (OSError, subprocess.CalledProcessError) as fault:
            sys.stdout.write(f"not installed, its tests will skip: {program.name}: {fault}\n")


if __name__ == "__main__":
    main()
