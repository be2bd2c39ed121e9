"""PostToolUse and PostToolUseFailure: name silent failures; check and package reports."""

import os
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "src"))

from deft.guard.conversation import post_tool_use  # noqa: E402
from deft.guard.events import MAX_BYTES, end  # noqa: E402

end(post_tool_use(sys.stdin.buffer.read(MAX_BYTES + 1), os.environ, ROOT))
