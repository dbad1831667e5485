"""``spooftrace durations``: decode every audio file of data directories and write ``utt2dur``."""

from __future__ import annotations

import argparse
from pathlib import Path

from spooftrace.cli.options import add_job_options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``spooftrace durations``."""
    parser.add_argument("--data", type=Path, nargs="+", required=True, metavar="DIR", help="data directories")
    add_job_options(parser)
    parser.add_argument(
        "--on-bad-audio", choices=("fail", "skip"), default="fail",
        help="fail (default): name the files and stop; skip: list them in DIR/bad_audio.txt and, with --collect, take "
        "their utterances out of the data directory",
    )  # fmt: skip


def run(args: argparse.Namespace) -> None:
    """``spooftrace durations``."""
    from spooftrace.derive.durations import measure

    measure(args.data, args.job, args.num_jobs, args.collect, skip=args.on_bad_audio == "skip")
