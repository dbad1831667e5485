"""Utterances of a data directory as examples: read, augmented and cropped.

Crops and augmentation are a function of (seed, epoch, utterance), and of no worker, rank or earlier draw. A run that is
killed and started again therefore continues with the batches that it would have seen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
from spooftrace.common.errors import InputError
from spooftrace.common.sample_rate import SAMPLE_RATE
from spooftrace.config.settings import Data
from spooftrace.datadir import DataDir
from spooftrace.extraction import belonging
from spooftrace.extraction.store import TIME_AXIS
from spooftrace.system.system import StreamShape

if TYPE_CHECKING:
    from spooftrace.audio.augment import Augmentation

Crop = Literal["random", "first", "none", "windows"]


@dataclass(frozen=True)
class CachedStream:
    """A stream that stage 3 stored: ``dump/<stream>/<set>/feats.scp`` and its description."""

    reader: ArchiveReader
    frame_rate: float
    shape: StreamShape
    parameters: int | None = None  # of the front-end; None for a stream of a version that did not count them

    @property
    def time_axis(self) -> int | None:
        """The time axis of one stored utterance; None for a vector."""
        return TIME_AXIS[self.shape.layout]

    @classmethod
    def open(cls, dump: Path, stream: str, node: Mapping[str, Any], data: Path, check: bool = True) -> CachedStream:
        """Open a stored stream of a data directory.

        Args:
            dump: Folder of the stored streams.
            stream: Name of the stream.
            node: ``class_path`` and ``init_args`` of its front-end.
            data: The data directory.
            check: Compare the audio with the audio that the features were computed from, one ``stat`` a file.

        Raises:
            InputError: Stage 3 has not stored the stream, or stored it with another configuration or from other audio.
        """
        folder = dump / stream / data.name
        description = belonging.check(node, data, folder, check)
        return cls(
            ArchiveReader(folder / "feats.scp", beside=True),
            description["frame_rate"],
            StreamShape(description["layout"], description["dim"]),
            description.get("parameters"),
        )


class Utterances(Dataset[dict[str, Any]]):
    """The utterances of a data directory as examples ``{"utt", "target", "wave" or <stream>, their "_len"...}``.

    The index of an example is ``(epoch, index)``; the epoch decides the random crop.

    Args:
        directory: The data directory.
        targets: Target of each utterance of ``directory``, in its order; None leaves ``target`` out.
        cached: Streams to read from archives.
        with_wave: Whether a live stream needs the waveform.
        options: Crop length, padding and augmentation.
        seed: Seed of the random crops and of the augmentation.
        crop: ``random`` and ``first`` crop or pad to ``options.crop`` samples, ``none`` keeps the whole utterance.
            ``windows`` gives an example for each window of ``options.crop`` samples, ``eval_hop`` apart; the last
            window ends with the utterance. A shorter utterance is padded to one window.
        augment: Apply the augmentation in ``options``.

    Raises:
        InputError: An utterance has no audio file, or no features in a cached stream.
    """

    def __init__(
        self,
        directory: DataDir,
        targets: Sequence[Any] | None,
        cached: Mapping[str, CachedStream],
        with_wave: bool,
        options: Data,
        seed: int,
        crop: Crop,
        augment: bool = False,
    ) -> None:
        self.utts = directory.utts
        self.targets = targets
        self.cached = cached
        self.directory = directory
        self.with_wave = with_wave
        self.options = options
        self.seed = seed
        self.crop = crop
        self.augmentation: Augmentation | None = None
        if augment and options.augments:
            from spooftrace.audio.augment import Augmentation  # its import takes a second, which scoring saves

            self.augmentation = Augmentation(options)
        # Input of the system -> its time axis, and the entries a second on that axis.
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
        """All examples of several utterances; the ``DataLoader`` calls this."""
        return [example for key in keys for example in self.examples(*key)]

    def examples(self, epoch: int, index: int) -> list[dict[str, Any]]:
        """The examples of one utterance: one for each window with ``windows``, otherwise one."""
        utt = self.utts[index]
        key = [self.seed, epoch, crc32(utt.encode())]
        labels: dict[str, Any] = {"utt": utt}
        if self.targets is not None:
            labels["target"] = self.targets[index]
        inputs: dict[str, np.ndarray | StoredArray] = {}
        if self.with_wave:
            inputs["wave"] = self._wave(utt, key)
        for name, stream in self.cached.items():
            inputs[name] = stream.reader.stored(utt)
        return [labels | self._crop_all(inputs, position, key) for position in self._positions(inputs, key)]

    def _wave(self, utt: str, key: list[int]) -> np.ndarray:
        path, start, end = self.directory.audio(utt)
        # Read no more than the crop: the first seconds of a recording may be followed by hours.
        most = self.options.crop if self.crop == "first" and not self.augmentation else None
        longest = LONGEST if self.crop in ("none", "windows") else None
        wave = read_audio(path, SAMPLE_RATE, start, end, most=most, longest=longest)
        return self.augmentation.wave(wave, key) if self.augmentation else wave

    def _positions(self, inputs: Mapping[str, np.ndarray | StoredArray], key: list[int]) -> list[float]:
        """Start of each crop as a fraction of the slack (utterance length - crop length)."""
        if self.crop == "random":
            return [np.random.default_rng(key).random()]
        if self.crop == "windows":
            for name, (axis, rate) in self._time.items():
                if axis is not None:  # the first input with a time axis decides for all
                    slack = inputs[name].shape[axis] - self._entries(self.options.crop, rate)
                    hop = self._entries(self.options.eval_hop or self.options.crop // 2, rate)
                    return [start / slack for start in (*range(0, slack, hop), slack)] if slack > 0 else [0.0]
        return [0.0]

    def _crop_all(
        self, inputs: Mapping[str, np.ndarray | StoredArray], position: float, key: list[int]
    ) -> dict[str, Any]:
        example: dict[str, Any] = {}
        for name, (axis, rate) in self._time.items():
            crop = self._crop(inputs[name], axis, self._entries(self.options.crop, rate), position)
            if self.augmentation and name != "wave" and axis == 0 and crop.ndim == 2:  # frames (T, D)
                crop = torch.from_numpy(self.augmentation.frames(crop.numpy(), key))
            example[name] = crop
            example[f"{name}_len"] = 1 if axis is None else crop.shape[axis]
        return example

    @staticmethod
    def _entries(samples: int, rate: float) -> int:
        """Length of ``samples`` samples on a time axis of ``rate`` entries a second, at least 1."""
        return max(1, round(samples * rate / SAMPLE_RATE))

    def _crop(self, array: np.ndarray | StoredArray, axis: int | None, length: int, position: float) -> Tensor:
        """Crop or pad the time axis to ``length`` entries; ``position`` is one of ``_positions``.

        Only the crop of a stored array is read.
        """
        before: tuple[slice, ...] = (slice(None),) * len(array.shape)
        if axis is None or self.crop == "none":
            return _to_tensor(array[before])
        size = array.shape[axis]
        if size >= length:
            slack = size - length
            start = min(int(position * (slack + 1)), slack)
            return _to_tensor(array[(*before[:axis], slice(start, start + length))])  # (.., N, ..) -> (.., length, ..)
        whole = array[before]
        if self.options.pad == "repeat":
            return _to_tensor(whole.take(np.arange(length) % size, axis))  # (.., N, ..) -> (.., length, ..)
        padding = [(0, length - size if number == axis else 0) for number in range(len(array.shape))]
        return _to_tensor(np.pad(whole, padding))  # (.., N, ..) -> (.., length, ..)


def _to_tensor(array: np.ndarray) -> Tensor:
    """A copy: cached arrays are read-only views of their file. float16 is a storage format only."""
    return torch.tensor(array.astype(np.float32) if array.dtype == np.float16 else array)
