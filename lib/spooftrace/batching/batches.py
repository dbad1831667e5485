"""Batches of utterances.

The order is a function of (seed, epoch), so a run that is killed and started again continues with the batches that it
would have seen.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from spooftrace.batching.loader import load
from spooftrace.batching.utterances import Utterances
from spooftrace.common.errors import InputError
from spooftrace.datadir import DataDir
from spooftrace.extraction.reading import plan_batches

WHOLE_SECONDS = 300.0  # audio in a batch of whole utterances: all of it is in memory at once, and so are its windows


class Batches:
    """The batches of one epoch at a time; training sets ``done``, so ``state_dict`` is exact.

    A batch is a list of groups, and a group is
    ``{"utt": list, "target": (B,), "wave": (B, N), "wave_len": (B,), <stream>: (B, T, D), <stream>_len: (B,)}``.
    The utterances of a group have one length, so no padding can change a score. Cropped batches have a single group.

    Args:
        utterances: The utterances.
        batch_size: Utterances of a batch, over all ranks.
        seed: Seed of the order.
        shuffle: Draw another order in every epoch and leave out a last batch that is not full. Otherwise every
            utterance comes exactly once, in the order of :func:`plan_scoring`.
        num_workers: Loader processes.
    """

    def __init__(
        self,
        utterances: Utterances,
        batch_size: int,
        seed: int,
        shuffle: bool,
        num_workers: int = 0,
    ) -> None:
        self.utterances = utterances
        self.batch_size = batch_size
        self.seed = seed
        self.shuffle = shuffle
        self.num_workers = num_workers
        self.rank, self.world_size = 0, 1
        self.epoch = 0
        self.done = 0  # batches of this epoch that were trained on; the loader has prefetched more

    def share(self, rank: int, world_size: int) -> None:
        """Keep only the share of one rank: its part of every batch if shuffled, otherwise whole batches.

        All ranks get the same number of batches. Without ``shuffle`` some get the last batch again, which
        :meth:`in_order` drops.
        """
        self.rank, self.world_size = rank, world_size

    def set_position(self, epoch: int, done: int = 0) -> None:
        """Set the epoch of the next iteration, and the number of its batches to skip."""
        self.epoch, self.done = epoch, done

    def state_dict(self) -> dict[str, int]:
        """The position; Lightning saves it in its checkpoints."""
        return {"epoch": self.epoch, "done": self.done}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Restore the position that ``state_dict`` returned."""
        self.set_position(state["epoch"], state["done"])

    def __len__(self) -> int:
        return len(self._indices())

    def __iter__(self) -> Iterator[list[dict[str, Any]]]:
        return load(self.utterances, self._indices()[self.done :], self.batch_size, self.num_workers, self.epoch)

    def _indices(self) -> list[list[int]]:
        if not self.shuffle:
            place = {utt: index for index, utt in enumerate(self.utterances.utts)}
            plan = [[place[utt] for utt in batch] for batch in self._plan()]
            plan += plan[-1:] * (-len(plan) % self.world_size)
            return plan[self.rank :: self.world_size]
        count = len(self.utterances)
        order = np.random.default_rng([self.seed, self.epoch]).permutation(count).tolist()
        size = min(self.batch_size, count) // self.world_size * self.world_size
        if size == 0:
            raise InputError(f"{self.utterances.directory.path}: {count} utterances for {self.world_size} processes")
        # The last, smaller batch is left out: batch normalisation should not see a batch of one.
        batches = [order[i : i + size] for i in range(0, count - size + 1, size)]
        return [batch[self.rank :: self.world_size] for batch in batches]

    def _plan(self) -> list[list[str]]:
        whole = self.utterances.crop in ("none", "windows")
        return plan_scoring(self.utterances.directory, self.batch_size, whole)

    def in_order(self, shares: Sequence[Sequence[Any]]) -> list[Any]:
        """Interleave per-rank results into single-process order.

        Args:
            shares: For each rank, the results of its batches.
        """
        rounds = zip(*shares, strict=True)  # every rank has one batch of each round
        return [result for results in rounds for result in results][: len(self._plan())]


def plan_scoring(directory: DataDir, batch_size: int, whole: bool) -> list[list[str]]:
    """Batches that hold every utterance of a data directory once; utterances of similar length share a batch.

    A sum rounds differently in a batch of another size. Batches depend on the data directory only, so a job that scores
    a subset of the batches gets bit-identical scores.

    Args:
        directory: The data directory; ``utt2dur`` has the lengths.
        batch_size: Utterances of a batch at most.
        whole: The utterances are not cropped, so batches of long ones are smaller.
    """
    durations = directory.tables.get("utt2dur", {})
    seconds = {utt: float(durations.get(utt, 0.0)) for utt in directory.utts}
    return list(plan_batches(seconds, WHOLE_SECONDS if whole else math.inf, batch_size))
