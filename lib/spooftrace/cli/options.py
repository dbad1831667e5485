"""Options that several sub-commands share, and the parser that reads them."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from spooftrace.common.errors import InputError

SIGN = (
    "A higher score is more bona fide, whatever the loss. Cross-entropy: the bona fide output, or with score: "
    "difference that minus the spoof output. Focal loss: the output. OC-Softmax and P2SGrad: the cosine with the bona "
    "fide direction. AM-Softmax: that minus the cosine with the spoof direction."
)
# How a trained system scores may differ from its configuration; the system itself may not.
SCORING = {
    "data.eval_crop": ("POLICY", "first: the first crop; full: the whole file; windows: the mean over windows"),
    "data.eval_hop": ("SAMPLES", "distance between the starts of two windows; null: half a window"),
    "data.crop": ("SAMPLES", "length of the first crop or of a window, at 16 kHz"),
    "data.eval_batch_size": ("N", "utterances or windows scored at a time; changes scores by rounding at most"),
}


class CommandParser(argparse.ArgumentParser):
    """An argument parser that also takes the older spelling of its options, ``--num_nodes`` for ``--num-nodes``."""

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Parse ``args``, in which options may have underscores in place of hyphens."""
        words = None if args is None else self._with_hyphens(args)
        return super().parse_known_args(words, namespace)

    def _with_hyphens(self, words: Sequence[str]) -> list[str]:
        """``words`` with options of this parser spelled with hyphens; anything else, such as an override, is kept."""
        spelled = []
        for word in words:
            option, equals, value = word.partition("=")
            known = option.replace("_", "-")
            if option.startswith("--") and option not in self._option_string_actions:
                option = known if known in self._option_string_actions else option
            spelled.append(f"{option}{equals}{value}")
        return spelled


def add_job_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--job``, ``--num-jobs`` and ``--collect``, the options of array jobs."""
    parser.add_argument("--job", type=int, default=1, metavar="J", help="number of this job, from 1")
    parser.add_argument("--num-jobs", type=int, default=1, metavar="N", help="jobs that share the work")
    parser.add_argument("--collect", action="store_true", help="put the results together after the array job")


def add_config_option(parser: argparse.ArgumentParser, example: str) -> None:
    """Add ``--config`` and ``--allow-module``; ``example`` is an override for the end of the help text."""
    parser.add_argument("--config", action="append", required=True, help="YAML file; may be given several times")
    add_allow_option(parser)
    parser.epilog = f"Anything else is an override of the configuration: {example}"


def add_allow_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--allow-module``, for commands that build the classes of a configuration."""
    parser.add_argument(
        "--allow-module", action="append", default=[], metavar="MODULE",
        help="classes of this module, your own, may be named in the configuration; may be given several times",
    )  # fmt: skip


def add_scoring_options(parser: argparse.ArgumentParser) -> None:
    """Add what ``score``, ``detect`` and ``trace`` share: device, precision, and how utterances are scored."""
    parser.add_argument("--ngpu", type=int, default=0, choices=(0, 1), help="1: score on a GPU; 0: the CPU (default)")
    parser.add_argument(
        "--precision", choices=("fp32", "bf16", "fp16"), default="fp32",
        help="compute front-ends with fewer bits where the hardware can, much faster, not exact (default: fp32)",
    )  # fmt: skip
    add_allow_option(parser)
    group = parser.add_argument_group("how utterances are scored (default: as config.yaml says)")
    for option, (value, text) in SCORING.items():
        group.add_argument(f"--{option}", metavar=value, help=text)
    parser.epilog = SIGN


def add_recording_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``detect`` and ``trace``."""
    parser.add_argument("--exp", type=Path, required=True, help="folder of a trained system")
    parser.add_argument("files", nargs="+", type=Path, help="audio files, or folders of audio files")
    add_scoring_options(parser)


def scoring_overrides(args: argparse.Namespace, overrides: Sequence[str]) -> list[str]:
    """Return the options of ``SCORING`` that were given, as overrides of the configuration.

    Raises:
        InputError: ``overrides`` holds others.
    """
    if overrides:
        known = ", ".join(f"--{option}" for option in SCORING)
        raise InputError(f"'{overrides[0]}': the system stays as it was trained; only {known} can be changed")
    given: dict[str, Any] = {name: value for name, value in vars(args).items() if name in SCORING and value is not None}
    return [word for option, value in given.items() for word in (f"--{option}", value)]
