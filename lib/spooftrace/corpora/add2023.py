"""ADD 2023, the second Audio Deepfake Detection challenge (Mandarin): Track 1.2, detection, and Track 3, which
algorithm made a fake.

Where it comes from. Track 3: Zenodo 12179632 (train, dev) and 12179884 (eval); Track 1.2 from the organisers on
request, addchallenge.cn; licence CC BY-NC-ND 4.0. Paper: Yi et al. 2023, "ADD 2023: the second audio deepfake detection
challenge".

How it lies on disk (``--root``; sets that are not there are left out)::

    Track1.2/{train,dev,testR1,testR2}/{label.txt,wav/*.wav}         t12_train, t12_dev, t12_eval_r1, t12_eval_r2
    Track3/{train,dev,eval}/wav/*.wav                                t3_train, t3_dev, t3_eval
           label/{train,dev,eval}.txt, or {train,dev,eval}/label.txt

Folders are also found under the names ``track1.2`` (with ``test`` and ``test2``), ``track3`` and ``ADD2023track3``. A
line of Track 1.2 is ``FILE.wav LABEL``, ``genuine`` or ``fake``, e.g. ``ADD2023_T1.2R2_E_00000003.wav genuine``; one of
Track 3 is ``FILE.wav NUMBER``, e.g. ``ADD2023_T3_E_00000008.wav 7``: 0 is genuine, 1 to 6 are the algorithms of train
and dev, 7 in eval is one that they do not have. The number becomes ``utt2attack``. Nothing is said about speakers.

Not verified: neither the tree nor, but for the 79,490 lines of the eval labels of Track 3, the counts could be compared
with the release; the names are those that public programs open. Counts are not checked. Track 2, locating manipulated
regions, is not read.
"""

from __future__ import annotations

from spooftrace.corpora.add2022 import read_protocol, write_sets
from spooftrace.corpora.corpus import Corpus
from spooftrace.corpora.request import Request
from spooftrace.datadir import DataDir

__all__ = ["prepare", "read_protocol"]

# set -> folders of Track 1.2, by its names
DETECTION = {
    "t12_train": ("Track1.2/train", "track1.2/train"),
    "t12_dev": ("Track1.2/dev", "track1.2/dev"),
    "t12_eval_r1": ("Track1.2/testR1", "track1.2/test"),
    "t12_eval_r2": ("Track1.2/testR2", "track1.2/test2"),
}
RECOGNITION = ("Track3", "track3", "ADD2023track3")
# set -> its label file and audio folder, in each place where they may be
SETS = {
    name: tuple((f"{folder}/label.txt", f"{folder}/{audio}") for folder in folders for audio in ("wav", "."))
    for name, folders in DETECTION.items()
} | {
    f"t3_{name}": tuple(
        (f"{track}/{labels}", f"{track}/{name}/wav")
        for track in RECOGNITION
        for labels in (f"label/{name}.txt", f"{name}/label.txt")
    )
    for name in ("train", "dev", "eval")
}


def prepare(request: Request) -> list[DataDir]:
    """Write the sets whose label files are there."""
    return write_sets(Corpus.from_request("ADD 2023", request, SETS, inner=("ADD2023",)), SETS)
