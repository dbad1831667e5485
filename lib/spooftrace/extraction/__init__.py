"""Stage 3: compute the cached streams of a system once and store them.

In an array job, job ``J`` of ``N`` writes the shard ``dump/<stream>/<set>/feats.J.ark`` and its scp. ``--collect``
then checks that no utterance is missing and writes ``feats.scp`` and ``stream.json``, which marks the stream as
complete. A single job does both.

| module | does |
|---|---|
| ``store`` | description of a stored stream, its shards, joining them |
| ``disk_space`` | size of a stored stream, compared with the free disk space |
| ``sources`` | compare the audio of a data directory with the audio that the features were computed from |
| ``belonging`` | check that a stored stream belongs to a data directory |
| ``verifying`` | ``--verify``: read every entry and all audio again |
| ``reading`` | batches of utterances of similar length, decoded ahead of the device |
| ``pipeline`` | decode, compute and write concurrently |
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
    """Store the cached streams of data directories, or one shard of each in an array job.

    Args:
        config: The resolved configuration of a system; ``data.cached`` names the streams.
        directories: The data directories.
        dump: Folder for ``<stream>/<set>/``.
        job: Number of this job, counted from 1.
        num_jobs: Number of jobs; a single job also collects.
        collect_only: Only collect the shards, after all jobs have run.
        precision: Precision of the front-ends. ``None`` computes in fp32 and accepts a stored stream of any precision.
        compress: Store values in 16 bits.
        num_gpus: 1 to compute on the GPU.
        batch_seconds: Audio per batch in seconds; the default depends on the device.

    Raises:
        InputError: Two data directories have the same last name, or ``Extraction.run`` or ``collect`` fails.
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
                raise InputError(f"{owner} and {directory} have the same last name; use another --dump for one of them")
            if is_complete(node, directory, folder, verbose=True, required=required):
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
    """Compute a stream of a data directory with default settings, as a single shard; call ``collect`` afterwards.

    Args:
        node: ``class_path`` and ``init_args`` of the front-end.
        directory: The data directory.
        folder: Folder for ``feats.1.{ark,scp}``.
        num_gpus: 1 to compute on the GPU.

    Raises:
        InputError: ``Extraction.run`` fails.
    """
    from spooftrace.extraction.pipeline import Extraction, Settings

    Extraction(Settings(num_gpus=num_gpus)).run({folder: node}, directory)
