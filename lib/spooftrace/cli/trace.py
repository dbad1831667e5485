"""``spooftrace trace``: the kind of codec, or the codec parameters, of audio files."""

from __future__ import annotations

import argparse

from spooftrace.cli.options import add_recording_options, scoring_overrides
from spooftrace.common.errors import display
from spooftrace.common.text_table import text_table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``spooftrace trace``."""
    add_recording_options(parser)


def run(args: argparse.Namespace, overrides: list[str]) -> int:
    """Print one line per file; return 1 if a file could not be used, else 0."""
    from spooftrace.inference.trace import trace

    policy = scoring_overrides(args, overrides)
    traced = trace(args.exp, args.files, policy, args.ngpu, args.precision)
    if traced.files:
        rows = [(*row, display(file)) for row, file in zip(traced.rows, traced.files, strict=True)]
        print(text_table((*traced.header, "file"), rows, left=None, rule=False))
    return 1 if traced.failed else 0
