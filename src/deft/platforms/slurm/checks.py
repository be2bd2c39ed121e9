"""Look at a cluster before the gate: questions only, nothing is submitted.

That a node can write to the workspace is proven by the first act of the first job; here only what can be
known without one.
"""

from __future__ import annotations

import getpass
import os
import re
import shutil
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from deft.errors import DeftError
from deft.platforms.base import Check
from deft.platforms.containers import IMAGES, image_of, spec_checks
from deft.platforms.slurm.cluster import ControllerSilent, ask
from deft.platforms.slurm.settings import PYXIS, SlurmSettings, seconds_of
from deft.workspace.layout import Workspace

COMMANDS = ("sbatch", "squeue", "scancel", "scontrol")
SHARED_KINDS = {
    "9p",
    "afs",
    "beegfs",
    "ceph",
    "cifs",
    "cvmfs",
    "fhgfs",
    "glusterfs",
    "gpfs",
    "lustre",
    "nfs",
    "nfs4",
    "orangefs",
    "panfs",
    "pvfs2",
    "smb3",
    "virtiofs",
    "wekafs",
}
WHERE = "section slurm of specs/platforms.yaml"
Facts = dict[str, str]


def slurm_checks(workspace: Path, settings: SlurmSettings, images: Mapping[str, Any]) -> list[Check]:
    """Return one check a fact; where the commands are missing or silent, nothing more is asked."""
    missing = [name for name in COMMANDS if shutil.which(name) is None]
    if missing:
        cure = "run deft on a submission host of the cluster, or take another platform"
        return [Check("slurm commands", False, f"not on the PATH: {', '.join(missing)}", cure)]
    try:
        ask("squeue", "--noheader", "--states=running", "--format=%i")
        partitions = [facts_of(line) for line in ask("scontrol", "show", "partition", "-o").splitlines()]
        hosts = {
            facts_of(line)["NodeHostName"] for line in ask("scontrol", "show", "node", "-o").splitlines()
        }
    except (ControllerSilent, KeyError) as error:
        cure = "ask whoever runs the cluster; `scontrol ping` shows when it is back"
        return [Check("slurm controller", False, f"does not answer: {error}", cure)]
    return [
        Check("slurm controller", True, "answers"),
        *partition_checks(partitions, settings),
        account_check(settings),
        file_system_check(workspace, hosts, settings),
        *(_pyxis_checks(workspace, images) if settings.engine == PYXIS else []),
    ]


def facts_of(line: str) -> Facts:
    """Return the `Name=value` words of one line of scontrol."""
    return dict(word.split("=", 1) for word in line.split() if "=" in word)


def partition_checks(partitions: list[Facts], settings: SlurmSettings) -> Iterator[Check]:
    """Yield whether the partition is there and up, and whether the time limit fits into it."""
    names = ", ".join(sorted(facts.get("PartitionName", "") for facts in partitions)) or "none"
    wanted = settings.partition
    found = next((facts for facts in partitions if _is_meant(facts, wanted)), None)
    if found is None:
        detail = f"no partition {wanted}" if wanted else "no default partition"
        yield Check("partition", False, f"{detail}; there are {names}", f"set partition in {WHERE}")
        return
    name, state = found["PartitionName"], found.get("State", "UP")
    yield Check(
        "partition", state == "UP", f"{name} is {state}", f"set another partition in {WHERE}: {names}"
    )
    yield _time_check(found, settings)


def _is_meant(facts: Facts, wanted: str | None) -> bool:
    if wanted is None:
        return facts.get("Default") == "YES"
    return facts.get("PartitionName") in wanted.split(",")


def _time_check(partition: Facts, settings: SlurmSettings) -> Check:
    most = seconds_of(partition.get("MaxTime", "")) if partition.get("MaxTime") else None
    given = seconds_of(settings.time_limit) if settings.time_limit else None
    if given is None:
        limit = partition.get("DefaultTime", "NONE").replace("NONE", partition.get("MaxTime", "UNLIMITED"))
        return Check("time limit", True, f"none given: the partition's own, {limit}")
    fits = most is None or given <= most
    detail = f"{settings.time_limit} of at most {partition.get('MaxTime', 'UNLIMITED')}"
    return Check("time limit", fits, detail, f"lower time_limit in {WHERE}, or name another partition")


