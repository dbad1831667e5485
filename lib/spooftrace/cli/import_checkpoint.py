"""``spooftrace import-checkpoint``: other projects' models as folders that the front-ends load, or as experiments."""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

from spooftrace.common.errors import InputError
from spooftrace.official import SYSTEMS

FORMATS = (
    "fairseq",
    "unilm",
    "s3prl",
    "torchaudio",
)  # as in spooftrace.pretrained.convert, which imports torch


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``spooftrace import-checkpoint``."""
    parser.add_argument(
        "system", nargs="?", metavar="SYSTEM",
        help=f"a released system, to become an experiment that scores at once: {', '.join(SYSTEMS)}",
    )  # fmt: skip
    parser.add_argument(
        "file", type=Path, metavar="FILE", help="checkpoint of wav2vec 2.0, XLS-R, HuBERT or WavLM, or of SYSTEM"
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FOLDER",
        help="new folder: in Hugging Face's format, or with SYSTEM the experiment, e.g. exp/sls_official",
    )  # fmt: skip
    parser.add_argument("--format", choices=FORMATS, help="refuse any other; default: whichever of them it is")
    parser.add_argument(
        "--weights", metavar="NAME",
        help="which of several sets of weights in FILE, e.g. ema; needed only where FILE holds several",
    )  # fmt: skip
    # Without it, SYSTEM is taken for FILE where an option stands between the two.
    parser.parse_args = parser.parse_intermixed_args  # type: ignore[method-assign]
    parser.epilog = "Nothing of fairseq or s3prl is needed, and no code in FILE is run."


def run(args: argparse.Namespace) -> int:
    """Import, and say what came of it."""
    from transformers.utils import logging

    logging.disable_progress_bar()
    if args.system is None:
        _import_model(args.file, args.out, args.format, args.weights)
    elif args.format is not None:
        raise InputError("--format is for self-supervised models, without SYSTEM")
    else:
        _import_system(args.system, args.file, args.out, args.weights)
    return 0


def _import_model(file: Path, out: Path, format: str | None, weights: str | None) -> None:
    from spooftrace.pretrained.convert import import_checkpoint

    made = import_checkpoint(file, out, format, weights)
    told = {True: "normalised", False: "as they are", None: "not told: set normalize in the configuration"}
    print(f"{file}: {made.model_type} of format {made.family}, {made.parameters:,} parameters")
    print(f"sha256: {made.sha256}")
    for line in made.notes:
        print(f"in the file: {line}")
    print(f"left out: {', '.join(made.left_out) or 'nothing'}")
    for line in made.assumed:
        print(f"not in the file, assumed: {line}")
    print(f"waves: {told[made.normalize]}")
    print(f"{out}: ready; in a configuration: {{class_path: HuggingFace, init_args: {{model: {out}}}}}")


def _import_system(system: str, file: Path, out: Path, weights: str | None) -> None:
    from spooftrace.official.importing import import_system

    made = import_system(system, file, out, weights)
    print(f"{file}: {made.title}, {made.parameters:,} parameters")
    print(f"sha256: {made.sha256}")
    for line in made.notes:
        print(f"in the file: {line}")
    dropped = [f"{count} {why}" for why, count in Counter(made.dropped.values()).items()]
    print(
        f"tensors: {made.mapped} taken over, {len(made.dropped)} left out{': ' if dropped else ''}{', '.join(dropped)}"
    )
    for line in made.assumed:
        print(f"not in the file, assumed: {line}")
    print(f"trained on: {made.trained_on or 'unknown (the file does not say)'}")
    print(f"score: {made.checkpoint.score}")
    if made.needs is not None:
        print(f"needs: {made.needs}, which the file does not hold")
    command = "detect" if made.checkpoint.detects else "trace"
    print(f"{out}: ready; spooftrace {command} --exp {out} FILE, or spooftrace score --exp {out} --data DIR")
