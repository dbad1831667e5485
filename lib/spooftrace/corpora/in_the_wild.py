"""In-the-Wild: speech of politicians and celebrities, bona fide and faked, collected from the web; an evaluation set.

Where it comes from. ``release_in_the_wild.zip``, deepfake-total.com/in_the_wild; licence Apache-2.0. Paper: Mueller et
al. 2022, "Does audio deepfake detection generalize?".

How it lies on disk (``--root`` is the folder with ``release_in_the_wild``, or that folder itself)::

    release_in_the_wild/meta.csv
                        {0..31778}.wav      16 kHz

A line is ``FILE,SPEAKER,LABEL``, e.g. ``12.wav,Calvin Coolidge,bona-fide``, below the header ``file,speaker,label``.
Copies in circulation have ``meta.txt`` without the header, or files without ``.wav``; both are read.

The set is ``in_the_wild``. An utterance id is the file without ``.wav``; blanks in names of speakers become ``_``. The
release does not say which system made a fake, so there is no ``utt2system``.

Beware: the label is ``bona-fide``; code that looks for ``bonafide`` takes every trial for a fake.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

from spooftrace.corpora.protocol import Trials, rows
from spooftrace.corpora.release import Expected, Release
from spooftrace.datadir import DataDir
from spooftrace.errors import InputError

HEADER = ["file", "speaker", "label"]
EXPECTED = Expected(19963, 11816)


def run(args: argparse.Namespace) -> list[DataDir]:
    """Write ``in_the_wild``."""
    release = Release("In-the-Wild", args.root, args.out, args.allow_partial).enter("release_in_the_wild")
    with release.part("in_the_wild"):
        meta = release.find("meta.csv", "meta.txt")
        release.write("in_the_wild", read_protocol(meta), EXPECTED, release.root, ".wav")
    return release.prepared


def read_protocol(path: str | Path) -> Trials:
    """The trials of ``meta.csv``: speaker and label.

    Raises:
        InputError: a line is not of this corpus (file and line are named).
    """
    trials = Trials(r"\d+")
    for number, words in rows(path, *range(1, 10)):  # a name has a few words
        fields = next(csv.reader([" ".join(words)]))
        if fields == HEADER:
            continue
        if len(fields) != len(HEADER):
            raise InputError(
                f"{path}:{number}: {len(fields)} columns between commas, expected {','.join(HEADER)}; "
                "is this the protocol of another corpus?"
            )
        file, speaker, label = (field.strip() for field in fields)
        trials.add((path, number), file.removesuffix(".wav"), speaker=speaker.replace(" ", "_"), label=label)
    return trials
