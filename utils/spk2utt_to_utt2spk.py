#!/usr/bin/env python3
"""Print utt2spk made from spk2utt: utils/spk2utt_to_utt2spk.py data/x/spk2utt > data/x/utt2spk."""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1] / "lib")

from spooftrace.cli.datadir import main  # noqa: E402 (after the path)

if __name__ == "__main__":
    sys.exit(main(["spk2utt-to-utt2spk", *sys.argv[1:]]))
