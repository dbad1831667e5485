"""The device that a command computes on."""

from __future__ import annotations

import os

import torch

from spooftrace.common.errors import InputError


def pick_device(num_gpus: int) -> torch.device:
    """``cuda`` for one or more GPUs, ``cpu`` for none; raises ``InputError`` when the GPU is not there."""
    if num_gpus == 0:
        return torch.device("cpu")
    available = torch.cuda.device_count()
    if num_gpus and not (torch.version.cuda or torch.version.hip):
        raise InputError(
            f"--ngpu {num_gpus}: this torch {torch.__version__} is built for CPUs only; install a build of it for "
            "GPUs, or use --ngpu 0"
        )
    if num_gpus and not available:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        hint = "" if visible is None else f" with CUDA_VISIBLE_DEVICES={visible!r}"
        raise InputError(
            f"--ngpu {num_gpus}: torch {torch.__version__} finds no GPU here{hint}; see what nvidia-smi says, or use "
            "--ngpu 0"
        )
    if num_gpus > available:
        raise InputError(f"--ngpu {num_gpus}: {available} GPU(s) are available here; use --ngpu {available}")
    return torch.device("cuda")
