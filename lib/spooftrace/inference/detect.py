"""Score single audio files with a trained detector: ``spooftrace detect --exp exp/aasist_s1234 call.wav``."""

from __future__ import annotations

import argparse

from spooftrace.common.errors import InputError, display
from spooftrace.inference.recordings import add_arguments, read_task, score_recordings
from spooftrace.scoring import policy

__all__ = ["add_arguments", "run"]


def run(args: argparse.Namespace, overrides: list[str]) -> int:
    """``spooftrace detect``: one line a file, its score and its name.

    The scores are those of stage 3 to 5 on a data directory with these files: higher is more bona fide. The threshold
    in ``metrics.json`` of a test set is only as good as that set resembles the files. Returns 1 if a file could not be
    used, else 0.
    """
    words = policy(args, overrides)
    if not read_task(args.exp).detects:
        raise InputError(f"{args.exp}: does not tell bona fide speech from spoofs; spooftrace trace says what it finds")
    results = score_recordings("spooftrace detect", args, words)
    for line, file in zip(results.tables.get("scores.txt", ()), results.files, strict=True):
        print(f"{float(line.split()[1]):9.4f}  {display(file)}")
    return 1 if results.failed else 0
