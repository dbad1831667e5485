#!/usr/bin/env python3
"""Draw how a trained HYDRA weighs its subspaces and where codecs lie in its balls.

utils/draw_balls.py exp/hydra_xvector_s1234 data/eval_parse figures --dump dump/xvector
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from spooftrace.common.errors import InputError
from spooftrace.report.balls import report_balls


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("exp", type=Path, help="folder of a trained system")
    parser.add_argument("data", type=Path, help="data directory with utt2codec")
    parser.add_argument("figures", type=Path, help="folder for the figures")
    parser.add_argument("--dump", type=Path, default=Path("dump"), help="where stage 3 stored the vectors")
    args = parser.parse_args()
    try:
        print("\n".join(report_balls(args.exp, args.data, args.figures, args.dump)))
    except InputError as error:
        print(f"draw_balls.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
