"""``spooftrace trim``: copies of data directories without silence."""

from __future__ import annotations

import argparse
from pathlib import Path

from spooftrace.cli.options import add_job_options

METHODS = ("webrtc", "energy")  # as in spooftrace.audio.silence, which imports numpy


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``spooftrace trim``."""
    parser.add_argument("--data", type=Path, nargs="+", required=True, metavar="DIR", help="data directories")
    parser.add_argument(
        "--out-suffix", default="trim", metavar="TEXT", help="the copy of data/eval is data/eval_TEXT (default: trim)"
    )
    parser.add_argument(
        "--method", choices=METHODS, default="webrtc",
        help="webrtc (default): WebRTC's detector, 30 ms, aggressiveness 3, as for SASTNet; "
        "energy: silence is 40 dB or more below the loudest frame",
    )  # fmt: skip
    parser.add_argument(
        "--remove", choices=("all", "ends"), default="all",
        help="all (default): pauses, too, as for SASTNet; ends: silence before and after the utterance only",
    )  # fmt: skip
    add_job_options(parser)


def run(args: argparse.Namespace) -> None:
    """``spooftrace trim``."""
    from spooftrace.derive.trim import trim

    settings = {"method": args.method, "remove": args.remove}
    trim(args.data, args.out_suffix, settings, args.job, args.num_jobs, args.collect)
