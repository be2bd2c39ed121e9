"""SessionStart: export the plugin's folder and the session's id; say in two lines what is at hand."""

import os
import sys
from pathlib import Path

PLUGIN_ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PLUGIN_ROOT / "src"))

from deft.guard.session import MAX_BYTES, exports, notice, parse_payload  # noqa: E402

payload = parse_payload(sys.stdin.buffer.read(MAX_BYTES))
if os.environ.get("CLAUDE_ENV_FILE"):
    with open(os.environ["CLAUDE_ENV_FILE"], "a", encoding="utf-8") as stream:
        stream.write(exports(payload, PLUGIN_ROOT))
text = notice(payload, os.environ)
if text:
    print(text)
