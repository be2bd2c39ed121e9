"""A real docker daemon for tests, in a folder of its own, and an image that stands for TAO's.

The daemon comes from Debian's packages (.ci/run installs them), makes no bridge and no firewall
rule, and is ended with its folder. The image holds the interpreter that runs the tests, with what gap
analysis needs, and nothing of it is bound from this machine.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from deft.platforms.embedded import die_with_parent

TESTS = Path(__file__).resolve().parent
SOURCE = TESTS.parent / "src"
PROGRAMS = ("dockerd", "docker", "containerd", "runc", "docker-init")
STORAGE = ("overlay2", "vfs")
START_SECONDS = 30.0
LEFT_OUT = shutil.ignore_patterns(
    *("__pycache__", "tests", "test", "include", "idlelib", "ensurepip", "turtledemo", "tkinter", "lib2to3"),
    *("site-packages", "dist-packages", "*flight*", "*.a", "*.pyx", "config-*", "*gdb*"),
)


class CannotStart(Exception):
    """No daemon can run here, and why."""


class Daemon:
    """A dockerd of one's own."""

    def __init__(self) -> None:
        absent = [name for name in PROGRAMS if shutil.which(name, path=_path()) is None]
        if absent or os.geteuid() != 0:
            raise CannotStart(f"dockerd needs root and {', '.join(absent) or 'the daemon'}")
        self.folder = Path(tempfile.mkdtemp(prefix="deft-dockerd-"))
        self.storage = ""
        self.process: subprocess.Popen[bytes] | None = None
        self.containerd = self._start_containerd()
        for self.storage in STORAGE:
            with contextlib.suppress(CannotStart):
                self.start()
                return
        said = (self.folder / "log").read_text(errors="replace").splitlines()[-3:]
        self.end()
        raise CannotStart("dockerd does not start here: " + " / ".join(said))

    @property
    def host(self) -> str:
        """Return what DOCKER_HOST must say."""
        return f"unix://{self.folder}/sock"

    def _start_containerd(self) -> subprocess.Popen[bytes]:
        """Start what holds the containers: as on a user's machine, it outlives the daemon."""
        place = self.folder / "containerd"
        place.mkdir()
        words = ["containerd", f"--root={place}/root", f"--state={place}/state", f"--address={place}/sock"]
        (place / "config.toml").write_text('disabled_plugins = ["io.containerd.grpc.v1.cri"]\n')
        with open(place / "log", "ab") as log:
            return subprocess.Popen(
                [*words, f"--config={place}/config.toml"],
                stdout=log,
                stderr=log,
                env={**os.environ, "PATH": _path()},
                start_new_session=True,
                preexec_fn=die_with_parent,
            )

    def start(self, *more: str) -> None:
        """Start the daemon and wait until it answers."""
        words = ["dockerd", "--iptables=false", "--bridge=none", f"--storage-driver={self.storage}"]
        words += [f"--data-root={self.folder}/data", f"--exec-root={self.folder}/exec"]
        words += [f"--pidfile={self.folder}/pid", f"--host={self.host}", *more]
        words += [f"--containerd={self.folder}/containerd/sock"]
        (self.folder / "pid").unlink(missing_ok=True)
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(
                words,
                stdout=log,
                stderr=log,
                env={**os.environ, "PATH": _path()},
                start_new_session=True,
                preexec_fn=die_with_parent,
            )
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            if self.ask("version", check=False).returncode == 0:
                return
            time.sleep(0.05)
        self._end_process()
        raise CannotStart("no answer")

    def ask(self, *words: str, check: bool = True, **more: object) -> subprocess.CompletedProcess[str]:
        """Run a docker command against this daemon."""
        return subprocess.run(
            ["docker", "--host", self.host, *words], capture_output=True, text=True, check=check, **more
        )

    def kill(self) -> None:
        """Kill the daemon alone; its containers live on until the next start."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def _end_process(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def end(self) -> None:
        """End the daemon, what it started, and its folder."""
        self._end_process()
        self.containerd.kill()
        self.containerd.wait()
        for pid in _pids_below(self.folder):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for mount in reversed(_mounts_below(self.folder)):
            subprocess.run(["umount", "--lazy", mount], capture_output=True, check=False)
        shutil.rmtree(self.folder, ignore_errors=True)

    def build(self, rootfs: Path) -> str:
        """Import a root file system as an image and return its id, `sha256:…`."""
        changes = ['ENTRYPOINT ["/usr/bin/python3", "-m", "fake_tao"]']
        paths = "PYTHONPATH=/image/packages:/image/source:/image/tests"
        changes += [f"ENV {paths} LD_LIBRARY_PATH=/image/lib PATH=/usr/bin:/bin PYTHONDONTWRITEBYTECODE=1"]
        options = [word for change in changes for word in ("--change", change)]
        with subprocess.Popen(["tar", "-C", str(rootfs), "-c", "."], stdout=subprocess.PIPE) as tar:
            imported = self.ask("import", *options, "-", "fake/tao:ci", stdin=tar.stdout)
        return imported.stdout.strip()


def _path() -> str:
    return os.environ["PATH"] + ":/usr/sbin:/sbin"


def _pids_below(folder: Path) -> Iterator[int]:
    """Yield the processes whose command line names the daemon's folder: containerd and its shims."""
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if str(folder).encode() in (entry / "cmdline").read_bytes():
                yield int(entry.name)


