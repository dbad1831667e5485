"""``tools/get_model.sh``: CTranslate2 Whisper -> Hugging Face (``python -m spooftrace.cli.convert_ctranslate2``)."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from spooftrace.common.errors import InputError


def main(words: Sequence[str] | None = None) -> int:
    """Convert one model; returns the exit status."""
    parser = argparse.ArgumentParser(description="CTranslate2 Whisper -> Hugging Face folder")
    parser.add_argument("model_bin", type=Path, help="model.bin, with config.json and tokenizer.json beside it")
    parser.add_argument("folder", type=Path, help="where to write")
    options = parser.parse_args(words)
    from transformers.utils import logging

    from spooftrace.pretrained.ctranslate2 import convert_whisper

    logging.disable_progress_bar()
    try:
        convert_whisper(options.model_bin, options.folder)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
