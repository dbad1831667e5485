"""``spooftrace download``: where a corpus can be had, and with ``--to`` its files."""

from __future__ import annotations

import argparse
from pathlib import Path

from spooftrace.common.errors import InputError
from spooftrace.corpora.download import CORPORA, choose_parts, describe, download


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``spooftrace download``."""
    names = ", ".join(sorted(CORPORA))
    parser.add_argument("corpus", choices=sorted(CORPORA), metavar="CORPUS", help=names)
    parser.add_argument(
        "--to", type=Path, metavar="DIR", help="download into this folder; by default only print what can be had where"
    )
    parser.add_argument("--part", nargs="+", default=[], metavar="NAME", help="only these parts of the corpus")


def run(args: argparse.Namespace) -> int:
    """Print what a corpus consists of, or download it."""
    corpus = CORPORA[args.corpus]
    parts = choose_parts(args.corpus, corpus, args.part)
    if args.to is None:
        print("\n".join(describe(args.corpus, corpus, parts)))
        return 0
    if corpus.by_hand:
        raise InputError(f"{corpus.title}: not open to programs, see {corpus.page}: {corpus.by_hand}")
    download(args.corpus, parts, args.to)
    for note in corpus.notes:
        print(f"note: {note}")
    print(f"{args.to}: {', '.join(part.name for part in parts)} of {corpus.title} complete; archives may be deleted")
    print(f"next: spooftrace prepare {args.corpus} --root {args.to}")
    return 0
