"""Where the client, the skill scanner, NVIDIA's SDK, Ray and faiss are kept; run this file to get them.

All come by name from the package registries of whoever runs this; all are outside the repository. What
cannot be had is said and left out: the tests that need it then skip with that reason.
"""

from __future__ import annotations

import hashlib
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


def packages(section: str) -> list[str]:
    """Return what some tests need beside their environment, each at its version."""
    versions = yaml.safe_load((REPOSITORY / "versions.yaml").read_text(encoding="utf-8"))
    return [f"{name}=={version}" for name, version in versions[section].items()]


def packages_folder(section: str) -> Path:
    """Return the folder that holds these packages, for one PYTHONPATH."""
    return CACHE / f"{section}-{hashlib.sha256(' '.join(packages(section)).encode()).hexdigest()[:16]}"


def sdk_folder() -> Path:
    """Return the folder of packages with NVIDIA's SDK."""
    return packages_folder("sdk")


def ray_folder() -> Path:
    """Return the folder of packages with Ray."""
    return packages_folder("ray")


def index_folder() -> Path:
    """Return the folder of packages with faiss."""
    return packages_folder("index")


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


def install_packages(section: str, *options: str | Path) -> None:
    """Install the packages into a folder that gets its name when it is complete."""
    partial = packages_folder(section).with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "--target", partial, *options, *packages(section)], check=True)
    partial.rename(packages_folder(section))


def install_sdk() -> None:
    """Install NVIDIA's SDK."""
    install_packages("sdk")


def install_ray() -> None:
    """Install Ray; what it shares with the environment of the tests is of the same version."""
    install_packages("ray", "-c", REPOSITORY / "constraints.txt")


def install_index() -> None:
    """Install faiss, which takes NumPy from the environment of the tests."""
    install_packages("index", "--no-deps")


def main() -> None:
    """Install what is missing."""
    CACHE.mkdir(parents=True, exist_ok=True)
    wanted = {
        client_program(): install_client,
        scanner_program(): install_scanner,
        sdk_folder(): install_sdk,
        ray_folder(): install_ray,
        index_folder(): install_index,
    }
    for program, install in wanted.items():
        if program.exists():
            continue
        sys.stdout.write(f"installing {program.name}\n")
        try:
            install()
        except (OSError, subprocess.CalledProcessError) as fault:
            sys.stdout.write(f"not installed, its tests will skip: {program.name}: {fault}\n")


if __name__ == "__main__":
    main()
