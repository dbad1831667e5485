"""From a data directory to batches.

Every random draw (order, crop, augmentation) is a pure function of (seed, epoch, utterance), never of a worker, a rank
or what came before. So a run that is killed and started again continues with exactly the batches it would have seen.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from zlib import crc32

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from spooftrace.archive import ArchiveReader, StoredArray
from spooftrace.audio import read_audio
from spooftrace.audio.augment import Augmentation
from spooftrace.config import Data
from spooftrace.datadir import DataDir
from spooftrace.errors import InputError
from spooftrace.extraction.store import TIME_AXIS, read_description
from spooftrace.frontends.base import SAMPLE_RATE
from spooftrace.system import StreamShape


@dataclass(frozen=True)
class CachedStream:
    """A stream that stage 3 stored: ``dump/<stream>/<set>/feats.scp`` and what it was made with."""

    reader: ArchiveReader
    frame_rate: float
    shape: StreamShape

    @property
    def time_axis(self) -> int | None:
        """The axis of one utterance that is time; None for a vector."""
        return TIME_AXIS[self.shape.layout]

    @classmethod
    def open(cls, dump: Path, stream: str, node: Mapping[str, Any], data: Path) -> CachedStream:
        """Open the stored stream of data directory ``data``, made with the configuration ``node``."""
        folder = dump / stream / data.name
        if not (folder / "feats.scp").exists():
            raise InputError(f"{folder}/feats.scp: not there; run stage 3 (feature extraction) first")
        made = read_description(folder / "stream.json")
        if made.get("config") != dict(node):
            raise InputError(
                f"{folder}: was extracted with another configuration of stream '{stream}'; "
                "run stage 3 again or choose another --dump"
            )
        shape = StreamShape(made["layout"], made["dim"])
        return cls(ArchiveReader(folder / "feats.scp"), made["frame_rate"], shape)


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
        crop: Literal["random", "first", "none"],
    ) -> None:
        self.utts = directory.utts
        self.targets = targets
        self.cached = cached
        self.directory = directory
        self.with_wave = with_wave
        self.durations = directory.tables.get("utt2dur", {})
        self.options = options
        self.seed = seed
        self.crop = crop
        # A set with labels that is not cropped at random is the dev set.
        augmented = self._random or (options.augment_dev and targets is not None)
        self.augmentation = Augmentation(options) if augmented and options.augments else None
        for name, stream in cached.items():
            missing = [utt for utt in self.utts if utt not in stream.reader]
            if missing:
                raise InputError(
                    f"{directory.path}: {len(missing)} utterances have no '{name}' features "
                    f"(the first is {missing[0]}); run stage 3 again"
                )

    def leave_out(self, done: Collection[str]) -> None:
        """Forget the utterances in ``done``; only for sets without labels."""
        self.utts = [utt for utt in self.utts if utt not in done]

    def __len__(self) -> int:
        return len(self.utts)

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Any]:
        epoch, index = key
        utt = self.utts[index]
        draws = [self.seed, epoch, crc32(utt.encode())]
        position = np.random.default_rng(draws).random() if self._random else 0.0
        example: dict[str, Any] = {"utt": utt}
        if self.targets is not None:
            example["target"] = self.targets[index]
        if self.with_wave:
            path, start, end = self.directory.audio(utt)
            wave = read_audio(path, SAMPLE_RATE, start, end)
            if self.augmentation:
                wave = self.augmentation.wave(wave, draws)
            example["wave"] = self._cut(wave, 0, self.options.crop, position)
            example["wave_len"] = len(example["wave"])
        for name, stream in self.cached.items():
            frames = max(1, round(self.options.crop * stream.frame_rate / SAMPLE_RATE))
            example[name] = self._cut(stream.reader.stored(utt), stream.time_axis, frames, position)
            if self.augmentation and stream.time_axis == 0 and example[name].ndim == 2:  # frames (T, D)
                example[name] = torch.from_numpy(self.augmentation.frames(example[name].numpy(), draws))
            example[f"{name}_len"] = 1 if stream.time_axis is None else example[name].shape[stream.time_axis]
        return example

    def approximate_length(self, index: int) -> float:
        """Something that grows with the utterance's length, without reading it."""
        return float(self.durations.get(self.utts[index], 0.0))

    @property
    def _random(self) -> bool:
        return self.crop == "random"

    def _cut(self, array: np.ndarray | StoredArray, axis: int | None, length: int, position: float) -> Tensor:
        """``length`` entries of the time axis, from ``position`` in [0, 1) of the room there is.

        A stored array is read only where it is cut out.
        """
        whole: tuple[slice, ...] = (slice(None),) * len(array.shape)
        if axis is None or self.crop == "none":
            return _to_tensor(array[whole])
        size = array.shape[axis]
        if size >= length:
            start = int(position * (size - length + 1))
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
    """Batches of one epoch at a time. Whoever trains on them keeps ``done``, so that ``state_dict`` is exact.

    A batch is a list of groups, and a group is
    ``{"utt": list, "target": (B,), "wave": (B, N), "wave_len": (B,), <stream>: (B, T, D), <stream>_len: (B,)}``:
    utterances of one length each, so that no padding can touch a score. Cropped batches have a single group.
    Without ``shuffle`` every utterance comes exactly once; with it, a last batch that is not full is left out.
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
        self.rank, self.world_size = 0, 1  # which share of each training batch is ours
        self.epoch = 0
        self.done = 0  # batches of this epoch that were trained on, which the loader's prefetching runs ahead of

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
        batches = [[(self.epoch, i) for i in batch] for batch in self._indices()[self.done :]]
        loader = DataLoader(
            self.utterances,
            batch_sampler=batches,  # type: ignore[arg-type]  (any iterable of lists of keys will do)
            num_workers=min(self.num_workers, len(batches)),
            collate_fn=_collate,
        )
        try:
            yield from loader
        except InputError as error:
            # From a loader process it comes with the process's traceback; its last line is the message.
            message = str(error).strip().splitlines()[-1]
            raise InputError(message.removeprefix(f"{InputError.__module__}.InputError: ")) from None

    def _indices(self) -> list[list[int]]:
        count = len(self.utterances)
        if not self.shuffle:
            # Neighbours in length share a batch, so that whole utterances of equal length meet.
            order = sorted(range(count), key=self.utterances.approximate_length)
            return [order[i : i + self.batch_size] for i in range(0, count, self.batch_size)]
        order = np.random.default_rng([self.seed, self.epoch]).permutation(count).tolist()
        size = min(self.batch_size, count)
        # The last, smaller batch is left out: batch normalisation should not see a batch of one.
        batches = [order[i : i + size] for i in range(0, count - size + 1, size)]
        return [batch[self.rank :: self.world_size] for batch in batches]


def _collate(examples: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Stack examples whose tensors have the same shapes; one batch for each such group."""
    groups: dict[tuple[torch.Size, ...], list[dict[str, Any]]] = {}
    for example in examples:
        shapes = tuple(value.shape for value in example.values() if isinstance(value, Tensor))
        groups.setdefault(shapes, []).append(example)
    return [_stack(group) for group in groups.values()]


def _stack(examples: list[dict[str, Any]]) -> dict[str, Any]:
    batch: dict[str, Any] = {}
    for key, first in examples[0].items():
        values = [example[key] for example in examples]
        if isinstance(first, Tensor):
            batch[key] = torch.stack(values)  # B x (N, ...) -> (B, N, ...)
        elif key != "utt":
            batch[key] = torch.tensor(values)
        else:
            batch[key] = values
    return batch
