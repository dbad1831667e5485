"""``spooftrace extract``: compute and store the cached streams of a system."""

from __future__ import annotations

import argparse
from pathlib import Path

from spooftrace.cli.options import add_config_option, add_job_options
from spooftrace.common.errors import InputError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``spooftrace extract``."""
    add_config_option(parser, "--data.cached '[whisper]'")
    parser.add_argument("--data", type=Path, nargs="+", required=True, metavar="DIR", help="data directories")
    parser.add_argument("--dump", type=Path, default=Path("dump"), help="where the streams are stored")
    add_job_options(parser)
    parser.add_argument("--ngpu", type=int, default=0, choices=(0, 1), help="1: compute on a GPU; 0: the CPU (default)")
    parser.add_argument(
        "--precision", choices=("fp32", "bf16", "fp16"),
        help="compute with fewer bits where the hardware can, much faster, not exact (default: fp32; if given, stored "
        "streams of another precision are refused)",
    )  # fmt: skip
    parser.add_argument("--compress", action="store_true", help="store numbers in 16 bits: half the size, not exact")
    parser.add_argument(
        "--batch-seconds", type=float, metavar="S",
        help="audio of a batch, padding included (default: 8 on a CPU, 160 on a GPU); changes numbers by rounding at "
        "most",
    )  # fmt: skip
    parser.add_argument(
        "--verify", action="store_true",
        help="compute nothing: decode the audio and read the features again, and name what has changed",
    )  # fmt: skip


def run(args: argparse.Namespace, overrides: list[str]) -> None:
    """``spooftrace extract``."""
    from spooftrace.common.journal import shard
    from spooftrace.config.loading import load_config

    shard((), args.job, args.num_jobs)  # a wrong job is an error before anything is loaded
    if args.batch_seconds is not None and not args.batch_seconds > 0:
        raise InputError(f"--batch-seconds {args.batch_seconds}: must be above 0")
    config = load_config(args.config, overrides)
    if args.verify:
        from spooftrace.extraction.verifying import verify

        verify(config, args.dump, args.data, args.job, args.num_jobs)
        return
    from spooftrace.extraction import extract_all

    extract_all(
        config, args.data, args.dump, args.job, args.num_jobs, args.collect,
        precision=args.precision, compress=args.compress, num_gpus=args.ngpu, batch_seconds=args.batch_seconds,
    )  # fmt: skip
