"""``spooftrace audit``: does silence, level, band ... alone tell the classes of a corpus apart?"""

from __future__ import annotations

import argparse
from pathlib import Path

LABELS = ("utt2label", "utt2vq", "utt2aux", "utt2dec", "utt2codec", "utt2attack")  # as in spooftrace.audit.findings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``spooftrace audit``."""
    add = parser.add_argument
    add("data", type=Path, nargs="+", metavar="DATA", help="data directories; several are audited together")
    add("--label", nargs="+", metavar="TABLE", help=f"tables of classes (default, if present: {', '.join(LABELS)})")
    add("--out", type=Path, metavar="DIR", help="where to write; default, for a single DATA: DATA/audit")
    add("--limit", type=float, default=0.35, metavar="EER", help="a cue below it, or as good in F1, is telling (0.35)")
    add(
        "--strict", nargs="?", const="any", choices=("any", "pooled"),
        help="exit with status 1 if a single cue is telling; pooled: over all attacks together only",
    )  # fmt: skip
    add("--on-bad-audio", choices=("fail", "skip"), default="fail", help="fail (default), or leave such files out")
    add("--job", type=int, metavar="J", help="only measure: number of this job, from 1; then run without --job")
    add("--num-jobs", type=int, default=1, metavar="N", help="jobs that share the measuring")


def run(args: argparse.Namespace) -> int:
    """``spooftrace audit``; returns 1 if ``--strict`` applies, else 0."""
    from spooftrace.audit.audit import audit

    telling = audit(args.data, args.out, args.label, args.limit, args.on_bad_audio == "skip", args.job, args.num_jobs)
    counted = [finding for finding in telling if args.strict == "any" or finding.part == "pooled"]
    return 1 if args.strict and counted else 0
