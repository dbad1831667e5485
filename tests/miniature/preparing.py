"""Corpora of which only the names of files matter, prepared as the command line does."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from spooftrace.cli import prepare as command
from spooftrace.cli.options import CommandParser
from spooftrace.datadir import DataDir


class Silence:
    """Stands in for real speech."""

    bonafide = spoof = [np.zeros(16000, np.float32)] * 24

    def write(self, path: Path, label: str, index: int, rate: int = 16000) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"sound")


def prepare(corpus: str, root: Path, out: Path, *options: str) -> dict[str, DataDir]:
    """What ``spooftrace prepare`` does; returns the data directories by name."""
    parser = CommandParser()
    command.add_arguments(parser)
    lists = ["--draw", "1"] if corpus == "codecfake_plus" else []
    command.run(parser.parse_args([corpus, "--root", str(root), "--out", str(out), *options, *lists]))
    return {path.name: DataDir.read(path) for path in out.iterdir() if (path / "utt2spk").exists()}
