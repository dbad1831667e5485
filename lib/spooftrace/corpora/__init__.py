"""From official corpora to data directories: ``spooftrace prepare CORPUS --root DIR --out data``.

There is one module per corpus. Its docstring gives the origin of the corpus and its layout on disk.
``prepare(request)`` writes the data directories and returns them. Its further arguments are options of this corpus,
listed in ``spooftrace.cli.prepare``. No module imports a heavy library at its top.

``corpus`` is the common procedure; ``finder``, ``audio_files``, ``spelling`` and ``folder_tree`` locate files;
``protocol`` and ``separators`` read label files; ``download``, ``fetch`` and ``unpack`` are stage 0.
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
        allow_partial: Accept sets with missing files or trials.
        sets: Names of the sets to prepare, separated by commas; by default all.
        options: Further arguments of the corpus module's ``prepare``.

    Raises:
        InputError: The folder holds no set of the corpus.
    """
    module = importlib.import_module(f"{__name__}.{corpus}")
    prepared = module.prepare(Request(Path(root), Path(out), allow_partial, sets), **options)
    if not prepared:
        raise InputError(f"{root}: has no set of {CORPORA[corpus]}; is it the right folder?")
    return prepared
