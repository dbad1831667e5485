#!/usr/bin/env python3
"""Draw what SASTNet's cross-modal transformers look at in a bona fide utterance and in its copy by a codec.

python3 local/attention.py exp/sastnet_vq_s1234 data/test_vq figures
python3 local/attention.py exp/sastnet_vq_s1234 data/test_vq figures p227_001 p227_001_DAC24
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from spooftrace.common.errors import InputError
from spooftrace.report.attention import report_attention


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("exp", type=Path, help="folder of a trained system")
    parser.add_argument("data", type=Path, help="data directory with both utterances")
    parser.add_argument("figures", type=Path, help="folder for EXP_attention.png and .tsv")
    parser.add_argument("pair", nargs="*", metavar="UTT", help="both utterances (default: the first pair by name)")
    args = parser.parse_args()
    if len(args.pair) not in (0, 2):
        parser.error("name a bona fide utterance and its copy, or none")
    try:
        print("\n".join(report_attention(args.exp, args.data, args.figures, args.pair or None)))
    except InputError as error:
        print(f"attention.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
