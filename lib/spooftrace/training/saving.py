"""Write and read the checkpoints of a training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO

from spooftrace.common.atomic import atomic_write
from spooftrace.common.errors import InputError
from spooftrace.pretrained.torch_file import read_torch_file

# Keys that every checkpoint for resuming has; some trainings add others.
NEEDED = (
    "pytorch-lightning_version", "epoch", "global_step", "loops", "callbacks", "optimizer_states", "lr_schedulers",
    "state_dict", "epoch_loss", "epochs",
)  # fmt: skip


class WholeCheckpoints(TorchCheckpointIO):
    """Write checkpoints atomically, and name the file in write errors such as a full disk.

    Lightning serialises to memory and to $TMPDIR, which is not cleaned up after a kill and may be another disk, where
    the final move is a copy.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write a checkpoint; an interrupted write leaves the previous file unchanged."""
        with atomic_write(path, "wb") as file:
            try:
                torch.save(checkpoint, file)
            except RuntimeError as error:
                # torch raises an error of its own when it closes the file; its context is the cause of the failure.
                if isinstance(error.__context__, OSError):
                    raise error.__context__ from None
                raise

    def load_checkpoint(
        self, path: str | Path, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read a checkpoint to resume from, on the CPU."""
        return read_checkpoint(Path(path), NEEDED)


def read_checkpoint(path: Path, needed: tuple[str, ...] = ("state_dict",)) -> dict[str, Any]:
    """Read a checkpoint of a training, on the CPU.

    Args:
        path: The file.
        needed: Keys that the checkpoint must have.

    Raises:
        InputError: The file is damaged, or lacks a key.
    """
    checkpoint = read_torch_file(path, _remedy(path))
    missing = [key for key in needed if key not in checkpoint] if isinstance(checkpoint, dict) else list(needed)
    if missing:
        raise InputError(f"{path}: not a checkpoint of spooftrace train: it lacks {missing[0]}; {_remedy(path)}")
    return checkpoint


def _remedy(path: Path) -> str:
    """How to continue without this checkpoint, for messages."""
    if path.name != "last.ckpt":
        return f"restore it from a copy, or remove {path.parent} to start this training anew"
    others = sorted(other.name for other in path.parent.glob("epoch*.ckpt"))
    warning = f" (this overwrites the best epochs so far, {', '.join(others)})" if others else ""
    return f"restore it from a copy, or remove it to start this training anew{warning}"
