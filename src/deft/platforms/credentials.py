"""Credentials by name: found in the environment or a workspace's `.env`, lent to a container as a file.

A value stands in no command line, no environment of a container and no record; only in a file of mode 0400
in a private folder in memory, for as long as the container lives.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
from collections.abc import Iterable
from pathlib import Path

from deft import files
from deft.errors import EnvironmentMissing, UsageError
from deft.workspace.layout import state_home

REGISTRY_KEYS = ("NGC_API_KEY", "NGC_KEY")
HUB_TOKEN = "HF_TOKEN"
MEMORY = Path("/dev/shm")
MAX_BYTES = 1024 * 1024


def credential(name: str, folders: Iterable[Path]) -> str | None:
    """Return a credential's value from the environment, else from the first folder whose `.env` sets it."""
    if os.environ.get(name):
        return os.environ[name]
    line = re.compile(rf"^(?:export )?{re.escape(name)}=(?P<value>[^\n]*)", re.MULTILINE)
    for folder in folders:
        match = line.search(_text(folder / ".env"))
        value = match["value"].strip().strip("\"'") if match else ""
        if value:
            return value
    return None


def names_present(names: Iterable[str], folders: Iterable[Path]) -> list[str]:
    """Return which of the credentials are set."""
    places = list(folders)
    return [name for name in names if credential(name, places)]


def _text(path: Path) -> str:
    try:
        with open(path, "rb") as stream:
            return stream.read(MAX_BYTES).decode("utf-8", errors="replace")
    except OSError:
        return ""


def lend(name: str, value: str, lender: str, user: str) -> Path:
    """Write a credential into a file that only `user` (`uid:gid`) can read, and return its path.

    `lender` names the folder, so that whoever comes back after a kill finds it and can take it away.
    """
    folder = _private_folder() / lender
    folder.mkdir(mode=0o700, exist_ok=True)
    path = files.write_text(folder / name, value, mode=0o400)
    uid, gid = map(int, user.split(":"))
    if uid != os.getuid():
        try:
            os.chown(path, uid, gid)
        except PermissionError:
            raise UsageError(
                "a credential cannot be given to another user", value=user, hint="leave out the setting user"
            ) from None
    return path


def take_back(lender: str) -> None:
    """Remove everything that was lent under a name."""
    shutil.rmtree(_private_folder() / lender, ignore_errors=True)


def _private_folder() -> Path:
    """Return a folder that only this user can enter, in memory where the machine has such a place."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    places = [Path(runtime)] if runtime else []
    usable = [place for place in (*places, MEMORY) if place.is_dir() and os.access(place, os.W_OK)]
    if not usable:
        files.make_folder(state_home())
    folder = (usable or [state_home()])[0] / f"deft-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise EnvironmentMissing("folder for credentials is not yours alone", value=folder, hint="remove it")
    return folder
