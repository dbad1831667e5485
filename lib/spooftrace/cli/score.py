"""``spooftrace score``: score data directories with a trained system."""

from __future__ import annotations

import argparse
from pathlib import Path

from spooftrace.cli.options import add_job_options, add_scoring_options, scoring_overrides


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``spooftrace score``."""
    parser.add_argument("--exp", type=Path, required=True, help="folder of a trained system")
    parser.add_argument("--data", type=Path, nargs="+", required=True, metavar="DIR", help="data directories to score")
    parser.add_argument("--out", type=Path, help="folder for <set>/scores.txt; default: the experiment's")
    parser.add_argument("--dump", type=Path, default=Path("dump"), help="where stage 3 stored cached streams")
    parser.add_argument("--embeddings", action="store_true", help="also write a vector for each utterance")
    add_job_options(parser)
    add_scoring_options(parser)


def run(args: argparse.Namespace, overrides: list[str]) -> None:
    """``spooftrace score``."""
    from spooftrace.common.journal import shard
    from spooftrace.scoring import Scoring, score_all

    shard((), args.job, args.num_jobs)  # a wrong job is an error before anything is loaded
    policy = scoring_overrides(args, overrides)

    def load() -> Scoring:
        return Scoring(args.exp, args.dump, policy, args.ngpu, args.precision, args.embeddings)

    score_all(load, args.data, args.out or args.exp, args.job, args.num_jobs, args.collect)
