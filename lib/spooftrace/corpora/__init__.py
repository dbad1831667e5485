"""Corpora as they are distributed -> data directories: ``spooftrace prepare CORPUS ...``.

One module per corpus. Its docstring says where the corpus comes from and how it lies on disk; it has
``add_arguments(parser)`` and ``run(args)`` for the command line, and imports nothing heavy.
"""

from __future__ import annotations

import argparse
import importlib

CORPORA = {
    "mini": "the mini corpus of egs/mini, which comes with the repository",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """One sub-command per corpus."""
    commands = parser.add_subparsers(dest="corpus_name", required=True, metavar="CORPUS")
    for name, text in CORPORA.items():
        module = importlib.import_module(f"{__name__}.{name}")
        module.add_arguments(commands.add_parser(name, help=text, description=text))


def run(args: argparse.Namespace) -> int:
    """Prepare the corpus that was asked for."""
    return importlib.import_module(f"{__name__}.{args.corpus_name}").run(args)
