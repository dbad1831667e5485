"""``spooftrace summary``: parameters and multiplications of a system, part by part."""

from __future__ import annotations

import argparse

from spooftrace.cli.options import add_config_option
from spooftrace.common.errors import InputError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``spooftrace summary``."""
    add_config_option(parser, "--backend.init_args.dilation 1")
    parser.add_argument("--seconds", type=float, default=4.0, help="length of the audio that is counted (default: 4)")


def run(args: argparse.Namespace, overrides: list[str]) -> None:
    """``spooftrace summary``: print a table."""
    from spooftrace.config.loading import load_config
    from spooftrace.system.summary import summarize, table

    if args.seconds <= 0:
        raise InputError(f"--seconds {args.seconds:g}: must be above 0")
    for line in table(summarize(load_config(args.config, overrides), args.seconds), args.seconds):
        print(line)
