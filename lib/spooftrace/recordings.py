"""What ``spooftrace detect`` and ``spooftrace trace`` share: audio files through a trained system, without data dir."""

from __future__ import annotations

import argparse
import contextlib
import re
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from spooftrace.errors import InputError
from spooftrace.scoring import Scoring, add_policy_options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of both commands."""
    parser.add_argument("--exp", type=Path, required=True, help="folder of a trained system")
    parser.add_argument("files", nargs="+", type=Path, help="audio files")
    add_policy_options(parser)


def read_task(exp: Path) -> Any:
    """The task of a trained system.

    Raises:
        InputError: no trained system there.
    """
    from spooftrace.config import build, load_config

    if not (exp / "model.safetensors").exists():
        raise InputError(f"{exp}/model.safetensors: no trained model there; run stage 4 (training) first")
    return build(load_config([exp / "config.yaml"])["task"])


def score_recordings(args: argparse.Namespace, policy: Sequence[str]) -> tuple[list[str], Mapping[str, list[str]]]:
    """Stages 3 to 5 on a temporary data directory.

    Args:
        args: what :func:`add_arguments` asks for.
        policy: overrides of how utterances are scored.

    Returns:
        The utterance names in the order of the files, and name -> lines of each score file.

    Raises:
        InputError: a file is missing, damaged or too short; as for scoring.
    """
    from spooftrace.datadir import DataDir
    from spooftrace.extraction import collect
    from spooftrace.extraction.pipeline import Extraction, Settings
    from spooftrace.extraction.reading import durations

    for file in args.files:
        if not file.is_file():
            raise InputError(f"{file}: no such audio file")
    # What the stages say of files that nobody will see is not the result.
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(sys.stderr):
        data, dump = Path(folder) / "files", Path(folder) / "dump"
        scoring = Scoring(args.exp, dump, policy, args.ngpu, args.precision)
        streams, cached = scoring.config["streams"], scoring.config["data"]["cached"]
        names = {f"{number:06d}": str(file.resolve()) for number, file in enumerate(args.files)}
        tables = {"wav.scp": names, "utt2spk": {utt: utt for utt in names}}
        seconds = durations(DataDir.write(data, tables), names)
        DataDir.write(data, {**tables, "utt2dur": {utt: f"{seconds[utt]:.6f}" for utt in names}})
        nodes = {dump / stream / data.name: streams[stream] for stream in cached}
        if nodes:
            Extraction(Settings(precision=args.precision, num_gpus=args.ngpu)).run(nodes, data)
        for target, node in nodes.items():
            collect(node, data, target, num_jobs=1)
        try:
            scoring.score_part(data, data / "scores.txt")
        except InputError as error:
            raise InputError(_with_files(str(error), data, args.files)) from None
        scoring.collect(data, data / "scores.txt")
        found = {path.name: path.read_text(encoding="utf-8").splitlines() for path in data.glob("scores*.txt")}
    return list(names), found


def _with_files(message: str, data: Path, files: Sequence[Path]) -> str:
    """A message about an utterance of the temporary data directory, with the file's name instead."""
    return re.sub(rf"{re.escape(str(data))}: utterance '(\d+)'", lambda found: str(files[int(found[1])]), message)
