"""Stage 3 at work: threads decode audio, the device computes, a thread writes."""

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
from spooftrace.extraction.reading import durations, plan_batches, read_ahead
from spooftrace.extraction.store import TIME_AXIS, Part, check_room, check_weights, origin, stored_bytes
from spooftrace.frontends import FrontEnd
from spooftrace.system.devices import pick_device
from spooftrace.system.packing import Precision, autocast, check_precision, pack
from spooftrace.system.system import count_parameters

# A processor is fastest while a batch stays in its caches, a GPU when all of it has something to do.
BATCH_SECONDS = {"cpu": 8.0, "cuda": 160.0}
UNWRITTEN = 3  # batches that may wait for the writer


@dataclass(frozen=True)
class Settings:
    """How streams are computed and stored.

    Args:
        precision: ``bf16`` and ``fp16`` compute with fewer bits where the hardware can; float32 is stored.
        compress: Store Kaldi's two-byte matrices, or float16 where there is a third axis.
        num_gpus: 1 to compute on the GPU.
        batch_seconds: Audio in a batch, padding included; ``None`` chooses by the device.
        batch_utterances: Utterances in a batch at most, for front-ends that cost the same for short ones.
    """

    precision: Precision = "fp32"
    compress: bool = False
    num_gpus: int = 0
    batch_seconds: float | None = None
    batch_utterances: int = 32


@dataclass
class Stream:
    """A front-end, the archive that its output goes to, and the utterances that are not in there yet."""

    frontend: FrontEnd
    writer: ArchiveWriter
    missing: set[str]


class Extraction:
    """Computes streams; a front-end is loaded once for all data directories.

    Raises:
        InputError: The device is not there, or does not compute in the precision asked for.
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
        """Compute streams for one part of a data directory; goes on where a killed run stopped.

        Each utterance is read once for all streams.

        Args:
            nodes: For each stream the folder where ``feats.<job>.{ark,scp}`` go, and ``class_path`` and ``init_args``
                of its front-end.
            directory: The data directory.
            job: This part, from 1.
            num_jobs: Number of parts.
            title: What the progress calls this; default: the directory and the part.

        Raises:
            InputError: An audio file is missing or damaged; features are not finite; the disk is full; a stream is
                one that is fine-tuned, or has sets that other weights computed. What was finished before is kept.
        """
        data = DataDir.read(directory)
        utts = shard(data.utts, job, num_jobs)
        sources = {utt: Source(*data.audio(utt)) for utt in utts}
        # The sizes are those of the whole set where that costs nothing.
        seconds = durations(data, data.utts if "utt2dur" in data.tables else utts)
        with ExitStack() as stack:
            streams = []
            for folder, node in nodes.items():
                frontend, about = self.load(node, folder)
                made = origin(node, directory) | about | {"num_jobs": num_jobs}
                part = Part(folder, job)
                if part.is_finished(made, sources):
                    continue
                check_weights(made, folder)
                self._check_room(frontend, folder, seconds)
                part.begin(made, sources)
                compress = self.settings.compress
                writer = ArchiveWriter(part.ark, part.scp, compress=compress, resume=True, sums=part.sums)
                stack.enter_context(writer)
                streams.append(Stream(frontend, writer, set(utts) - writer.keys))
            if streams:
                names = ", ".join(folder.parent.name for folder in nodes)
                what = f"{names} of {title or f'{directory}, part {job} of {num_jobs}'}"
                self._compute(data, streams, {utt: seconds[utt] for utt in utts}, what)

    def load(self, node: Mapping[str, Any], folder: Path) -> tuple[FrontEnd, dict[str, Any]]:
        """A front-end on its device, ready to run, and what its streams are described by."""
        key = json.dumps(node, sort_keys=True)
        if key not in self._loaded:
            frontend = build(node).eval()
            if frontend.finetune:
                raise InputError(f"{folder}: a fine-tuned stream cannot be cached; take it out of data.cached")
            about = {
                "layout": frontend.layout, "dim": frontend.dim, "frame_rate": frontend.frame_rate,
                "fingerprint": frontend.fingerprint(), "compress": self.settings.compress,
                "precision": self.settings.precision, "parameters": count_parameters(frontend),
            }  # fmt: skip
            frontend = frontend.to(self.device)
            if self.device.type == "cpu" and frontend.packable:
                pack(frontend, self.settings.precision)
            self._loaded[key] = frontend, about
        return self._loaded[key]

    def _check_room(self, frontend: FrontEnd, folder: Path, seconds: Mapping[str, float]) -> None:
        (example,) = self._forward(frontend, [torch.zeros(SAMPLE_RATE)])  # what its shape is, e.g. how many layers
        axis = TIME_AXIS[frontend.layout]
        sizes = {False: 0, True: 0}
        for length in seconds.values():
            shape = list(example.shape)
            if axis is not None:
                shape[axis] = frontend.num_frames(round(length * SAMPLE_RATE))
            for compress in sizes:
                sizes[compress] += stored_bytes(shape, example.is_floating_point(), compress)
        hours = f"{sum(seconds.values()) / 3600:,.2f} h"
        check_room(folder, sizes, self.settings.compress, f"{counted(len(seconds), 'utterance')}, {hours}")

    def _compute(self, data: DataDir, streams: Sequence[Stream], seconds: Mapping[str, float], what: str) -> None:
        missing = set().union(*(stream.missing for stream in streams))
        todo = {utt: length for utt, length in seconds.items() if utt in missing}
        batches = plan_batches(todo, self.batch_seconds, self.settings.batch_utterances)
        with (
            torch.inference_mode(),
            Background() as background,
            Progress(what, len(seconds), sum(seconds.values())) as progress,
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
        """The features of each utterance without padding, in the main memory: waves (N,), all at once."""
        wave = pad_sequence(list(waves), batch_first=True)  # B x (N,) -> (B, N)
        wave_len = torch.tensor([len(one) for one in waves])
        with torch.inference_mode(), autocast(self.settings.precision, self.device):
            features, lengths = frontend(wave.to(self.device), wave_len.to(self.device))
        features = features.cpu()
        axis = TIME_AXIS[frontend.layout]
        if axis is None:
            return list(features)
        return [one.narrow(axis, 0, length) for one, length in zip(features, lengths.tolist(), strict=True)]


class Background:
    """One thread that does what it is given in order, while the caller goes on; not far ahead of it.

    An error there is raised here, at one of the next calls or by ``finish``.
    """

    def __enter__(self) -> Background:
        self._thread = ThreadPoolExecutor(1)
        self._waiting: deque[Future[None]] = deque()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._thread.shutdown()  # also after an error: what is computed shall be kept

    def run(self, function: Any, *arguments: Any) -> None:
        """Do ``function(*arguments)`` some time; waits when too much is waiting already."""
        while len(self._waiting) >= UNWRITTEN or (self._waiting and self._waiting[0].done()):
            self._waiting.popleft().result()
        self._waiting.append(self._thread.submit(function, *arguments))

    def finish(self) -> None:
        """Wait until everything is done."""
        while self._waiting:
            self._waiting.popleft().result()


def _store(writer: ArchiveWriter, utts: Sequence[str], arrays: Sequence[Tensor], notes: Mapping[str, str]) -> None:
    for utt, array in zip(utts, arrays, strict=True):
        writer.write(utt, (array.float() if array.is_floating_point() else array.int()).numpy(), notes[utt])
