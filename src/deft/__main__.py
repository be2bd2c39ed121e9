"""`python -m deft`: the same verbs as `bin/deft`."""

from __future__ import annotations

import sys

from deft.cli.main import main

sys.exit(main())
