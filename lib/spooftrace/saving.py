"""How Lightning writes its checkpoints here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO

from spooftrace.atomic import atomic_write


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
