"""``spooftrace import-checkpoint``: convert models of other projects for the front-ends, or to experiments."""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

from spooftrace.common.errors import InputError
from spooftrace.official import SYSTEMS

FORMATS = ("fairseq", "unilm", "s3prl", "torchaudio")  # as in spooftrace.pretrained.convert, which imports torch


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``spooftrace import-checkpoint``.

    Args:
        parser: The parser of the subcommand.
    """
    parser.add_argument(
        "system", nargs="?", metavar="SYSTEM",
        help=f"import an official checkpoint of this system as an experiment: {', '.join(SYSTEMS)}",
    )  # fmt: skip
    parser.add_argument(
        "file", type=Path, metavar="FILE", help="checkpoint of wav2vec 2.0, XLS-R, HuBERT or WavLM, or of SYSTEM"
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FOLDER",
        help="new folder: a model in Hugging Face's format, or with SYSTEM an experiment, e.g. exp/sls_official",
    )  # fmt: skip
    parser.add_argument(
        "--format",
        choices=FORMATS,
        help="refuse files of any other format (default: any of these)",
    )
    parser.add_argument(
        "--weights", metavar="NAME",
        help="set of weights to import, e.g. ema; required if FILE holds several",
    )  # fmt: skip
    # Without intermixed parsing, an option between SYSTEM and FILE would turn SYSTEM into FILE.
    parser.parse_args = parser.parse_intermixed_args  # type: ignore[method-assign]
    parser.epilog = "fairseq and s3prl are not required, and no code in FILE is run."


def run(args: argparse.Namespace) -> int:
    """Import a checkpoint and print its properties.

    Args:
        args: The parsed options.

    Returns:
        The exit status, 0.

    Raises:
        InputError: ``--format`` is combined with SYSTEM, or the checkpoint cannot be imported.
    """
    from transformers.utils import logging

    logging.disable_progress_bar()
    if args.system is None:
        _import_model(args.file, args.out, args.format, args.weights)
    elif args.format is not None:
        raise InputError("--format applies only to self-supervised models, not to SYSTEM")
    else:
        _import_system(args.system, args.file, args.out, args.weights)
    return 0


def _import_model(file: Path, out: Path, format: str | None, weights: str | None) -> None:
    from spooftrace.pretrained.convert import import_checkpoint

    imported = import_checkpoint(file, out, format, weights)
    scaling = {True: "normalised", False: "not normalised", None: "unknown: set normalize in the configuration"}
    print(f"{file}: {imported.model_type} of format {imported.family}, {imported.parameters:,} parameters")
    print(f"sha256: {imported.sha256}")
    for line in imported.notes:
        print(f"in the file: {line}")
    print(f"left out: {', '.join(imported.left_out) or 'nothing'}")
    for line in imported.assumed:
        print(f"not in the file, assumed: {line}")
    print(f"waves: {scaling[imported.normalize]}")
    print(f"{out}: ready; in a configuration: {{class_path: HuggingFace, init_args: {{model: {out}}}}}")


def _import_system(system: str, file: Path, out: Path, weights: str | None) -> None:
    from spooftrace.official.importing import import_system

    imported = import_system(system, file, out, weights)
    print(f"{file}: {imported.title}, {imported.parameters:,} parameters")
    print(f"sha256: {imported.sha256}")
    for line in imported.notes:
        print(f"in the file: {line}")
    dropped = [f"{count} {reason}" for reason, count in Counter(imported.dropped.values()).items()]
    reasons = f": {', '.join(dropped)}" if dropped else ""
    print(f"tensors: {imported.mapped} imported, {len(imported.dropped)} left out{reasons}")
    for line in imported.assumed:
        print(f"not in the file, assumed: {line}")
    print(f"trained on: {imported.trained_on or 'unknown (not recorded in the file)'}")
    print(f"score: {imported.checkpoint.score}")
    if imported.needs is not None:
        print(f"needs: {imported.needs}, which is not in the file")
    command = "detect" if imported.checkpoint.detects else "trace"
    print(f"{out}: ready; spooftrace {command} --exp {out} FILE, or spooftrace score --exp {out} --data DIR")
