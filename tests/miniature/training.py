"""The smallest system and the command that trains it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

SYSTEM: dict[str, Any] = {
    "streams": {"tiny": {"class_path": "miniature.frontend.Projection"}},
    "backend": {"class_path": "miniature.backend.Mean"},
}


def train_command(config: Path, *options: str) -> list[str]:
    """``train`` on ``data/train`` and ``data/dev``; ``options`` follow."""
    data = ["--train", "data/train", "--dev", "data/dev"]
    return ["train", "--config", str(config), *data, "--allow-module", "miniature", *options]
