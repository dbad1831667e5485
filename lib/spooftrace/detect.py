"""Score single audio files with a trained system: ``spooftrace detect --exp exp/aasist_s1234 call.wav``."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from spooftrace.errors import InputError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``spooftrace detect``."""
    parser.add_argument("--exp", type=Path, required=True, help="folder of a trained system")
    parser.add_argument("--ngpu", type=int, default=0, choices=(0, 1), help="1: use a GPU; 0: the CPU (default)")
    parser.add_argument("files", nargs="+", type=Path, help="audio files")


def run(args: argparse.Namespace) -> None:
    """``spooftrace detect``: one line a file, its score and its name.

    The scores are those of stage 3 to 5 on a data directory with these files: higher is more bona fide. The threshold
    in ``metrics.json`` of a test set is only as good as that set resembles the files.
    """
    from spooftrace.config import load_config
    from spooftrace.datadir import DataDir, read_table
    from spooftrace.extraction import collect, extract
    from spooftrace.scoring import score

    for file in args.files:
        if not file.is_file():
            raise InputError(f"{file}: no such audio file")
    config = load_config([args.exp / "config.yaml"])
    with tempfile.TemporaryDirectory() as folder:
        data, dump = Path(folder) / "files", Path(folder) / "dump"
        names = {f"{number:06d}": str(file.resolve()) for number, file in enumerate(args.files)}
        DataDir.write(data, {"wav.scp": names, "utt2spk": {utt: utt for utt in names}})
        for stream in config["data"]["cached"]:
            node = config["streams"][stream]
            extract(node, data, dump / stream / data.name, num_gpus=args.ngpu)
            collect(node, data, dump / stream / data.name, num_jobs=1)
        score(args.exp, data, dump, data / "scores.txt", args.ngpu)
        scores = read_table(data / "scores.txt")
    for utt, file in zip(names, args.files, strict=True):
        print(f"{float(scores[utt]):9.4f}  {file}")
