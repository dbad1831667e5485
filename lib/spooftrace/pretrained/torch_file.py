"""Files of ``torch.save`` that a training here has written, read with their checksums compared."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import torch

from spooftrace.common.errors import InputError


def read_torch_file(path: Path, remedy: str) -> Any:
    """The content of a file of ``torch.save``, on the CPU; tensors and plain data only.

    The file has a checksum of each of its parts, which torch itself does not compare.

    Args:
        path: The file.
        remedy: What to do if it is damaged, for the message.

    Raises:
        InputError: It is damaged.
    """
    with open(path, "rb") as file:
        try:
            with zipfile.ZipFile(file) as archive:
                wrong = archive.testzip()
            if wrong is not None:
                raise zipfile.BadZipFile(f"wrong checksum of {wrong.partition('/')[2] or wrong}")
            file.seek(0)
            return torch.load(file, map_location="cpu", weights_only=True)
        except Exception as error:  # each way of being damaged has error types of its own
            reason = " ".join(str(error).split("\n")[0].split()) or type(error).__name__
            raise InputError(f"{path}: damaged checkpoint ({reason[:160]}); {remedy}") from None
