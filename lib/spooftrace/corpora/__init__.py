"""Corpora as they are distributed -> data directories: ``spooftrace prepare CORPUS --root DIR --out data``.

One module per corpus. Its docstring says where the corpus comes from and how it lies on disk. Its ``run(args)`` writes
the data directories and returns them; ``add_arguments(parser)`` is there where the options that all corpora share do
not suffice. Nothing here imports anything heavy.
"""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path

from spooftrace.common.errors import InputError

CORPORA = {
    "mini": "the mini corpus of egs/mini, which comes with the repository",
    "asvspoof2019": "ASVspoof 2019 LA",
    "asvspoof2021": "ASVspoof 2021 LA and DF, evaluation sets",
    "asvspoof5": "ASVspoof 5, tracks 1 and 2",
    "codecfake_wu": "CodecFake (Wu et al. 2024)",
    "codecfake_plus": "CodecFake+ (Chen et al. 2025), CoRS and CoSG",
    "st_codecfake": "ST-Codecfake (Xie et al. 2025)",
    "codecfake_xie": "Codecfake (Xie et al. 2025)",
    "ctrsvdd": "CtrSVDD, singing voice (SVDD Challenge 2024)",
    "in_the_wild": "In-the-Wild, evaluation set",
    "partialspoof": "PartialSpoof 1.2, with labels of segments",
    "spoofceleb": "SpoofCeleb",
    "mlaad": "MLAAD, evaluation set",
    "add2022": "ADD 2022, low-quality and partially fake tracks",
    "add2023": "ADD 2023, detection and algorithm recognition",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """One sub-command per corpus."""
    commands = parser.add_subparsers(dest="corpus", required=True, metavar="CORPUS")
    for name, text in CORPORA.items():
        module = importlib.import_module(f"{__name__}.{name}")
        command = commands.add_parser(
            name, help=text, description=module.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
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
        if hasattr(module, "add_arguments"):
            module.add_arguments(command)


def run(args: argparse.Namespace) -> None:
    """Prepare the corpus that was asked for.

    Raises:
        InputError: no set of it was found.
    """
    if not importlib.import_module(f"{__name__}.{args.corpus}").run(args):
        raise InputError(f"{args.root}: has no set of {CORPORA[args.corpus]}; is it the right folder?")
