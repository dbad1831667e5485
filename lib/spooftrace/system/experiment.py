"""The folder of an experiment: the names of its files, and whether its model is the one that ``run.json`` describes."""

from __future__ import annotations

from pathlib import Path

from spooftrace.common.provenance import file_sha256
from spooftrace.common.records import read_run

MODEL, CONFIG = "model.safetensors", "config.yaml"  # in the folder of an experiment
# Settings that only decide when a training ends.
LENGTH = ("max_epochs", "min_epochs", "patience")


def last_checkpoint(exp: Path) -> Path:
    """Where a training keeps what it resumes from."""
    return exp / "checkpoints" / "last.ckpt"


def is_described(model: Path, sha256: str | None = None) -> bool:
    """Whether a model is the file that ``run.json`` beside it describes.

    Imported models and those of earlier versions are, because their ``run.json`` names no SHA-256.

    Args:
        model: ``model.safetensors`` of an experiment.
        sha256: Of this file, where it has been computed already: a large model takes seconds.

    Raises:
        InputError: ``run.json`` is damaged.
    """
    expected = read_run(model.parent).get("model_sha256")
    return expected is None or (sha256 or file_sha256(model)) == expected
