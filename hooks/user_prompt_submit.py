"""UserPromptSubmit: record the user's approval or refusal of the plan that waits in this session."""

import os
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "src"))

from deft.guard.conversation import user_prompt_submit  # noqa: E402
from deft.guard.events import MAX_BYTES, end  # noqa: E402

end(user_prompt_submit(sys.stdin.buffer.read(MAX_BYTES + 1), os.environ, ROOT))
