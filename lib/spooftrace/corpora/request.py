"""What ``spooftrace prepare`` is to write."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Request:
    """The options that all corpora share.

    Attributes:
        root: Folder of the corpus; it is only read.
        out: Folder for the data directories.
        allow_partial: Accept sets of which files or trials are missing.
        sets: Names of the sets to prepare, separated by commas; None for all.
    """

    root: Path
    out: Path
    allow_partial: bool = False
    sets: str | None = None
