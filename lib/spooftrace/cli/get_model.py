"""``tools/get_model.sh``: fetch a model into the models folder (``python -m spooftrace.cli.get_model``)."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from spooftrace.common.errors import InputError


def main(words: Sequence[str] | None = None) -> int:
    """Fetch or check one model; returns the exit status."""
    parser = argparse.ArgumentParser(prog="get_model.sh", description="Fetch a model into the models folder.")
    parser.add_argument("name", metavar="NAME")
    parser.add_argument("models", type=Path, metavar="FOLDER", help="the models folder")
    parser.add_argument("--from", dest="source", type=Path, metavar="FILE_OR_FOLDER", help="instead of the hub")
    parser.add_argument("--hub-name", help="OWNER/NAME on the hub")
    options = parser.parse_args(words)
    from transformers.utils import logging

    from spooftrace.pretrained.fetch import get_model

    logging.disable_progress_bar()
    try:
        print(f"get_model.sh: {get_model(options.name, options.models, options.source, options.hub_name)}")
    except (InputError, OSError) as error:
        print(f"get_model.sh: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
