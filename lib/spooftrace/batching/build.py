"""Batches of a data directory for a configured system, by role: ``train``, ``dev`` or ``score``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from spooftrace.common import ranks
from spooftrace.common.errors import InputError

if TYPE_CHECKING:
    from spooftrace.batching.batches import Batches
    from spooftrace.batching.utterances import CachedStream, Crop
    from spooftrace.config.settings import Config, Data
    from spooftrace.system.system import System

Role = Literal["train", "dev", "score"]


def open_streams(config: Config, dump: Path, directory: Path, check: bool = True) -> dict[str, CachedStream]:
    """The cached streams of a data directory, by name.

    Args:
        config: The configuration.
        dump: Folder of the stored streams.
        directory: The data directory.
        check: Compare the audio with the audio that the features were computed from.

    Raises:
        InputError: As ``CachedStream.open``.
    """
    from spooftrace.batching.utterances import CachedStream

    check = check and ranks.rank() == 0  # an error on rank 0 ends all ranks, so one comparison is enough
    return {name: CachedStream.open(dump, name, config.streams[name], directory, check) for name in config.data.cached}


def make_batches(
    role: Role, config: Config, system: System, directory: Path, dump: Path,
    cached: Mapping[str, CachedStream] | None = None, augment_dev: bool = False,
) -> Batches:  # fmt: skip
    """Batches of a data directory for one role.

    | role | labels | crop | augmented | order |
    |---|---|---|---|---|
    | ``train`` | yes | ``data.train_crop`` | yes | shuffled |
    | ``dev`` | yes | ``data.eval_crop``, with ``first`` for ``windows`` | with ``augment_dev`` | every utterance once |
    | ``score`` | no | ``data.eval_crop`` | no | every utterance once |

    Args:
        role: What the batches are for.
        config: The configuration.
        system: The system that takes them.
        directory: The data directory.
        dump: Folder of the stored streams.
        cached: The streams from ``open_streams`` if they are open already.
        augment_dev: Augment a ``dev`` set like the training set.

    Raises:
        InputError: No utterances, missing or unknown labels, missing audio or features.
    """
    from spooftrace.batching.batches import Batches
    from spooftrace.batching.utterances import Utterances
    from spooftrace.datadir import DataDir

    options, seed = config.data, config.seed_everything
    data = DataDir.read(directory)
    if not data.utts:
        raise InputError(f"{directory}: no utterances")
    targets = None if role == "score" else system.task.targets(data)
    if cached is None:
        cached = open_streams(config, dump, directory)
    augment = role == "train" or (role == "dev" and augment_dev)
    crop = _crop(role, options)
    utterances = Utterances(data, targets, cached, system.needs_wave, options, seed, crop, augment)
    size = options.batch_size if role == "train" else options.eval_batch_size
    return Batches(utterances, size, seed, shuffle=role == "train", num_workers=options.num_workers)


def _crop(role: Role, options: Data) -> Crop:
    """How the utterances of a role are cropped."""
    if role == "train":
        return options.train_crop
    if options.eval_crop == "full":
        return "none"
    # Windows would make each dev epoch several times as long.
    return "windows" if options.eval_crop == "windows" and role == "score" else "first"
