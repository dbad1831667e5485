"""The trained weights of a system: ``model.safetensors`` of an experiment."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from spooftrace.common.atomic import atomic_write
from spooftrace.common.errors import InputError
from spooftrace.system.files import is_described

BACKEND = "backend"  # in the metadata of the file


def save_weights(state: Mapping[str, Tensor], path: Path, backend: str | None = None) -> None:
    """Write weights as safetensors, whole or not at all.

    Args:
        state: From :meth:`spooftrace.system.system.System.own_state`.
        path: The file.
        backend: ``class_path`` of the back-end, recorded in the file so that a message can name it.
    """
    content = save(
        {key: value.detach().cpu().contiguous() for key, value in state.items()},
        {BACKEND: backend} if backend else None,
    )
    with atomic_write(path, "wb") as file:
        file.write(content)


def load_weights(path: Path, sha256: str | None = None, prefix: str = "") -> dict[str, Tensor]:
    """Read weights that :func:`save_weights` wrote.

    Args:
        path: The file.
        sha256: SHA-256 of the file if it is known already.
        prefix: Only weights whose names begin with it are read.

    Raises:
        InputError: The file is missing or damaged, or is not the one that ``run.json`` beside it describes.
    """
    try:
        with safe_open(path, "pt") as file:
            weights = {name: file.get_tensor(name) for name in file.keys() if name.startswith(prefix)}  # noqa: SIM118
    except FileNotFoundError:
        raise InputError(f"{path}: no trained model there; run stage 4 (training) first") from None
    except Exception as error:  # safetensors raises its own error type for damaged files
        raise InputError(f"{path}: not a readable model file ({error}); train again") from None
    if not is_described(path, sha256):
        raise InputError(
            f"{path}: not the file that run.json beside it describes, so it is damaged or was replaced; run stage 4 "
            "(training) again, which makes it again from the checkpoints"
        )
    return weights


def recorded_backend(path: Path) -> str | None:
    """The back-end that :func:`save_weights` recorded in a file; None if it recorded none."""
    with safe_open(path, "pt") as file:
        return (file.metadata() or {}).get(BACKEND)
