"""Score single audio files with a trained system: ``spooftrace detect --exp exp/aasist_s1234 call.wav``."""

from __future__ import annotations

import argparse
import contextlib
import re
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from spooftrace.errors import InputError
from spooftrace.scoring import Scoring, add_policy_options, policy


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``spooftrace detect``."""
    parser.add_argument("--exp", type=Path, required=True, help="folder of a trained system")
    parser.add_argument("files", nargs="+", type=Path, help="audio files")
    add_policy_options(parser)


def run(args: argparse.Namespace, overrides: list[str]) -> None:
    """``spooftrace detect``: one line a file, its score and its name.

    The scores are those of stage 3 to 5 on a data directory with these files: higher is more bona fide. The threshold
    in ``metrics.json`` of a test set is only as good as that set resembles the files.
    """
    words = policy(args, overrides)
    from spooftrace.datadir import DataDir, read_table
    from spooftrace.extraction import collect
    from spooftrace.extraction.pipeline import Extraction, Settings
    from spooftrace.extraction.reading import durations

    for file in args.files:
        if not file.is_file():
            raise InputError(f"{file}: no such audio file")
    # What the stages say of files that nobody will see is not the result.
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(sys.stderr):
        data, dump = Path(folder) / "files", Path(folder) / "dump"
        scoring = Scoring(args.exp, dump, words, args.ngpu, args.precision)
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
        scores = read_table(data / "scores.txt")
    for utt, file in zip(names, args.files, strict=True):
        print(f"{float(scores[utt]):9.4f}  {file}")


def _with_files(message: str, data: Path, files: Sequence[Path]) -> str:
    """A message about an utterance of the temporary data directory, with the file's name instead."""
    return re.sub(rf"{re.escape(str(data))}: utterance '(\d+)'", lambda found: str(files[int(found[1])]), message)
