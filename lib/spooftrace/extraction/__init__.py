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

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spooftrace.common.journal import add_job_options, shard
from spooftrace.config.classes import add_allow_option
from spooftrace.extraction.belonging import is_complete
from spooftrace.extraction.store import collect

__all__ = ["add_arguments", "collect", "extract", "is_complete", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``spooftrace extract``."""
    parser.add_argument("--config", action="append", required=True, help="YAML file; may be given several times")
    parser.add_argument("--data", type=Path, nargs="+", required=True, metavar="DIR", help="data directories")
    parser.add_argument("--dump", type=Path, default=Path("dump"), help="where the streams are stored")
    add_job_options(parser)
    parser.add_argument("--ngpu", type=int, default=0, choices=(0, 1), help="1: compute on a GPU; 0: the CPU (default)")
    parser.add_argument(
        "--precision", choices=("fp32", "bf16", "fp16"),
        help="compute with fewer bits where the hardware can, much faster, not exact (default: fp32; given, what is "
        "stored has to be of it)",
    )  # fmt: skip
    parser.add_argument("--compress", action="store_true", help="store numbers in 16 bits: half the size, not exact")
    parser.add_argument(
        "--batch-seconds", type=float, metavar="S",
        help="audio of a batch, padding included (default: 8 on a CPU, 160 on a GPU); never changes a number "
        "beyond rounding",
    )  # fmt: skip
    add_allow_option(parser)
    parser.add_argument(
        "--verify", action="store_true",
        help="compute nothing: decode the audio and read the features again, and name what is not what it was",
    )  # fmt: skip
    parser.epilog = "Anything else is an override of the configuration: --data.cached '[whisper]'"


def run(args: argparse.Namespace, overrides: list[str]) -> None:
    """``spooftrace extract``."""
    from spooftrace.common.errors import InputError
    from spooftrace.config.loading import load_config

    shard((), args.job, args.num_jobs)  # a wrong job is an error before anything is loaded
    if args.batch_seconds is not None and not args.batch_seconds > 0:
        raise InputError(f"--batch-seconds {args.batch_seconds}: must be above 0")
    config = load_config(args.config, overrides)
    if args.verify:
        from spooftrace.extraction.verifying import verify

        verify(config, args.dump, args.data, args.job, args.num_jobs)
        return
    asked = {"precision": args.precision} if args.precision else {}
    if args.compress:
        asked["compress"] = True
    pending: dict[Path, dict[Path, Mapping[str, Any]]] = {}  # data directory -> folder of a stream -> its front-end
    for directory in args.data:
        for stream in config["data"]["cached"]:
            node, folder = config["streams"][stream], args.dump / stream / directory.name
            owner = next((other for other, folders in pending.items() if folder in folders), directory)
            if owner != directory:
                raise InputError(f"{owner} and {directory} have the same last name; give another --dump to one of them")
            if is_complete(node, directory, folder, say=True, asked=asked):
                continue
            if args.collect:
                collect(node, directory, folder, args.num_jobs)
            else:
                pending.setdefault(directory, {})[folder] = node
    if pending:
        from spooftrace.extraction.pipeline import Extraction, Settings

        settings = Settings(
            args.precision or "fp32", args.compress, args.ngpu, args.batch_seconds, config["data"]["eval_batch_size"]
        )
        extraction = Extraction(settings)
        for directory, nodes in pending.items():
            extraction.run(nodes, directory, args.job, args.num_jobs)
            if args.num_jobs == 1:
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
