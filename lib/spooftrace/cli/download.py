"""``spooftrace download``: where a corpus can be had, and with ``--to`` its files."""

from __future__ import annotations

import argparse
from pathlib import Path

from spooftrace.common.errors import InputError
from spooftrace.corpora.download import SOURCES, describe, download, select_bundles


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``spooftrace download``."""
    names = ", ".join(sorted(SOURCES))
    parser.add_argument("corpus", choices=sorted(SOURCES), metavar="CORPUS", help=names)
    parser.add_argument(
        "--to", type=Path, metavar="DIR", help="download into this folder; by default only print what can be had where"
    )
    parser.add_argument("--part", nargs="+", default=[], metavar="NAME", help="only these parts of the corpus")


def run(args: argparse.Namespace) -> int:
    """Print what a corpus consists of, or download it."""
    source = SOURCES[args.corpus]
    bundles = select_bundles(args.corpus, source, args.part)
    if args.to is None:
        print("\n".join(describe(args.corpus, source, bundles)))
        return 0
    if source.by_hand:
        raise InputError(f"{source.title}: not open to programs, see {source.page}: {source.by_hand}")
    download(args.corpus, bundles, args.to)
    for note in source.notes:
        print(f"note: {note}")
    print(
        f"{args.to}: {', '.join(bundle.name for bundle in bundles)} of {source.title} complete; archives may be deleted"
    )
    print(f"next: spooftrace prepare {args.corpus} --root {args.to}")
    return 0
