"""Corpora as they are distributed -> data directories: ``spooftrace prepare CORPUS --root DIR --out data``.

One module per corpus. Its docstring says where the corpus comes from and how it lies on disk. Its
``prepare(request)`` writes the data directories and returns them; further arguments of it are options of that corpus,
listed in ``spooftrace.cli.prepare``. Nothing here imports anything heavy.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spooftrace.common.errors import InputError
from spooftrace.corpora.request import Request

if TYPE_CHECKING:
    from spooftrace.datadir import DataDir

CORPORA = {
    "mini": "the mini corpus of egs/mini, which comes with the repository",
    "asvspoof2019": "ASVspoof 2019 LA",
    "asvspoof2021": "ASVspoof 2021 LA and DF, evaluation sets",
    "asvspoof5": "ASVspoof 5, tracks 1 and 2",
    "codecfake_wu": "CodecFake (Wu et al. 2024)",
    "codecfake_plus": "CodecFake+ (Chen et al. 2025), CoRS and CoSG",
    "st_codecfake": "ST-Codecfake (Xie et al. 2025)",
    "codecfake_xie": "Codecfake (Xie et al. 2025)",
    "ctrsvdd": "CtrSVDD, singing voice (SVDD Challenge 2024)",
    "in_the_wild": "In-the-Wild, evaluation set",
    "partialspoof": "PartialSpoof 1.2, with labels of segments",
    "spoofceleb": "SpoofCeleb",
    "mlaad": "MLAAD, evaluation set",
    "add2022": "ADD 2022, low-quality and partially fake tracks",
    "add2023": "ADD 2023, detection and algorithm recognition",
}


def prepare(
    corpus: str, root: Path, out: Path, allow_partial: bool = False, sets: str | None = None, **options: Any
) -> list[DataDir]:
    """Prepare a corpus.

    Args:
        corpus: A name in ``CORPORA``.
        root: Folder of the corpus.
        out: Folder for the data directories.
        allow_partial: Accept sets of which files or trials are missing.
        sets: Names of the sets to prepare, separated by commas; by default all.
        options: Further arguments of the corpus module's ``prepare``.

    Raises:
        InputError: No set of it was found.
    """
    module = importlib.import_module(f"{__name__}.{corpus}")
    prepared = module.prepare(Request(Path(root), Path(out), allow_partial, sets), **options)
    if not prepared:
        raise InputError(f"{root}: has no set of {CORPORA[corpus]}; is it the right folder?")
    return prepared
