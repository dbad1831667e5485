#!/usr/bin/env python3
"""Options, experiments and jobs of a run.sh: utils/experiments.py --help. Called by utils/recipe.sh."""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1] / "lib")

from spooftrace.cli.experiments import main  # noqa: E402 (after the path)

if __name__ == "__main__":
    sys.exit(main())
