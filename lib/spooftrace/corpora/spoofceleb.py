"""SpoofCeleb: VoxCeleb1 speech recorded in all kinds of places, and copies by text-to-speech systems trained on it.

Where it comes from. Hugging Face ``jungjee/spoofceleb`` (access on request), jungjee.github.io/spoofceleb. Paper: Jung
et al. 2025, "SpoofCeleb: Speech deepfake detection and SASV in the wild".

How it lies on disk (``--root`` is the folder with ``spoofceleb``, or that folder itself)::

    spoofceleb/metadata/{train,development,evaluation}.csv
               flac/{train,development,evaluation}/a##/id#####/*.flac     16 kHz

A line is ``FILE,SPEAKER,ATTACK`` below the header ``file,speaker,attack``, e.g.
``a00/id10318/YYsxcZ5saac-00002-006.flac,id10318,a00``. There is no column for the label: ``a00`` is bona fide speech
(``-`` in ``utt2attack``), ``a01`` to ``a23`` are the attacks.

The sets are ``train``, ``dev`` and ``eval``. An utterance id is FILE without ``.flac``, folders included: different
attacks spoke the same utterances. The lists for speaker verification (``protocol/sasv_*.csv``) are not used here.
"""

from __future__ import annotations

from pathlib import Path

from spooftrace.common.errors import InputError
from spooftrace.corpora.corpus import Corpus, Expected
from spooftrace.corpora.protocol import Trials, csv_rows
from spooftrace.corpora.request import Request
from spooftrace.datadir import DataDir

SETS = {"train": "train", "dev": "development", "eval": "evaluation"}
# Counts as the data set's mirrors give them.
EXPECTED = {"train": Expected(230948, 2309473), "dev": Expected(7963, 47778), "eval": Expected(9113, 82017)}
BONAFIDE = "a00"
ATTACKS = [f"a{number:02d}" for number in range(1, 24)]


def prepare(request: Request) -> list[DataDir]:
    """Write ``train``, ``dev`` and ``eval``."""
    corpus = Corpus.from_request("SpoofCeleb", request, SETS, inner=("spoofceleb",), tree=("flac", *SETS.values()))
    metadata = {name: [f"metadata/{official}.csv", f"{official}.csv"] for name, official in SETS.items()}
    for name, path in corpus.label_files(metadata, r"file,speaker,attack").items():
        with corpus.preparing(name):
            folders = [f"flac/{SETS[name]}", f"wav/{SETS[name]}", SETS[name]]
            corpus.write(name, read_protocol(path), EXPECTED[name], folders, labels=path)
    return corpus.finish()


def read_protocol(path: str | Path) -> Trials:
    """The trials of a metadata file: speaker, label, attack (``utt2attack``).

    Raises:
        InputError: a line is not of this corpus (file and line are named), or FILE is in the folder of another attack.
    """
    trials = Trials(r"a\d\d/id\d+/\S+", {"utt2attack": ("-", *ATTACKS)})
    for number, record in csv_rows(path, ("file", "speaker", "attack")):
        file, attack = record["file"], record["attack"]
        if not file.startswith(f"{attack}/"):
            raise InputError(f"{path}:{number}: '{file}' is not in the folder of its attack, '{attack}'; get it again")
        bonafide = attack == BONAFIDE
        trials.add(
            (path, number),
            file.removesuffix(".flac"),
            speaker=record["speaker"],
            label="bonafide" if bonafide else "spoof",
            attack="-" if bonafide else attack,
        )
    return trials
