#!/usr/bin/env python3
"""Run a command, or many numbered tasks, on this machine with logs: utils/run.py --help."""

import sys
from pathlib import Path

# From the source tree, since this script has to work before anything is installed.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))

from spooftrace.jobs import local

if __name__ == "__main__":
    sys.exit(local.main(sys.argv[1:]))
