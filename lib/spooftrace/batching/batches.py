"""From a data directory to batches.

Every random draw (order, crop, augmentation) is a pure function of (seed, epoch, utterance), never of a worker, a rank
or what came before. So a run that is killed and started again continues with exactly the batches it would have seen.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from zlib import crc32

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from spooftrace.archive import ArchiveReader, StoredArray
from spooftrace.audio.reading import LONGEST, read_audio
from spooftrace.batching.loader import load
from spooftrace.common.errors import InputError
from spooftrace.common.sample_rate import SAMPLE_RATE
from spooftrace.config.settings import Data
from spooftrace.datadir import DataDir
from spooftrace.extraction import belonging
from spooftrace.extraction.reading import plan_batches
from spooftrace.extraction.store import TIME_AXIS
from spooftrace.system.system import StreamShape

if TYPE_CHECKING:
    from spooftrace.audio.augment import Augmentation

WHOLE_SECONDS = 300.0  # of a batch of whole utterances: they are in memory at once, as are their windows


@dataclass(frozen=True)
class CachedStream:
    """A stream that stage 3 stored: ``dump/<stream>/<set>/feats.scp`` and what it was made with."""

    reader: ArchiveReader
    frame_rate: float
    shape: StreamShape
    parameters: int | None = None  # of the front-end; None for a stream that was stored before they were counted

    @property
    def time_axis(self) -> int | None:
        """The axis of one utterance that is time; None for a vector."""
        return TIME_AXIS[self.shape.layout]

    @classmethod
    def open(cls, dump: Path, stream: str, node: Mapping[str, Any], data: Path, check: bool = True) -> CachedStream:
        """Open the stored stream of data directory ``data``, made with the configuration ``node``.

        Args:
            dump: Where stage 3 stores streams.
            stream: Its name.
            node: ``class_path`` and ``init_args`` of its front-end.
            data: The data directory.
            check: Compare the audio with what the features were made from, which asks for the state of every file.

        Raises:
            InputError: Stage 3 has not stored it, or made it with another configuration or from other audio.
        """
        folder = dump / stream / data.name
        made = belonging.check(node, data, folder, check)
        shape = StreamShape(made["layout"], made["dim"])
        return cls(ArchiveReader(folder / "feats.scp", beside=True), made["frame_rate"], shape, made.get("parameters"))


class Utterances(Dataset[dict[str, Any]]):
    """The utterances of a data directory as examples ``{"utt", "target", "wave" or <stream>, their "_len"...}``.

    An example is asked for by ``(epoch, index)``; the epoch decides the random crop.

    Args:
        directory: The data directory.
        targets: Class index of each utterance of ``directory``, in its order; ``None`` where there are no labels.
        cached: Streams to read from archives.
        with_wave: Whether a live stream needs the waveform.
        options: Crop, padding and augmentation.
        seed: Seed of the random crops and of the augmentation.
        crop: ``random`` and ``first`` cut or pad to ``options.crop`` samples, ``none`` leaves the utterance whole.
            ``windows`` makes an example of every ``options.crop`` samples from 0, ``eval_hop``, 2 ``eval_hop`` ... on;
            the last window ends with the utterance. A shorter utterance is padded to one window.
        training: The utterances are trained on, so they are augmented also where the crop is not random.

    Raises:
        InputError: An utterance has no audio file, or no features in a cached stream.
    """

    def __init__(
        self,
        directory: DataDir,
        targets: Sequence[int] | None,
        cached: Mapping[str, CachedStream],
        with_wave: bool,
        options: Data,
        seed: int,
        crop: Literal["random", "first", "none", "windows"],
        training: bool = False,
    ) -> None:
        self.utts = directory.utts
        self.targets = targets
        self.cached = cached
        self.directory = directory
        self.with_wave = with_wave
        self.options = options
        self.seed = seed
        self.crop = crop
        # A set with labels that is not trained on is the dev set.
        augmented = training or crop == "random" or (options.augment_dev and targets is not None)
        self.augmentation: Augmentation | None = None
        if augmented and options.augments:
            from spooftrace.audio.augment import Augmentation  # takes a second that scoring does not need

            self.augmentation = Augmentation(options)
        # What an utterance consists of -> its time axis and that axis's entries a second.
        self._time: dict[str, tuple[int | None, float]] = {"wave": (0, SAMPLE_RATE)} if with_wave else {}
        self._time |= {name: (stream.time_axis, stream.frame_rate) for name, stream in cached.items()}
        for name, stream in cached.items():
            missing = [utt for utt in self.utts if utt not in stream.reader]
            if missing:
                raise InputError(
                    f"{directory.path}: {len(missing)} utterances have no '{name}' features "
                    f"(the first is {missing[0]}); run stage 3 again"
                )

    def __len__(self) -> int:
        return len(self.utts)

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Any]:
        return self.examples(*key)[0]

    def __getitems__(self, keys: Sequence[tuple[int, int]]) -> list[dict[str, Any]]:
        """All examples of several utterances; this is what a loader calls."""
        return [example for key in keys for example in self.examples(*key)]

    def examples(self, epoch: int, index: int) -> list[dict[str, Any]]:
        """The examples of one utterance: several with ``windows``, otherwise one."""
        utt = self.utts[index]
        draws = [self.seed, epoch, crc32(utt.encode())]
        about: dict[str, Any] = {"utt": utt}
        if self.targets is not None:
            about["target"] = self.targets[index]
        whole: dict[str, np.ndarray | StoredArray] = {}
        if self.with_wave:
            path, start, end = self.directory.audio(utt)
            # No more than is needed: a recording of hours is scored by its first seconds.
            most = self.options.crop if self.crop == "first" and not self.augmentation else None
            longest = LONGEST if self.crop in ("none", "windows") else None
            wave = read_audio(path, SAMPLE_RATE, start, end, most=most, longest=longest)
            whole["wave"] = self.augmentation.wave(wave, draws) if self.augmentation else wave
        for name, stream in self.cached.items():
            whole[name] = stream.reader.stored(utt)
        return [about | self._cut_out(whole, position, draws) for position in self._positions(whole, draws)]

    def _positions(self, whole: Mapping[str, np.ndarray | StoredArray], draws: list[int]) -> list[float]:
        """Where the examples of an utterance begin: in [0, 1] of the room that there is for a crop."""
        if self.crop == "random":
            return [np.random.default_rng(draws).random()]
        if self.crop == "windows":
            for name, (axis, rate) in self._time.items():
                if axis is not None:  # the first one with a time axis decides for all
                    room = whole[name].shape[axis] - self._entries(self.options.crop, rate)
                    hop = self._entries(self.options.eval_hop or self.options.crop // 2, rate)
                    return [start / room for start in (*range(0, room, hop), room)] if room > 0 else [0.0]
        return [0.0]

    def _cut_out(
        self, whole: Mapping[str, np.ndarray | StoredArray], position: float, draws: list[int]
    ) -> dict[str, Any]:
        example: dict[str, Any] = {}
        for name, (axis, rate) in self._time.items():
            part = self._cut(whole[name], axis, self._entries(self.options.crop, rate), position)
            if self.augmentation and name != "wave" and axis == 0 and part.ndim == 2:  # frames (T, D)
                part = torch.from_numpy(self.augmentation.frames(part.numpy(), draws))
            example[name] = part
            example[f"{name}_len"] = 1 if axis is None else part.shape[axis]
        return example

    @staticmethod
    def _entries(samples: int, rate: float) -> int:
        """Entries of a time axis that ``samples`` samples are; at least one."""
        return max(1, round(samples * rate / SAMPLE_RATE))

    def _cut(self, array: np.ndarray | StoredArray, axis: int | None, length: int, position: float) -> Tensor:
        """``length`` entries of the time axis, from ``position`` in [0, 1] of the room there is.

        A stored array is read only where it is cut out.
        """
        whole: tuple[slice, ...] = (slice(None),) * len(array.shape)
        if axis is None or self.crop == "none":
            return _to_tensor(array[whole])
        size = array.shape[axis]
        if size >= length:
            room = size - length
            start = min(int(position * (room + 1)), room)
            return _to_tensor(array[(*whole[:axis], slice(start, start + length))])  # (.., N, ..) -> (.., length, ..)
        found = array[whole]
        if self.options.pad == "repeat":
            return _to_tensor(found.take(np.arange(length) % size, axis))  # (.., N, ..) -> (.., length, ..)
        missing = [(0, length - size if number == axis else 0) for number in range(len(array.shape))]
        return _to_tensor(np.pad(found, missing))  # (.., N, ..) -> (.., length, ..)


def _to_tensor(array: np.ndarray) -> Tensor:
    """A copy, because cached arrays are read-only views of the file; float16 is for storing only."""
    return torch.tensor(array.astype(np.float32) if array.dtype == np.float16 else array)


class Batches:
    """Batches of one epoch at a time. A training keeps ``done``, so that ``state_dict`` is exact.

    A batch is a list of groups, and a group is
    ``{"utt": list, "target": (B,), "wave": (B, N), "wave_len": (B,), <stream>: (B, T, D), <stream>_len: (B,)}``:
    utterances of one length each, so that no padding can touch a score. Cropped batches have a single group.
    Without ``shuffle`` every utterance comes exactly once, as :func:`plan_scoring` puts it; with it, a last batch that
    is not full is left out.
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
        self.done = 0  # batches of this epoch that were trained on, which the loader's prefetching runs ahead of

    def share(self, rank: int, world_size: int) -> None:
        """Take only what falls to one of several processes: its part of every batch to train on, else whole batches.

        All get the same number of batches; of those that are only scored, some get the last one once more
        (:meth:`in_order` leaves it out again).
        """
        self.rank, self.world_size = rank, world_size

    def set_position(self, epoch: int, done: int = 0) -> None:
        """Let the next iteration be ``epoch``, leaving out its first ``done`` batches."""
        self.epoch, self.done = epoch, done

    def state_dict(self) -> dict[str, int]:
        """Where we are; Lightning puts it into its checkpoints."""
        return {"epoch": self.epoch, "done": self.done}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Go to where ``state_dict`` was."""
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
        """What several processes, by rank, made of their shares of the batches to score, as one process has it."""
        rounds = zip(*shares, strict=True)  # every process has one batch of each round
        return [result for results in rounds for result in results][: len(self._plan())]


def plan_scoring(directory: DataDir, batch_size: int, whole: bool) -> list[list[str]]:
    """Batches that hold every utterance of a data directory once; utterances of similar length share a batch.

    Batches of ``whole`` utterances are smaller where the utterances are long. A sum rounds differently in a batch of
    another size, so batches depend only on the data directory: a job that computes some of them gets the same numbers.
    """
    known = directory.tables.get("utt2dur", {})
    seconds = {utt: float(known.get(utt, 0.0)) for utt in directory.utts}
    return list(plan_batches(seconds, WHOLE_SECONDS if whole else math.inf, batch_size))
