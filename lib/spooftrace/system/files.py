"""Files in the folder of an experiment, and whether its model is the one that ``run.json`` describes."""

from __future__ import annotations

from pathlib import Path

from spooftrace.common.provenance import file_sha256
from spooftrace.common.records import read_run

MODEL, CONFIG = "model.safetensors", "config.yaml"
# Settings that decide only when a training ends.
LENGTH = ("max_epochs", "min_epochs", "patience")


def last_checkpoint(exp: Path) -> Path:
    """The checkpoint that a training resumes from."""
    return exp / "checkpoints" / "last.ckpt"


def is_described(model: Path, sha256: str | None = None) -> bool:
    """Whether a model is the file that ``run.json`` beside it describes.

    Always true for imported models and models of earlier versions: their ``run.json`` records no SHA-256.

    Args:
        model: ``model.safetensors`` of an experiment.
        sha256: SHA-256 of this file if it is known already; hashing a large model takes seconds.

    Raises:
        InputError: ``run.json`` is damaged.
    """
    expected = read_run(model.parent).get("model_sha256")
    return expected is None or (sha256 or file_sha256(model)) == expected


def recorded_frontends(exp: Path) -> dict[str, dict[str, str]]:
    """Fingerprints of the frozen front-ends of a training, by stream; empty if ``run.json`` has none.

    Raises:
        InputError: ``run.json`` is damaged.
    """
    return read_run(exp).get("frontends", {})
