"""``spooftrace status``: how far experiments are."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from spooftrace.common.errors import InputError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``spooftrace status``."""
    parser.add_argument(
        "exp", type=Path, nargs="*", default=[Path("exp")], help="experiments, or folders of experiments (exp)"
    )
    parser.add_argument(
        "--verify", action="store_true",
        help="read models, scores, metrics and the arks of --dump, and name those that changed since they were written",
    )  # fmt: skip
    parser.add_argument("--dump", type=Path, metavar="DIR", help="for --verify (default: dump/ beside exp/)")
    parser.add_argument("--watch", type=float, metavar="SECONDS", help="print again at this interval until interrupted")
    parser.epilog = "The time left is that of all epochs; a training with trainer.patience may end earlier."


def run(args: argparse.Namespace) -> None:
    """``spooftrace status``."""
    from spooftrace.report.status import table, verify_experiments

    if args.watch is not None and args.watch <= 0:
        raise InputError(f"--watch {args.watch:g}: must be above 0")
    if args.verify:
        verify_experiments(args.exp, args.dump)
    elif args.watch is None:
        print(table(args.exp))
    else:
        try:
            while True:
                print(f"\033[H\033[J{time.strftime('%F %T')}\n{table(args.exp)}", flush=True)
                time.sleep(args.watch)
        except KeyboardInterrupt:
            return
