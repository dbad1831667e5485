"""The extraction pipeline: threads decode audio, the device computes, a thread writes."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from spooftrace.archive import ArchiveWriter
from spooftrace.common.english import counted
from spooftrace.common.errors import InputError
from spooftrace.common.journal import shard
from spooftrace.common.progress import Progress
from spooftrace.common.sample_rate import SAMPLE_RATE
from spooftrace.config.loading import build
from spooftrace.datadir import DataDir
from spooftrace.datadir.sources import Source
from spooftrace.extraction.disk_space import check_disk_space, stored_bytes
from spooftrace.extraction.reading import durations, plan_batches, read_ahead
from spooftrace.extraction.store import TIME_AXIS, Shard, check_weights, origin_of_stream
from spooftrace.frontends import FrontEnd
from spooftrace.system.devices import pick_device
from spooftrace.system.packing import Precision, autocast, check_precision, pack
from spooftrace.system.system import count_parameters

# A CPU is fastest while a batch fits into its caches, a GPU with enough work for all of its units.
BATCH_SECONDS = {"cpu": 8.0, "cuda": 160.0}
UNWRITTEN = 3  # batches that may wait for the writer


@dataclass(frozen=True)
class Settings:
    """Settings for computing and storing streams.

    Args:
        precision: Precision of the computation, where the hardware supports it; float32 is stored.
        compress: Store Kaldi's two-byte matrices, or float16 for arrays with three axes.
        num_gpus: 1 to compute on the GPU.
        batch_seconds: Seconds of audio per batch, padding included; ``None`` for the device's default.
        batch_utterances: Maximum number of utterances per batch, for front-ends that pad to a fixed length.
    """

    precision: Precision = "fp32"
    compress: bool = False
    num_gpus: int = 0
    batch_seconds: float | None = None
    batch_utterances: int = 32


@dataclass
class Stream:
    """A front-end, the archive of its output, and the utterances that are missing from the archive."""

    frontend: FrontEnd
    writer: ArchiveWriter
    missing: set[str]


class Extraction:
    """Compute streams; each front-end is loaded once for all data directories.

    Args:
        settings: The settings.

    Raises:
        InputError: The device is missing, or does not support the precision.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.device = pick_device(settings.num_gpus)
        check_precision(settings.precision, self.device)
        self.batch_seconds = settings.batch_seconds or BATCH_SECONDS[self.device.type]
        self._loaded: dict[str, tuple[FrontEnd, dict[str, Any]]] = {}

    def run(
        self, nodes: Mapping[Path, Mapping[str, Any]], directory: Path, job: int = 1, num_jobs: int = 1,
        title: str | None = None,
    ) -> None:  # fmt: skip
        """Compute one shard of streams for a data directory, and continue an interrupted run.

        Each utterance is read once for all streams. Features that were finished before an error are kept.

        Args:
            nodes: Folder for ``feats.<job>.{ark,scp}`` of a stream -> ``class_path`` and ``init_args`` of its
                front-end.
            directory: The data directory.
            job: Number of this shard, counted from 1.
            num_jobs: Number of shards.
            title: Title of the progress; by default the directory and the shard.

        Raises:
            InputError: An audio file is missing or damaged, features are not finite, the disk is full, a stream is
                fine-tuned, or other sets of a stream were computed with other weights.
        """
        data = DataDir.read(directory)
        utts = shard(data.utts, job, num_jobs)
        sources = {utt: Source(*data.audio(utt)) for utt in utts}
        # With ``utt2dur`` the size of the whole set is known without opening any file.
        seconds = durations(data, data.utts if "utt2dur" in data.tables else utts)
        with ExitStack() as stack:
            streams = []
            for folder, node in nodes.items():
                frontend, properties = self.load(node, folder)
                description = origin_of_stream(node, directory) | properties | {"num_jobs": num_jobs}
                output = Shard(folder, job)
                if output.is_finished(description, sources):
                    continue
                check_weights(description, folder)
                self._check_disk_space(frontend, folder, seconds)
                output.begin(description, sources)
                compress = self.settings.compress
                writer = ArchiveWriter(output.ark, output.scp, compress=compress, resume=True, sums=output.sums)
                stack.enter_context(writer)
                streams.append(Stream(frontend, writer, set(utts) - writer.keys))
            if streams:
                names = ", ".join(folder.parent.name for folder in nodes)
                task = f"{names} of {title or f'{directory}, shard {job} of {num_jobs}'}"
                self._compute(data, streams, {utt: seconds[utt] for utt in utts}, task)

    def load(self, node: Mapping[str, Any], folder: Path) -> tuple[FrontEnd, dict[str, Any]]:
        """Load a front-end onto the device.

        Args:
            node: ``class_path`` and ``init_args`` of the front-end.
            folder: Folder of its stream, for messages.

        Returns:
            The front-end, and its fields for the description of its streams.

        Raises:
            InputError: The front-end is fine-tuned.
        """
        key = json.dumps(node, sort_keys=True)
        if key not in self._loaded:
            frontend = build(node).eval()
            if frontend.finetune:
                raise InputError(f"{folder}: a fine-tuned stream cannot be cached; take it out of data.cached")
            properties = {
                "layout": frontend.layout, "dim": frontend.dim, "frame_rate": frontend.frame_rate,
                "fingerprint": frontend.fingerprint(), "compress": self.settings.compress,
                "precision": self.settings.precision, "parameters": count_parameters(frontend),
            }  # fmt: skip
            frontend = frontend.to(self.device)
            if self.device.type == "cpu" and frontend.packable:
                pack(frontend, self.settings.precision)
            self._loaded[key] = frontend, properties
        return self._loaded[key]

    def _check_disk_space(self, frontend: FrontEnd, folder: Path, seconds: Mapping[str, float]) -> None:
        (example,) = self._forward(
            frontend, [torch.zeros(SAMPLE_RATE)]
        )  # shows the shape of the output, such as the number of layers
        axis = TIME_AXIS[frontend.layout]
        sizes = {False: 0, True: 0}
        for length in seconds.values():
            shape = list(example.shape)
            if axis is not None:
                shape[axis] = frontend.num_frames(round(length * SAMPLE_RATE))
            for compress in sizes:
                sizes[compress] += stored_bytes(shape, example.is_floating_point(), compress)
        hours = f"{sum(seconds.values()) / 3600:,.2f} h"
        check_disk_space(folder, sizes, self.settings.compress, f"{counted(len(seconds), 'utterance')}, {hours}")

    def _compute(self, data: DataDir, streams: Sequence[Stream], seconds: Mapping[str, float], title: str) -> None:
        missing = set().union(*(stream.missing for stream in streams))
        todo = {utt: length for utt, length in seconds.items() if utt in missing}
        batches = plan_batches(todo, self.batch_seconds, self.settings.batch_utterances)
        with (
            torch.inference_mode(),
            Background() as background,
            Progress(title, len(seconds), sum(seconds.values())) as progress,
        ):
            progress.skip(len(seconds) - len(todo), sum(seconds.values()) - sum(todo.values()))
            for utts, waves, notes in read_ahead(data, batches):
                tensors = dict(zip(utts, map(torch.from_numpy, waves), strict=True))
                for stream in streams:
                    chosen = [utt for utt in utts if utt in stream.missing]
                    if chosen:
                        arrays = self._forward(stream.frontend, [tensors[utt] for utt in chosen])
                        background.run(_store, stream.writer, chosen, arrays, notes)
                progress.advance(len(utts), sum(seconds[utt] for utt in utts))
            background.finish()

    def _forward(self, frontend: FrontEnd, waves: Sequence[Tensor]) -> list[Tensor]:
        """Run waves (N,) as one batch, and return the features of each without padding, on the CPU."""
        wave = pad_sequence(list(waves), batch_first=True)  # B x (N,) -> (B, N)
        wave_len = torch.tensor([len(samples) for samples in waves])
        with torch.inference_mode(), autocast(self.settings.precision, self.device):
            features, lengths = frontend(wave.to(self.device), wave_len.to(self.device))
        features = features.cpu()
        axis = TIME_AXIS[frontend.layout]
        if axis is None:
            return list(features)
        return [array.narrow(axis, 0, length) for array, length in zip(features, lengths.tolist(), strict=True)]


class Background:
    """A thread that runs calls in order, with a bounded queue.

    An error of a call is raised by one of the next calls of ``run`` or by ``finish``.
    """

    def __enter__(self) -> Background:
        self._thread = ThreadPoolExecutor(1)
        self._waiting: deque[Future[None]] = deque()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._thread.shutdown()  # after an error, too: waits until computed features are written

    def run(self, function: Any, *arguments: Any) -> None:
        """Queue the call ``function(*arguments)``; block while the queue is full.

        Args:
            function: The function.
            *arguments: Its arguments.
        """
        while len(self._waiting) >= UNWRITTEN or (self._waiting and self._waiting[0].done()):
            self._waiting.popleft().result()
        self._waiting.append(self._thread.submit(function, *arguments))

    def finish(self) -> None:
        """Wait until all calls have returned."""
        while self._waiting:
            self._waiting.popleft().result()


def _store(writer: ArchiveWriter, utts: Sequence[str], arrays: Sequence[Tensor], notes: Mapping[str, str]) -> None:
    for utt, array in zip(utts, arrays, strict=True):
        writer.write(utt, (array.float() if array.is_floating_point() else array.int()).numpy(), notes[utt])
