"""``spooftrace detect``: score audio files with a trained detector."""

from __future__ import annotations

import argparse

from spooftrace.cli.options import add_recording_options, scoring_overrides
from spooftrace.common.errors import display


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``spooftrace detect``."""
    add_recording_options(parser)


def run(args: argparse.Namespace, overrides: list[str]) -> int:
    """Print one line per file, its score and its name; return 1 if a file could not be used, else 0."""
    from spooftrace.inference.detect import detect

    policy = scoring_overrides(args, overrides)
    scores, failed = detect(args.exp, args.files, policy, args.ngpu, args.precision)
    for file, score in scores:
        print(f"{score:9.4f}  {display(file)}")
    return 1 if failed else 0
