"""A small corpus of real recordings as data directories, and what tests of the stages share."""

import importlib
from pathlib import Path

import numpy as np
import pytest

from spooftrace.archive import ArchiveWriter

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def write_features():
    """Stores random features of a stream for a data directory, as stage 3 would."""

    def write(scp: Path, utts: list[str], dim: int, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        scp.parent.mkdir(parents=True, exist_ok=True)
        with ArchiveWriter(scp.with_suffix(".ark"), scp) as writer:
            for utt in utts:
                writer.write(utt, rng.standard_normal((int(rng.integers(5, 9)), dim), dtype=np.float32))

    return write


@pytest.fixture(scope="module")
def root(request, speech, tmp_path_factory):
    """The miniature of the corpus that a module ``test_corpus_NAME`` is about, laid out."""
    name = request.module.__name__.removeprefix("test_corpus_")
    folder = tmp_path_factory.mktemp("a corpus")
    importlib.import_module(f"miniature.{name}").lay_out(speech, folder)
    return folder
