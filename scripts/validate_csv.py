#!/usr/bin/env python3
"""Run `deft validate-csv` from any directory, without an installation."""

import os
import sys
from pathlib import Path

deft = str(Path(__file__).resolve().parents[1] / "bin" / "deft")
os.execv(deft, [deft, "validate-csv", *sys.argv[1:]])
