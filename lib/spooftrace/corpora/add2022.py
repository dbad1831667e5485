"""ADD 2022, the first Audio Deep synthesis Detection challenge (Mandarin).

Where it comes from. From the organisers on request, addchallenge.cn. Paper: Yi et al. 2022, "ADD 2022: the first audio
deep synthesis detection challenge".

How it lies on disk (``--root``; sets that are not there are left out)::

    ADD_train_dev/label/{train,dev}_label.txt    ADD_train_dev/{train,dev}/*.wav       train, dev
    track1adp_out/label.txt                      track1adp_out/*.wav                   track1_adapt (low quality)
    track2adp_out/label.txt                      track2adp_out/*.wav                   track2_adapt (partially fake)
    track3.2_eval_R2/track3_R2_label.txt         track3.2_eval_R2/wav/*.wav            track32_eval_r2

A line is ``FILE.wav LABEL``, ``genuine`` or ``fake``. Speakers and attacks are not given.

Not verified: neither tree nor counts could be compared with the release, which is not public. The names above are those
that public programs open; counts are not checked.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from spooftrace.common.errors import InputError
from spooftrace.corpora.corpus import Corpus
from spooftrace.corpora.protocol import Trials, rows
from spooftrace.corpora.request import Request
from spooftrace.datadir import DataDir

# set -> its label file and audio folder, in each place where they may be
SETS = {
    "train": (("ADD_train_dev/label/train_label.txt", "ADD_train_dev/train"),),
    "dev": (("ADD_train_dev/label/dev_label.txt", "ADD_train_dev/dev"),),
    "track1_adapt": (("track1adp_out/label.txt", "track1adp_out"),),
    "track2_adapt": (("track2adp_out/label.txt", "track2adp_out"),),
    "track32_eval_r2": (
        ("track3.2_eval_R2/track3_R2_label.txt", "track3.2_eval_R2/wav"),
        ("ADD2022track3.2_eval_R2/track3_R2_label.txt", "ADD2022track3.2_eval_R2/wav"),
    ),
}
ALGORITHMS = [str(number) for number in range(1, 8)]  # of ADD 2023, Track 3


def prepare(request: Request) -> list[DataDir]:
    """Write the sets whose label files are there."""
    return write_sets(Corpus.from_request("ADD 2022", request, SETS, inner=("ADD2022",)), SETS)


def write_sets(corpus: Corpus, sets: Mapping[str, tuple[tuple[str, str], ...]]) -> list[DataDir]:
    """Write those of ``sets`` whose label files are there; if none is, that of the first is missed."""
    wanted = [name for name in sets if corpus.selected(name)]
    paths = {name: corpus.finder.labels([labels for labels, _ in sets[name]], by_name=False) for name in wanted}
    if not any(paths.values()):
        raise corpus.not_found(*(labels for labels, _ in sets[wanted[0]]))
    for name, path in paths.items():
        if path is not None:
            corpus.record_origin("labels", path.parent)
            with corpus.preparing(name):
                audio = list(dict.fromkeys(audio for _, audio in sets[name]))
                corpus.write(name, read_protocol(path), None, audio, ".wav", labels=path)
    return corpus.finish()


def read_protocol(path: str | Path) -> Trials:
    """The trials of a label file of ADD 2022 or 2023: labels, or numbers of algorithms (``utt2attack``; 0 is genuine).

    Raises:
        InputError: a line is not of these corpora (file and line are named).
    """
    trials = Trials(known={"utt2attack": ("-", *ALGORITHMS)})
    for number, (file, label) in rows(path, 2):
        utt = file.removesuffix(".wav")
        if utt == file:
            raise InputError(f"{path}:{number}: '{file}' is not a .wav file; is it the protocol of another corpus?")
        if label.isdigit():
            attack, label = ("-", "genuine") if label == "0" else (label, "fake")
            trials.add((path, number), utt, speaker="-", label=label, attack=attack)
        else:
            trials.add((path, number), utt, speaker="-", label=label)
    return trials
