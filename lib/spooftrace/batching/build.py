"""Batches of a data directory for a configured system."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from spooftrace.common import ranks
from spooftrace.common.errors import InputError


def open_streams(config: Mapping[str, Any], dump: Path, directory: Path, check: bool = True) -> dict[str, Any]:
    """The cached streams of a data directory, by name; ``check`` compares the audio with what they were made from."""
    from spooftrace.batching.batches import CachedStream

    check = check and ranks.rank() == 0  # the others need not look at every file as well: an error there ends them
    return {
        name: CachedStream.open(dump, name, config["streams"][name], directory, check)
        for name in config["data"]["cached"]
    }


def make_batches(
    config: Mapping[str, Any], system: Any, directory: Path, dump: Path, training: bool,
    labelled: bool = True, augmented: bool = False, cached: Mapping[str, Any] | None = None,
) -> Any:  # fmt: skip
    """Batches of a data directory, for training (shuffled, augmented) or for scoring.

    Args:
        config: The configuration.
        system: The :class:`spooftrace.system.System` that takes them.
        directory: The data directory.
        dump: Where stage 3 stored cached streams.
        training: Batches to train on; otherwise every utterance comes once.
        labelled: The task's labels are read: for training, and for the dev set.
        augmented: The dev set is augmented.
        cached: What ``open_streams`` gave, where it was called already.

    Raises:
        InputError: No utterances, missing or unknown labels, missing audio or features.
    """
    from spooftrace.batching.batches import Batches, Utterances
    from spooftrace.config.settings import Data
    from spooftrace.datadir import DataDir

    options = replace(Data(**config["data"]), augment_dev=augmented)
    data = DataDir.read(directory)
    if not data.utts:
        raise InputError(f"{directory}: no utterances")
    targets = None
    if labelled:
        targets = system.task.targets(data)
    crop = {"first": "first", "full": "none", "windows": "first" if labelled else "windows"}[options.eval_crop]
    utterances = Utterances(
        data, targets, open_streams(config, dump, directory) if cached is None else cached, system.needs_wave, options,
        config["seed_everything"], options.train_crop if training else crop, training,
    )  # fmt: skip
    size = options.batch_size if training else options.eval_batch_size
    return Batches(utterances, size, config["seed_everything"], shuffle=training, num_workers=options.num_workers)
