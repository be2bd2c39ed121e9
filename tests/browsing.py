"""Open a page in a real browser and see what it did: a fixture for whoever names it one."""

from __future__ import annotations

import http.server
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

CHROMIUM = Path("/usr/bin/chromium")


def browser(tmp_path: Path) -> Iterator[Callable[[Path], tuple[str, list[str], list[str]]]]:
    """Open a page in headless Chromium; returns the document, its console lines, and what it asked for."""
    if not CHROMIUM.is_file():
        pytest.skip("chromium is not installed")
    asked: list[str] = []

    class Proxy(http.server.BaseHTTPRequestHandler):
        """Where every request of the browser goes: none is answered, each is remembered."""

        def handle_any(self) -> None:
            asked.append(f"{self.command} {self.path}")
            self.send_error(502)

        do_GET = do_POST = do_CONNECT = do_HEAD = do_OPTIONS = handle_any

        def log_message(self, *words: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def visit(path: Path) -> tuple[str, list[str], list[str]]:
        asked.clear()
        words = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-sync"
        done = subprocess.run(
            [
                *(CHROMIUM, *words.split(), "--disable-background-networking", "--disable-component-update"),
                *("--no-pings", "--disable-domain-reliability", "--disable-default-apps"),
                *(
                    f"--user-data-dir={tmp_path / 'profile'}",
                    f"--proxy-server=127.0.0.1:{server.server_port}",
                ),
                *("--enable-logging=stderr", "--virtual-time-budget=3000", "--dump-dom", path.as_uri()),
            ],
            env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            timeout=300,
            check=True,
        )
        console = [line for line in done.stderr.splitlines() if ":CONSOLE" in line]
        return done.stdout, console, [line for line in asked if "google" not in line]

    yield visit
    server.shutdown()
    server.server_close()
