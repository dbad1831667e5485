"""``spooftrace report``: the metrics of all experiments -> RESULTS.md and figures."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``spooftrace report``."""
    parser.add_argument("--exp", type=Path, required=True, help="folder of the experiments")
    parser.add_argument("--out", type=Path, required=True, help="Markdown file to write, e.g. RESULTS.md")
    parser.add_argument("--figures", type=Path, required=True, help="folder for the figures")
    parser.add_argument("--title", help="heading of the page (Results)")
    parser.add_argument("--published", type=Path, help="published results to print beside ours, conf/published.tsv")


def run(args: argparse.Namespace) -> None:
    """``spooftrace report``."""
    from spooftrace.report.results import TITLE, write_results

    write_results(args.exp, args.out, args.figures, TITLE if args.title is None else args.title, args.published)
