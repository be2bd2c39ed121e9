"""PreToolUse: let a tool call pass without a word, or refuse it with the command to use instead."""

import os
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "src"))
try:
    from deft.guard.events import MAX_BYTES, end
    from deft.guard.gatekeeper import pre_tool_use

    end(pre_tool_use(sys.stdin.buffer.read(MAX_BYTES + 1), os.environ, ROOT))
except Exception as fault:  # noqa: BLE001 - where any session is guarded, a gate that cannot start stays shut
    home = os.environ.get("XDG_STATE_HOME") or os.path.join(os.path.expanduser("~"), ".local", "state")
    if any(os.path.lexists(os.path.join(home, "deft", name)) for name in ("engaged", "sessions")):
        sys.stderr.write("deft gate: it cannot start ({!r})".format(fault)[:500])
        sys.exit(2)
