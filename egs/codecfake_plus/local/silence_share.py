#!/usr/bin/env python3
"""Does the F1 of source tracing follow the share of silence? A table, a figure and a correlation for each system.

python3 local/silence_share.py data/cosg_all exp figures
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from spooftrace.common.errors import InputError
from spooftrace.report.silence import report_silence


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="test set with utt2model; its copy without silence is beside it")
    parser.add_argument("exp", type=Path, help="folder of the evaluated experiments")
    parser.add_argument("figures", type=Path, help="folder for silence_share.{tsv,png} and silence_correlation.tsv")
    args = parser.parse_args()
    try:
        print("\n".join(report_silence(args.data, args.exp, args.figures)))
    except InputError as error:
        print(f"silence_share.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
