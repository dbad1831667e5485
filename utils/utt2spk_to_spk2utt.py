#!/usr/bin/env python3
"""Print spk2utt made from utt2spk: utils/utt2spk_to_spk2utt.py data/x/utt2spk > data/x/spk2utt."""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1] / "lib")

from spooftrace.cli.datadir import main  # noqa: E402 (after the path)

if __name__ == "__main__":
    sys.exit(main(["utt2spk-to-spk2utt", *sys.argv[1:]]))
