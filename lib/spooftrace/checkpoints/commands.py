"""``spooftrace import-checkpoint``: other projects' pretrained models as folders that the front-ends load."""

from __future__ import annotations

import argparse
from pathlib import Path

FORMATS = (
    "fairseq",
    "unilm",
    "s3prl",
    "torchaudio",
)  # as in spooftrace.checkpoints.selfsupervised, which imports torch


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``spooftrace import-checkpoint``."""
    parser.add_argument("file", type=Path, metavar="FILE", help="checkpoint of wav2vec 2.0, XLS-R, HuBERT or WavLM")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="new folder in Hugging Face's format")
    parser.add_argument("--format", choices=FORMATS, help="refuse any other; default: whichever of them it is")
    parser.epilog = "Nothing of fairseq or s3prl is needed, and no code in FILE is run."


def run(args: argparse.Namespace) -> int:
    """Import, and say what came of it."""
    from transformers.utils import logging

    from spooftrace.checkpoints.selfsupervised import import_checkpoint

    logging.disable_progress_bar()
    made = import_checkpoint(args.file, args.out, args.format)
    told = {True: "normalised", False: "as they are", None: "not told: set normalize in the configuration"}
    print(f"{args.file}: {made.model_type} of format {made.family}, {made.parameters:,} parameters")
    print(f"sha256: {made.sha256}")
    print(f"left out: {', '.join(made.left_out) or 'nothing'}")
    for line in made.assumed:
        print(f"not in the file, assumed: {line}")
    print(f"waves: {told[made.normalize]}")
    print(f"{args.out}: ready; in a configuration: {{class_path: HuggingFace, init_args: {{model: {args.out}}}}}")
    return 0
