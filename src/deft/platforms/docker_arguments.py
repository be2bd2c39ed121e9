"""A container as data and its `docker create` words: nothing gets onto the command line but what stands here.

Every option is one word, `--name=value`, so no value can become a flag; paths travel in `--mount`, whose
fields are quoted as the docker client reads them (RFC 4180).
"""

from __future__ import annotations

import re
import stat
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from deft.errors import InputRefused, UsageError
from deft.platforms.containers import Image

WORK = Path("/deft")
SPEC = WORK / "experiment_specs" / "spec.yaml"
SECRETS = Path("/run/deft-secrets")
NAME = re.compile(r"[^A-Za-z0-9_.-]")
ENVIRONMENT = {
    "HOME": "/tmp",
    "USER": "deft",
    "XDG_CACHE_HOME": "/tmp/cache",
    "HF_HOME": "/tmp/huggingface",
    "TORCH_HOME": "/tmp/torch",
    "TORCHINDUCTOR_CACHE_DIR": "/tmp/inductor",
    "TRITON_CACHE_DIR": "/tmp/triton",
    "NUMBA_CACHE_DIR": "/tmp/numba",
    "CUDA_CACHE_PATH": "/tmp/cuda",
    "MPLCONFIGDIR": "/tmp/matplotlib",
    "PYTHONUNBUFFERED": "1",
}
OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
SYSTEM = tuple(map(Path, ("/proc", "/sys", "/dev", "/run", "/var/run", "/etc", "/boot")))
WHOLE = tuple(map(Path, ("/tmp", "/var", "/usr", "/bin", "/sbin", "/lib", "/lib64", "/opt", "/deft")))


@dataclass(frozen=True)
class Limits:
    """What a container may use, as the user's settings say it."""

    user: str
    shm_size: str = "8g"
    tmp_size: str = "16g"
    memory: str | None = None
    pids: int = 4096


@dataclass(frozen=True)
class Mount:
    """A folder or file of this machine and where the container sees it; read-only unless said otherwise."""

    source: Path
    target: Path
    writable: bool = False

    def option(self) -> str:
        """Return the value of `--mount`."""
        fields = ["type=bind", f"source={self.source}", f"target={self.target}"]
        return ",".join(map(_quoted, fields if self.writable else [*fields, "readonly"]))


@dataclass(frozen=True)
class Container:
    """One container: what runs in it and all it is allowed."""

    name: str
    image: Image
    words: Sequence[str]
    mounts: Sequence[Mount]
    limits: Limits
    labels: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, Path] = field(default_factory=dict)
    gpus: int = 0
    network: str = "none"
    entrypoint: str | None = None

    def options(self) -> list[str]:
        """Return the words of `docker create` or `docker run` up to the image's command."""
        environment = {**ENVIRONMENT, **(OFFLINE if self.network == "none" else {}), **self._secret_names()}
        return [
            f"--name={self.name}",
            "--pull=never",
            "--init",
            *self._walls(),
            *self._room(),
            *(f"--label={key}={value}" for key, value in sorted(self.labels.items())),
            *(f"--env={key}={value}" for key, value in sorted(environment.items())),
            *(f"--mount={mount.option()}" for mount in [*self.mounts, *self._secret_mounts()]),
            *([f"--gpus={self.gpus}"] if self.gpus else []),
            *([f"--entrypoint={self.entrypoint}"] if self.entrypoint else []),
            self.image.reference,
            *self.words,
        ]

    def _walls(self) -> list[str]:
        return [
            f"--user={self.limits.user}",
            "--cap-drop=ALL",
            "--security-opt=no-new-privileges",
            "--read-only",
            f"--network={self.network}",
            "--ipc=private",
        ]

    def _room(self) -> list[str]:
        return [
            f"--tmpfs=/tmp:rw,exec,nosuid,nodev,mode=1777,size={self.limits.tmp_size}",
            f"--tmpfs={WORK}:rw,noexec,nosuid,nodev,mode=1777,size=64m",
            f"--workdir={WORK}",
            f"--shm-size={self.limits.shm_size}",
            f"--pids-limit={self.limits.pids}",
            *([f"--memory={self.limits.memory}"] if self.limits.memory else []),
            "--log-driver=json-file",
        ]

    def _secret_mounts(self) -> list[Mount]:
        return [Mount(path, SECRETS / name) for name, path in sorted(self.secrets.items())]

    def _secret_names(self) -> dict[str, str]:
        """Return the variables that name the files; the hub's library reads HF_TOKEN_PATH."""
        return {
            f"{name}_{ending}": str(SECRETS / name) for name in self.secrets for ending in ("FILE", "PATH")
        }


