"""Stop: check and package the session's reports again; remind once of a run with work left."""

import os
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "src"))

from deft.guard.conversation import stop  # noqa: E402
from deft.guard.events import MAX_BYTES, end  # noqa: E402

end(stop(sys.stdin.buffer.read(MAX_BYTES + 1), os.environ, ROOT))
