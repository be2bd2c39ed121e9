"""Meet every malicious file in a process of its own: `python malicious_children.py FOLDER`, a JSON line each.

This process has one thread and has imported everything, so a child costs milliseconds and its idle memory is
known. The file is written by a child as well: nothing that was needed to make it is there when it is read.
"""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from malicious_files import ALL, Malicious

from deft.errors import DeftError

SECONDS = 10
HEADROOM = 3 * 2**30  # a test that fails must not take the machine with it


def memory(field: str) -> int:
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    found = re.search(rf"{field}:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) * 1024


def in_child(work: Callable[[], None], seconds: int) -> bool:
    """Do some work in a forked child; say whether it ended well and in time."""
    child = os.fork()
    if child == 0:
        signal.alarm(seconds)
        try:
            work()
            os._exit(0)
        except BaseException as error:  # noqa: BLE001 - told by the exit code
            sys.stderr.write(f"{type(error).__name__}: {error}\n")
        os._exit(1)
    return os.waitpid(child, 0)[1] == 0


def read(malicious: Malicious, path: Path, answer: Path) -> None:
    """Read the file as `deft` would, and write down how that ended and what it took."""
    os.chdir(path.parent)
    resource.setrlimit(resource.RLIMIT_AS, (memory("VmSize") + HEADROOM,) * 2)
    idle, started = memory("VmRSS"), time.monotonic()
    try:
        malicious.read(path)
        ended = "was read"
    except DeftError as error:
        ended = f"refused: {error.message()}"
    except BaseException as error:  # noqa: BLE001 - anything else is what is looked for
        ended = f"uncaught {type(error).__name__}: {error}"[:500]
    record = {"ended": ended, "memory": memory("VmHWM") - idle, "seconds": time.monotonic() - started}
    answer.write_text(json.dumps(record), encoding="utf-8")


def meet(malicious: Malicious, folder: Path) -> dict[str, object]:
    """Write one file, read it under the caps, and return what came of it."""
    path, answer = folder / "data" / malicious.name, folder / "answer.json"
    path.parent.mkdir(parents=True)
    assert in_child(lambda: malicious.write(path), 60), malicious.what
    ended = in_child(lambda: read(malicious, path, answer), SECONDS)
    size = path.stat().st_size
    path.unlink()
    if not ended or not answer.is_file():
        return {"ended": f"did not end within {SECONDS} s", "memory": 0, "seconds": SECONDS, "size": size}
    return {**json.loads(answer.read_text(encoding="utf-8")), "size": size}


def main(folder: Path) -> None:
    for number, malicious in enumerate(ALL):
        found = meet(malicious, folder / f"{number:02d}")
        sys.stdout.write(json.dumps({"what": malicious.what, "name": malicious.name, **found}) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