def account_check(settings: SlurmSettings) -> Check:
    """Return whether an account is given where the cluster demands one and knows no default."""
    if settings.account:
        return Check("account", True, settings.account)
    configuration = _answer("scontrol", "show", "config")
    enforced = re.search(r"^AccountingStorageEnforce\s*=\s*(\S+)", configuration, re.MULTILINE)
    if enforced is None or "associations" not in enforced[1]:
        return Check("account", True, "none given, none demanded")
    user = getpass.getuser()
    default = _answer("sacctmgr", "-n", "-P", "show", "user", user, "format=defaultaccount").strip()
    detail = f"your default, {default}" if default else "none given, and you have no default account"
    return Check("account", bool(default), detail, f"set account in {WHERE}: sacctmgr show assoc user={user}")


def _answer(*words: str) -> str:
    try:
        return ask(*words)
    except (ControllerSilent, DeftError):
        return ""


def file_system_check(workspace: Path, hosts: set[str], settings: SlurmSettings) -> Check:
    """Return whether the nodes can see the workspace, as far as the kind of its file system tells."""
    kind = kind_of_file_system(workspace)
    if hosts <= {socket.gethostname(), socket.gethostname().partition(".")[0], "localhost"}:
        return Check("shared file system", True, "all nodes are this machine")
    if kind in SHARED_KINDS or kind.startswith("fuse."):
        return Check("shared file system", True, f"{kind}; the first job proves that its node can write")
    if settings.shared_filesystem:
        return Check("shared file system", True, f"{kind}, but you say that the nodes share it")
    cure = f"move the workspace, or set shared_filesystem: true in {WHERE} if the nodes mount this folder"
    return Check("shared file system", False, f"the workspace lies on {kind}, a disk of this machine", cure)


def kind_of_file_system(path: Path, table: Path = Path("/proc/self/mountinfo")) -> str:
    """Return the kernel's name of the file system that holds a path: `nfs4`, `ext4`, ..."""
    best, kind = "", "unknown"
    real = os.path.realpath(path)
    for line in table.read_text(encoding="utf-8", errors="replace").splitlines():
        mount, _, device = line.partition(" - ")
        words = mount.split()
        point = words[4].encode("ascii", "replace").decode("unicode_escape") if len(words) > 4 else ""
        if point and (real == point or real.startswith(point.rstrip("/") + "/")) and len(point) >= len(best):
            best, kind = point, device.split()[0] if device.split() else "unknown"
    return kind


def _pyxis_checks(workspace: Path, images: Mapping[str, Any]) -> Iterator[Check]:
    has_flag = "--container-image" in _answer("srun", "--help")
    detail = "srun knows --container-image" if has_flag else "srun does not know --container-image"
    yield Check(
        "pyxis",
        has_flag,
        detail,
        f"ask for pyxis and enroot on the cluster, or set engine: embedded in {WHERE}",
    )
    for category, (setting, _) in IMAGES.items():
        if category == "gap_analysis":
            continue
        try:
            yield Check(setting, True, image_of(category, images).reference)
        except DeftError as error:
            yield Check(setting, False, error.fact, error.hint)
    yield from spec_checks(Workspace(workspace).baseline_spec)
    yield _registry_check()


def _registry_check() -> Check:
    """Look for the file that enroot reads keys from, by name: its content is never read."""
    home = Path(os.environ.get("ENROOT_CONFIG_PATH") or Path.home() / ".config" / "enroot")
    found = (home / ".credentials").is_file()
    cure = "write `machine REGISTRY login $oauthtoken password KEY` into it on the shared home (mode 0600)"
    return Check("registry key", found, str(home / ".credentials") if found else "enroot has no key", cure)
