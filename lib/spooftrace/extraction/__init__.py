"""Stage 3: compute the cached streams of a system once and store them.

An array job: job ``J`` of ``N`` writes ``dump/<stream>/<set>/feats.J.ark`` and its scp; ``--collect`` then checks that
every utterance is there and writes ``feats.scp`` and ``stream.json``, which marks the stream as complete. A single job
does both.

| module | does |
|---|---|
| ``store`` | what a stored stream is made from, its parts, joining them, its size |
| ``sources`` | the audio that each utterance was made from, compared with the audio that is there |
| ``belonging`` | whether a stored stream belongs to a data directory |
| ``verifying`` | ``--verify``: every entry and all audio read again |
| ``reading`` | utterances of similar length to batches, decoded ahead of the device |
| ``pipeline`` | read, compute, write, all at once |
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spooftrace.common.errors import InputError
from spooftrace.config.settings import Config, Node
from spooftrace.extraction.belonging import is_complete
from spooftrace.extraction.store import collect

if TYPE_CHECKING:
    from spooftrace.system.packing import Precision

__all__ = ["collect", "extract", "extract_all", "is_complete"]


def extract_all(
    config: Config, directories: Sequence[Path], dump: Path, job: int = 1, num_jobs: int = 1,
    collect_only: bool = False, *, precision: Precision | None = None, compress: bool = False, num_gpus: int = 0,
    batch_seconds: float | None = None,
) -> None:  # fmt: skip
    """Store the cached streams of data directories, or do one job's share of the work.

    Args:
        config: The resolved configuration of a system; ``data.cached`` names the streams.
        directories: The data directories.
        dump: Folder for ``<stream>/<set>/``.
        job: Number of this job, from 1.
        num_jobs: Jobs that share the work; a single one also collects.
        collect_only: Only complete the streams, after all jobs have run.
        precision: Of the front-ends; by default fp32, and a stored stream of any precision is complete.
        compress: Store numbers in 16 bits.
        num_gpus: 1 to compute on the GPU.
        batch_seconds: Audio of a batch in seconds; by default what suits the device.

    Raises:
        InputError: As ``Extraction.run`` and ``collect``, or two data directories have the same last name.
    """
    required: dict[str, Any] = {"precision": precision} if precision else {}
    if compress:
        required["compress"] = True
    pending: dict[Path, dict[Path, Node]] = {}  # data directory -> folder of a stream -> its front-end
    for directory in directories:
        for stream in config.data.cached:
            node, folder = config.streams[stream], dump / stream / directory.name
            owner = next((other for other, folders in pending.items() if folder in folders), directory)
            if owner != directory:
                raise InputError(f"{owner} and {directory} have the same last name; give another --dump to one of them")
            if is_complete(node, directory, folder, say=True, asked=required):
                continue
            if collect_only:
                collect(node, directory, folder, num_jobs)
            else:
                pending.setdefault(directory, {})[folder] = node
    if pending:
        from spooftrace.extraction.pipeline import Extraction, Settings

        settings = Settings(precision or "fp32", compress, num_gpus, batch_seconds, config.data.eval_batch_size)
        extraction = Extraction(settings)
        for directory, nodes in pending.items():
            extraction.run(nodes, directory, job, num_jobs)
            if num_jobs == 1:
                for folder, node in nodes.items():
                    collect(node, directory, folder, num_jobs=1)


def extract(node: Mapping[str, Any], directory: Path, folder: Path, num_gpus: int = 0) -> None:
    """Compute one whole stream of a data directory with default settings; ``collect`` then completes it.

    Args:
        node: ``class_path`` and ``init_args`` of the front-end.
        directory: The data directory.
        folder: Where ``feats.1.{ark,scp}`` go.
        num_gpus: 1 to compute on the GPU.

    Raises:
        InputError: As ``Extraction.run``.
    """
    from spooftrace.extraction.pipeline import Extraction, Settings

    Extraction(Settings(num_gpus=num_gpus)).run({folder: node}, directory)
