"""``spooftrace prepare``: a corpus as it is distributed -> data directories."""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path

from spooftrace.cli.options import CommandParser
from spooftrace.corpora import CORPORA, prepare


class CorpusParser(CommandParser):
    """The parser of one corpus, whose module is imported only for its help text."""

    def format_help(self) -> str:
        """Return the help text, which begins with the docstring of the corpus module."""
        corpus = self.prog.split()[-1]
        self.description = importlib.import_module(f"spooftrace.corpora.{corpus}").__doc__
        return super().format_help()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """One sub-command per corpus."""
    commands = parser.add_subparsers(
        dest="corpus", required=True, metavar="CORPUS", prog=parser.prog, parser_class=CorpusParser
    )
    for name, text in CORPORA.items():
        command = commands.add_parser(
            name, help=text, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
        )
        command.add_argument("--root", type=Path, required=True, help="folder of the corpus; it is only read")
        command.add_argument("--out", type=Path, default=Path("data"), help="where the data directories go (data)")
        command.add_argument(
            "--allow-partial",
            action="store_true",
            help="accept missing sets and audio files, and fewer trials than released",
        )
        if name != "mini":
            command.add_argument(
                "--sets", metavar="NAME,NAME", help="prepare these data directories only; by default all of the corpus"
            )
        if name in OPTIONS:
            OPTIONS[name](command)


def run(args: argparse.Namespace) -> None:
    """Prepare one corpus.

    Raises:
        InputError: No set of it was found.
    """
    options = {name: value for name, value in vars(args).items() if name != "corpus"}
    prepare(args.corpus, **options)


def _add_mlaad(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--bonafide", type=Path, metavar="DIR", help="folder of M-AILABS, for bona fide speech")


def _add_ctrsvdd(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--bonafide",
        metavar="NAME=DIR",
        action="append",
        default=[],
        help="cut the bona fide singing of one more database (see above) out of its recordings in DIR",
    )
    parser.add_argument("--timestamps", type=Path, metavar="DIR", help="folder of the times to cut at")


def _add_codecfake_plus(parser: argparse.ArgumentParser) -> None:
    lists = parser.add_mutually_exclusive_group(required=True)
    lists.add_argument("--lists", type=Path, help="the authors' CodecFake-Source-Tracing repository, or its metadata")
    lists.add_argument("--draw", type=int, metavar="SEED", help="draw balanced lists from CoRS_labels.txt instead")


# Options of single corpora: the arguments of their ``prepare`` beside ``request``.
OPTIONS = {"mlaad": _add_mlaad, "ctrsvdd": _add_ctrsvdd, "codecfake_plus": _add_codecfake_plus}
