"""Reading batches ahead, in processes of their own."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from spooftrace.common.errors import InputError
from spooftrace.common.signals import NOTICES


def load(
    utterances: Dataset[dict[str, Any]],
    plan: Sequence[Sequence[int]],
    batch_size: int,
    num_workers: int,
    epoch: int = 0,
) -> Iterator[list[dict[str, Any]]]:
    """Read batches of utterances, given by index, ``num_workers`` processes reading ahead.

    Yields:
        The groups of a batch, as ``spooftrace.batching.batches.Batches`` describes them, of at most ``batch_size``
        examples.
    """
    loader = DataLoader(
        utterances,
        batch_sampler=[[(epoch, index) for index in batch] for batch in plan],
        num_workers=min(num_workers, len(plan)),
        worker_init_fn=_outlast_signals,
        collate_fn=partial(_collate, most=batch_size),
    )
    try:
        yield from loader
    except InputError as error:
        # From a loader process it comes with the process's traceback; its last line is the message.
        message = str(error).strip().splitlines()[-1]
        raise InputError(message.removeprefix(f"{InputError.__module__}.InputError: ")) from None


def _outlast_signals(_worker: int) -> None:
    """A signal to all processes of a training ends it where it saves its work, which may need batches read ahead.

    So the process that reads them takes signals from its parent alone.
    """
    if hasattr(signal, "sigwaitinfo"):  # not on macOS
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, *NOTICES})
        threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != os.getppid():
        pass
    os._exit(0)


def _collate(examples: list[dict[str, Any]], most: int) -> list[dict[str, Any]]:
    """Stack examples whose tensors have the same shapes, up to ``most`` of them; one batch for each such group."""
    groups: dict[tuple[torch.Size, ...], list[dict[str, Any]]] = {}
    for example in examples:
        shapes = tuple(value.shape for value in example.values() if isinstance(value, Tensor))
        groups.setdefault(shapes, []).append(example)
    return [_stack(group[i : i + most]) for group in groups.values() for i in range(0, len(group), most)]


def _stack(examples: list[dict[str, Any]]) -> dict[str, Any]:
    batch: dict[str, Any] = {}
    for key, first in examples[0].items():
        values = [example[key] for example in examples]
        if key == "utt":
            batch[key] = values
        else:
            batch[key] = torch.stack(values) if isinstance(first, Tensor) else torch.tensor(values)  # -> (B, ...)
    return batch
