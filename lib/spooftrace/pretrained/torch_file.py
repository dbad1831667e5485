"""Read files that spooftrace wrote by ``torch.save``, with verification of their checksums."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import torch

from spooftrace.common.errors import InputError


def read_torch_file(path: Path, remedy: str) -> Any:
    """Read tensors and plain data from a file of ``torch.save`` to the CPU.

    The file has a checksum of each record, which torch itself does not verify.

    Args:
        path: The file.
        remedy: What to do if it is damaged, for the message.

    Raises:
        InputError: The file is damaged.
    """
    with open(path, "rb") as file:
        try:
            with zipfile.ZipFile(file) as archive:
                wrong = archive.testzip()
            if wrong is not None:
                raise zipfile.BadZipFile(f"wrong checksum of {wrong.partition('/')[2] or wrong}")
            file.seek(0)
            return torch.load(file, map_location="cpu", weights_only=True)
        except Exception as error:  # the type of error depends on the kind of damage
            reason = " ".join(str(error).split("\n")[0].split()) or type(error).__name__
            raise InputError(f"{path}: damaged checkpoint ({reason[:160]}); {remedy}") from None
