"""A real Slurm of two nodes on this machine, started and ended by its tests; every daemon is theirs alone."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

CONFIGURATION = Path(__file__).parent / "platforms" / "two_nodes.conf"
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel", "scontrol", "sinfo")
NODES = ("n1", "n2")


def wait_until(condition: Callable[[], object], what: str, seconds: float = 180.0) -> None:
    """Wait for something to become true; name it when it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds:.0f} s in vain: {what}")
        time.sleep(0.05)


def why_not() -> str | None:
    """Return why no cluster can be started here, None where one can."""
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing:
        return f"not installed: {', '.join(missing)} (packages slurm-wlm, munge)"
    return None if os.getuid() == 0 else "slurmd wants to be root"


class SlurmCluster:
    """Two nodes and a controller in one folder; `environment` points the commands of Slurm to them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.configuration = folder / "slurm.conf"
        for name in ("state", "log", "munge"):
            (folder / name).mkdir(parents=True)
        ports = _free_ports(3)
        text = CONFIGURATION.read_text(encoding="utf-8")
        host = socket.gethostname().partition(".")[0]
        places = ("@HOST@", "@DIR@", "@CONTROLLER_PORT@", "@FIRST_PORT@", "@SECOND_PORT@")
        for place, value in zip(places, (host, str(folder), *map(str, ports)), strict=True):
            text = text.replace(place, value)
        self.configuration.write_text(text, encoding="utf-8")

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "SLURM_CONF": str(self.configuration)}

    def start(self) -> None:
        """Start everything and wait for two idle nodes."""
        self._start_munge()
        self.start_controller()
        for node in NODES:
            self.start_node(node)
        self.wait_for_nodes()

    def wait_for_nodes(self) -> None:
        """Wait until both nodes are idle; one that is down or drained is called back."""

        def idle() -> bool:
            states = self.say("sinfo", "--noheader", "--Node", "--partition=cpu", "--format=%N %T").split(
                "\n"
            )
            found = dict(line.split() for line in states if line)
            for node, state in found.items():
                if state.startswith(("down", "drain")):
                    self.say("scontrol", "update", f"nodename={node}", "state=resume")
            return [found.get(node) for node in NODES] == ["idle", "idle"]

        wait_until(idle, f"two idle nodes; read {self.folder / 'log'}")

    def say(self, *words: str) -> str:
        """Return what a command of Slurm prints; a controller that is away says nothing."""
        done = subprocess.run(words, env=self.environment, capture_output=True, text=True, check=False)
        return done.stdout

    def start_controller(self) -> None:
        self._run("slurmctld", "-f", str(self.configuration))
        wait_until(lambda: "UP" in self.say("scontrol", "ping"), "the controller answers")

    def kill_controller(self) -> None:
        """End the controller with -9 and wait for it to be gone."""
        _end(self._pid("slurmctld.pid"), signal.SIGKILL)
        _end_all(self._processes("slurmscriptd"), signal.SIGKILL)

    def start_node(self, node: str) -> None:
        (self.folder / f"spool.{node}").mkdir(exist_ok=True)
        self._run("slurmd", "-f", str(self.configuration), "-N", node)

    def kill_node(self, node: str) -> None:
        """End a node's daemon and the daemons of its jobs with -9; what the jobs started goes on."""
        _end(self._pid(f"slurmd.{node}.pid"), signal.SIGKILL)
        _end_all(self._processes("slurmstepd"), signal.SIGKILL)

    def stop(self) -> None:
        """End every daemon that was started here, and what their jobs have left."""
        for name in ("slurmctld.pid", *(f"slurmd.{node}.pid" for node in NODES), "munge/pid"):
            _end(self._pid(name), signal.SIGTERM)
        for name in ("slurmstepd", "slurmscriptd", "slurmctld", "slurmd"):
            _end_all(self._processes(name), signal.SIGKILL)
        _end_all(self._scripts(), signal.SIGKILL)

    # --- below ---------------------------------------------------------------------------------

    def _start_munge(self) -> None:
        folder = self.folder / "munge"
        key = folder / "key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o400)
        places = {"socket": "socket", "key-file": "key", "pid-file": "pid", "log-file": "log"}
        words = [f"--{name}={folder / place}" for name, place in places.items()]
        self._run("munged", "--force", f"--seed-file={folder / 'seed'}", *words)

    def _run(self, *words: str) -> None:
        with open(self.folder / "log" / "started.txt", "ab") as log:
            subprocess.run(words, env=self.environment, stdout=log, stderr=log, check=True, timeout=60)

    def _pid(self, name: str) -> int | None:
        try:
            return int((self.folder / name).read_text())
        except (OSError, ValueError):
            return None

    def _processes(self, name: str) -> list[int]:
        """Return the daemons of this name that work in this cluster's folders."""
        return [pid for pid, words, place in _all() if name in words and str(self.folder) in place + words]

    def _scripts(self) -> list[int]:
        return [pid for pid, words, _ in _all() if str(self.folder) in words]


def _all() -> Iterator[tuple[int, str, str]]:
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
            yield int(process.name), words, os.readlink(process / "cwd")
        except OSError:
            continue


def _end(pid: int | None, number: signal.Signals) -> None:
    if pid is None:
        return
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
    wait_until(lambda: _is_gone(pid), f"process {pid} has ended", 20)


def _end_all(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        _end(pid, number)


def _is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            with closing(each):
                pass
