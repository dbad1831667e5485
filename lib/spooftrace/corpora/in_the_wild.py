"""In-the-Wild: speech of politicians and celebrities, bona fide and faked, collected from the web; an evaluation set.

Where it comes from. ``release_in_the_wild.zip``, deepfake-total.com/in_the_wild; licence Apache-2.0. Paper: Mueller et
al. 2022, "Does audio deepfake detection generalize?".

How it lies on disk (``--root`` is the folder with ``release_in_the_wild``, or that folder itself)::

    release_in_the_wild/meta.csv
                        {0..31778}.wav      16 kHz

A line is ``FILE,SPEAKER,LABEL``, e.g. ``12.wav,Calvin Coolidge,bona-fide``, below the header ``file,speaker,label``.
Copies in circulation have ``meta.txt`` without the header, or files without ``.wav``; both are read, and those whose
files lie one folder deeper, or in folders ``real`` and ``fake`` (also below ``train``, ``val`` and ``test``), with
``meta.csv`` or without; speakers are not known then.

The set is ``in_the_wild``. An utterance id is the file without ``.wav``; blanks in names of speakers become ``_``. The
release does not say which attack made a fake, so there is no ``utt2attack``.

Beware: the label is ``bona-fide``; code that looks for ``bonafide`` takes every trial for a fake.
"""

from __future__ import annotations

from pathlib import Path

from spooftrace.common.errors import InputError
from spooftrace.corpora.corpus import Corpus, Expected
from spooftrace.corpora.finder import Finder
from spooftrace.corpora.protocol import Trials, csv_rows
from spooftrace.corpora.request import Request
from spooftrace.datadir import DataDir

HEADER = ["file", "speaker", "label"]
NAME = "in_the_wild"
META = ("release_in_the_wild/meta.csv", "meta.csv", "meta.txt")
# Folders that copies in circulation are sorted into.
CLASSES = {"real": "bonafide", "bonafide": "bonafide", "bona-fide": "bonafide", "fake": "spoof", "spoof": "spoof"}
EXPECTED = Expected(19963, 11816)


def prepare(request: Request) -> list[DataDir]:
    """Write ``in_the_wild``."""
    corpus = Corpus.from_request("In-the-Wild", request, (NAME,), inner=("release_in_the_wild",))
    meta = corpus.finder.labels(META, r"file,speaker,label|\d+(\.wav)?,")
    if meta is None:
        trials = trials_of_folders(corpus.finder)
        if not len(trials):
            raise corpus.not_found(*META)
    else:
        corpus.record_origin("labels", meta.parent)
        trials = read_protocol(meta)
    with corpus.preparing(NAME):
        data = corpus.write(NAME, trials, EXPECTED, ("release_in_the_wild", "."), ".wav", labels=meta)
        _compare_folders(data)
    return corpus.finish()


def trials_of_folders(finder: Finder) -> Trials:
    """The trials of a copy without ``meta.csv`` whose files lie in folders ``real`` and ``fake``; no speakers."""
    trials = Trials(r"\d+")
    for parts, folder in finder.survey():
        label = CLASSES.get(parts[-1].casefold()) if parts else None
        for stems in folder.audio.values() if label else ():
            for stem in sorted(stems):
                trials.add((folder.path, 1), stem, speaker="-", label=str(label))
    return trials


def _compare_folders(data: DataDir) -> None:
    """Files in a folder ``real`` or ``fake`` must be what ``meta.csv`` says.

    Raises:
        InputError: one is not.
    """
    labels = data.table("utt2label")
    for utt, file in data.table("wav.scp").items():
        label = CLASSES.get(Path(file).parent.name.casefold())
        if label not in (None, labels[utt]):
            raise InputError(f"{file}: is in the folder of {label} speech, but {labels[utt]} in the list; get it again")


def read_protocol(path: str | Path) -> Trials:
    """The trials of ``meta.csv``: speaker and label.

    Raises:
        InputError: a line is not of this corpus (file and line are named).
    """
    trials = Trials(r"\d+")
    for number, record in csv_rows(path, HEADER, optional_header=True):
        file, speaker, label = (record[column].strip() for column in HEADER)
        trials.add((path, number), file.removesuffix(".wav"), speaker="_".join(speaker.split()), label=label)
    return trials
