#!/usr/bin/env python3
"""Split a table: utils/split_scp.py [--utt2spk=FILE] IN OUT1 ... OUTN, or -j N I [--one-based] IN [OUT]."""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1] / "lib")

from spooftrace.cli.datadir import main  # noqa: E402 (after the path)

if __name__ == "__main__":
    sys.exit(main(["split-scp", *sys.argv[1:]]))