def _quoted(text: str) -> str:
    """Quote a field of a comma-separated value where it needs it."""
    return '"' + text.replace('"', '""') + '"' if '"' in text or "," in text else text


def container_name(*parts: object, digest: str) -> str:
    """Return a name that docker takes, ending in 12 digits of a hash."""
    words = "-".join(NAME.sub("-", str(part)) for part in parts if str(part))
    return f"deft-{words}"[:180] + f"-{digest[:12]}"


# --- mounts ----------------------------------------------------------------------------------


def mounts_for(reads: Iterable[Path], writes: Path) -> list[Mount]:
    """Return same-path mounts: what is read, read-only and each folder once, and the one place for results.

    Raises InputRefused for a path that must not enter a container, and for one with a control character.
    """
    mounts: list[Mount] = []
    for path in sorted({path.absolute() for path in reads}, key=_outer_first):
        mounts += _mounts_of(path, mounts)
    writes = writes.absolute()
    spelled = [mount for mount in _mounts_of(writes, []) if mount.target != writes.resolve()]
    hidden = not any(writes.is_relative_to(mount.target) for mount in mounts)
    targets = [writes.resolve(), *(mount.target for mount in spelled if hidden)]
    return [*mounts, *(Mount(writes.resolve(), target, writable=True) for target in targets)]


def _outer_first(path: Path) -> tuple[int, str]:
    return len(path.parts), str(path)


def _mounts_of(path: Path, already: list[Mount]) -> list[Mount]:
    """Return a path under its real name and, where nothing mounted shows it, under the spelled one."""
    require_mountable(path)
    real = path.resolve()
    require_mountable(real)
    seen = [mount.target for mount in already]
    wanted = [target for target in dict.fromkeys((real, path)) if not _is_below(target, seen)]
    return [Mount(real, target) for target in wanted]


def _is_below(path: Path, folders: list[Path]) -> bool:
    return any(path.is_relative_to(folder) for folder in folders)


def require_mountable(path: Path) -> None:
    """Refuse the root, a home folder or what holds it, the system's own folders, and sockets."""
    text = str(path)
    if any(ord(letter) < 32 or ord(letter) == 127 for letter in text):
        raise InputRefused("path holds a control character and cannot enter a container", value=repr(text))
    if Path.home().resolve().is_relative_to(path.resolve()):
        raise _not_mounted(path, "it is or holds a home folder")
    if path in WHOLE or _is_below(path, list(SYSTEM)) or any(place.is_relative_to(path) for place in SYSTEM):
        raise _not_mounted(path, "it belongs to the system")
    if path.exists() and stat.S_ISSOCK(path.stat().st_mode):
        raise _not_mounted(path, "it is a socket")


def _not_mounted(path: Path, reason: str) -> InputRefused:
    return InputRefused(
        f"path is not given to a container: {reason}",
        value=path,
        hint="keep the data in a folder of its own, such as ~/workspace",
    )


# --- settings --------------------------------------------------------------------------------

SIZE = re.compile(r"[1-9]\d{0,6}[kmg]")
PATTERNS = {
    "shm_size": SIZE,
    "tmp_size": SIZE,
    "memory": SIZE,
    "user": re.compile(r"\d{1,10}:\d{1,10}"),
    "network": re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,100}"),
    "gap_analysis": re.compile(r"host|container"),
    "pids_limit": re.compile(r"[1-9]\d{0,6}"),
    "time_limit_minutes": re.compile(r"[1-9]\d{0,6}"),
    "gpus": re.compile(r"\d{1,3}"),
}
EXAMPLES = {
    "shm_size": "16g",
    "tmp_size": "16g",
    "memory": "48g",
    "user": '"1000:1000"',
    "network": "bridge",
    "gap_analysis": "host or container",
    "pids_limit": "4096",
    "time_limit_minutes": "720",
    "gpus": "0",
}


def require_settings(settings: Mapping[str, object]) -> None:
    """Refuse a setting whose value is not of its form, by name and with an example."""
    for name, pattern in PATTERNS.items():
        value = settings.get(name)
        if value is None:
            continue
        if isinstance(value, bool) or not pattern.fullmatch(str(value)):
            hint = f"{name}: {EXAMPLES[name]}"
            raise UsageError(f"setting {name} of platform docker does not parse", value=value, hint=hint)


def limits_from(settings: Mapping[str, object], user: str) -> Limits:
    """Return the limits that the settings say, with the calling user unless they name another."""
    memory = settings.get("memory")
    return Limits(
        user=str(settings.get("user") or user),
        shm_size=str(settings.get("shm_size") or Limits.shm_size),
        tmp_size=str(settings.get("tmp_size") or Limits.tmp_size),
        memory=str(memory) if memory else None,
        pids=int(str(settings.get("pids_limit") or Limits.pids)),
    )