def _mounts_below(folder: Path) -> list[str]:
    lines = Path("/proc/self/mounts").read_text().splitlines()
    return [place for place in (line.split()[1] for line in lines) if place.startswith(f"{folder}/")]


# --- the image -------------------------------------------------------------------------------


def make_rootfs(root: Path) -> Path:
    """Make the image's files: the interpreter, what `fake_tao` imports, this package, and `test`."""
    packages = _copy_packages(root)
    libraries = root / "usr/lib" / Path(sysconfig.get_path("stdlib")).name
    shutil.copytree(sysconfig.get_path("stdlib"), libraries, ignore=LEFT_OUT)
    extensions = [*packages.rglob("*.so*"), *libraries.rglob("*.so")]
    shutil.copytree(SOURCE / "deft", root / "image/source/deft", ignore=shutil.ignore_patterns("__pycache__"))
    (root / "image/tests").mkdir(parents=True)
    for name in ("fake_tao.py", "stub_platform.py"):
        shutil.copy(TESTS / name, root / "image/tests" / name)
    (root / "usr/bin").mkdir(parents=True, exist_ok=True)
    python = Path(sys.executable).resolve()
    shutil.copy(python, root / "usr/bin/python3")
    shutil.copy(shutil.which("test") or "/usr/bin/test", root / "usr/bin/test")
    _copy_shared_objects([python, root / "usr/bin/test", *extensions], root)
    for name in ("tmp", "proc", "sys", "dev", "run", "etc"):
        (root / name).mkdir(exist_ok=True)
    return root


def _copy_packages(root: Path) -> Path:
    """Copy every package outside the standard library that the entry point imports."""
    code = "import fake_tao, sys; print('\\n'.join(m.__file__ for m in list(sys.modules.values()) "
    code += "if getattr(m, '__file__', None)))"
    paths = os.pathsep.join(map(str, (SOURCE, TESTS)))
    environment = {**os.environ, "PYTHONPATH": paths}
    command = [sys.executable, "-c", code]
    said = subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout
    site = Path(sysconfig.get_path("purelib"))
    files = [Path(line) for line in said.split("\n") if line.startswith(f"{site}/")]
    target = root / "image/packages"
    target.mkdir(parents=True)
    for name in sorted({path.relative_to(site).parts[0] for path in files}):
        for part in (name, f"{name}.libs"):
            _copy(site / part, target / part)
    return target


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=LEFT_OUT)
    elif source.is_file():
        shutil.copy(source, target)


def _copy_shared_objects(binaries: list[Path], root: Path) -> None:
    """Copy the system's libraries that binaries need, and the loader under its own path."""
    said = subprocess.run(["ldd", *map(str, binaries)], capture_output=True, text=True, check=False).stdout
    needed = {word for line in said.splitlines() for word in line.split() if word.startswith("/")}
    (root / "image/lib").mkdir(parents=True)
    for path in sorted(map(Path, needed)):
        if not path.is_file() or path.is_relative_to(root):
            continue
        loader = path.name.startswith("ld-linux")
        target = root / path.relative_to("/") if loader else root / "image/lib" / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path.resolve(), target)


# --- fixtures --------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon with the test image, for the session."""
    try:
        found = Daemon()
    except CannotStart as reason:
        pytest.skip(str(reason))
    try:
        found.image = found.build(make_rootfs(tmp_path_factory.mktemp("rootfs")))
        yield found
    finally:
        found.end()


@pytest.fixture
def docker_host(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> Iterator[Daemon]:
    """The session's daemon as the one that this test's platform uses; a failed test leaves none behind."""
    monkeypatch.setenv("DOCKER_HOST", daemon.host)
    yield daemon
    for name in daemon.ask("ps", "--all", "--quiet", check=False).stdout.split():
        daemon.ask("rm", "--force", "--volumes", name, check=False)
