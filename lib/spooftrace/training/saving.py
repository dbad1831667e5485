"""Checkpoints of a training: how they are written and read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO

from spooftrace.common.atomic import atomic_write
from spooftrace.common.errors import InputError
from spooftrace.pretrained.torch_file import read_torch_file

# What a checkpoint to resume from consists of, besides what only some trainings have.
NEEDED = (
    "pytorch-lightning_version", "epoch", "global_step", "loops", "callbacks", "optimizer_states", "lr_schedulers",
    "state_dict", "epoch_loss", "epochs",
)  # fmt: skip


class WholeCheckpoints(TorchCheckpointIO):
    """Checkpoints appear in their place at once, and an error of writing one, such as a full disk, names it.

    Lightning's own are put together in memory and in the folder for temporary files, where what a killed training
    leaves stays for ever and which may be another disk, so that the last step is a copy.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        with atomic_write(path, "wb") as file:
            try:
                torch.save(checkpoint, file)
            except RuntimeError as error:
                # What torch finds when it closes a file that could not be written hides why that was.
                if isinstance(error.__context__, OSError):
                    raise error.__context__ from None
                raise

    def load_checkpoint(
        self, path: str | Path, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        return read_checkpoint(Path(path), NEEDED)


def read_checkpoint(path: Path, needed: tuple[str, ...] = ("state_dict",)) -> dict[str, Any]:
    """A checkpoint that a training has written, on the CPU.

    Args:
        path: The file.
        needed: What has to be in it.

    Raises:
        InputError: It is damaged, or something else.
    """
    checkpoint = read_torch_file(path, _remedy(path))
    missing = [key for key in needed if key not in checkpoint] if isinstance(checkpoint, dict) else list(needed)
    if missing:
        raise InputError(f"{path}: not a checkpoint of a training here, it lacks {missing[0]}; {_remedy(path)}")
    return checkpoint


def _remedy(path: Path) -> str:
    """What to do without this checkpoint."""
    if path.name != "last.ckpt":
        return f"put a copy of it back, or remove {path.parent} to start this training anew"
    others = sorted(other.name for other in path.parent.glob("epoch*.ckpt"))
    kept = f" (which replaces the best epochs so far, {', '.join(others)})" if others else ""
    return f"put a copy of it back, or remove it to start this training anew{kept}"
