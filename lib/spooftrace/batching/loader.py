"""Prefetch batches in worker processes."""

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
    """Load batches of utterances, prefetched by worker processes.

    Args:
        utterances: Data set whose items are examples; its indices are ``(epoch, index)``.
        plan: Indices of the utterances of each batch.
        batch_size: Largest number of examples in a group.
        num_workers: Number of worker processes; 0 loads in this process.
        epoch: Epoch that is passed to ``utterances``, for random crops and augmentation.

    Yields:
        The groups of a batch (see :class:`spooftrace.batching.batches.Batches`), each with at most ``batch_size``
        examples.

    Raises:
        InputError: An utterance cannot be read.
    """
    loader = DataLoader(
        utterances,
        batch_sampler=[[(epoch, index) for index in batch] for batch in plan],
        num_workers=min(num_workers, len(plan)),
        worker_init_fn=_block_signals,
        collate_fn=partial(_collate, max_examples=batch_size),
    )
    try:
        yield from loader
    except InputError as error:
        # The error of a worker contains the worker's traceback; its last line is the message.
        message = str(error).strip().splitlines()[-1]
        raise InputError(message.removeprefix(f"{InputError.__module__}.InputError: ")) from None


def _block_signals(_worker: int) -> None:
    """Block SIGTERM and the notices of queues, which are sent to the whole process group.

    The trainer needs the prefetched batches to finish its step and save. Workers exit when it terminates them.
    """
    if hasattr(signal, "sigwaitinfo"):  # not on macOS
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, *NOTICES})
        threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Exit on SIGTERM from the parent process; ignore SIGTERM from others."""
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != os.getppid():
        pass
    os._exit(0)


def _collate(examples: list[dict[str, Any]], max_examples: int) -> list[dict[str, Any]]:
    """Stack examples whose tensors have equal shapes, in groups of at most ``max_examples``."""
    groups: dict[tuple[torch.Size, ...], list[dict[str, Any]]] = {}
    for example in examples:
        shapes = tuple(value.shape for value in example.values() if isinstance(value, Tensor))
        groups.setdefault(shapes, []).append(example)
    return [
        _stack(group[start : start + max_examples])
        for group in groups.values()
        for start in range(0, len(group), max_examples)
    ]


def _stack(examples: list[dict[str, Any]]) -> dict[str, Any]:
    """A batch of examples: utterance ids as a list, all other values as tensors with a batch axis."""
    batch: dict[str, Any] = {}
    for key, first in examples[0].items():
        values = [example[key] for example in examples]
        if key == "utt":
            batch[key] = values
        else:
            batch[key] = torch.stack(values) if isinstance(first, Tensor) else torch.tensor(values)  # -> (B, ...)
    return batch
