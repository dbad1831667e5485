"""Codecfake (Xie et al.): speech through seven neural codecs, and speech of audio language models.

Where it comes from. Zenodo 13838106 (labels, first part of train), 13841652 and 13853860 (the rest of train), 13841216
(dev), 13838823 (C1 to C6, A1 to A3), 11125029 (C7); licence CC BY-NC-ND 4.0. Paper: Xie et al. 2025, "The Codecfake
dataset and countermeasures for the universally detection of deepfake audio". Not the CodecFake of Wu et al. 2024.

How it lies on disk (``--root`` is ``Codecfake`` or the folder with it)::

    Codecfake/label/{train,dev,C1,...,C7,A1,A2,A3}.txt
    Codecfake/{train,dev}/*.wav
    Codecfake/test/{C1,...,C7,A1,A2,A3}/*.wav

A line is ``FILE real|fake CLASS``, e.g. ``F01_SSB13650058.wav fake 1``; some lines end in a blank. Class 0 is real
speech of AISHELL-3 (``SSB...``) or VCTK (``p225_001``), whose ids tell the speaker. C1 to C6 test one codec each, C7 an
unseen one; A1 to A3 are audio language models.

``utt2attack`` has F01 to F07 for the classes 1 to 7, as the file names begin. A1 to A3 number their classes otherwise,
and what a number means there is not documented: ``utt2attack`` has the class as it stands, ``utt2codec`` has ``-``.
Elsewhere ``utt2codec`` follows a secondary description of the classes; only F03 and F04 have been
confirmed (by the names in ST-Codecfake).

Beware: the same real recordings are in C1 to C6, and the archives are spanned zips that ``zip -s 0`` of older Info-ZIP
joins into a truncated one without a word.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from spooftrace.common.errors import InputError
from spooftrace.corpora.corpus import Corpus, Expected
from spooftrace.corpora.protocol import Trials, rows
from spooftrace.corpora.request import Request
from spooftrace.datadir import DataDir

CODECS = {
    "F01": "soundstream",
    "F02": "speechtokenizer",
    "F03": "funcodec",
    "F04": "encodec",
    "F05": "audiodec",
    "F06": "academicodec",
    "F07": "dac",
}
ATTACKS = {str(number): name for number, name in enumerate(CODECS, start=1)}
SEEN = list(CODECS)[:6]
LINE = r"\S+\.wav\s+(real|fake)\s+\d+\s*$"
LANGUAGE_MODELS = ("A1", "A2", "A3")
# Train and dev have each original seven times. A1 and A2: lines of the authors' results; their README says 8,902 files.
SETS = {
    "train": Expected(105821, 634926, dict.fromkeys(SEEN, 105821)),
    "dev": Expected(13228, 79368, dict.fromkeys(SEEN, 13228)),
    **{f"C{number}": Expected(13228, 13228) for number in range(1, 7)},
    "C7": None,  # 145,505 files; how many of them are real is not published
    "A1": Expected(4451, 4436),
    "A2": Expected(4451, 4436),
    "A3": Expected(49274, 49838),
}
# "F01_SSB13650058" or "p225_001": codec and others in front, then the original of AISHELL-3 or VCTK.
ORIGINAL = re.compile(r"(?:.*_)?(?:(?P<aishell3>SSB\d{4})\d{4}|(?P<vctk>p\d{3}|s5)_\d{3}(?:_mic\d)?)")
NCSSD = re.compile(r"(?:.*_)?R-(?:EN|ZH)_\d+_\d+_d\d+")


def prepare(request: Request) -> list[DataDir]:
    """Write ``train``, ``dev`` and one set for each test."""
    corpus = Corpus.from_request("Codecfake (Xie et al.)", request, SETS, inner=("Codecfake",), tree=("test", *SETS))
    protocols = {name: [f"label/{name}.txt", f"{name}.txt"] for name in SETS}
    for name, path in corpus.label_files(protocols, LINE).items():
        with corpus.preparing(name):
            folders = [name] if name in ("train", "dev") else [f"test/{name}", name]
            classes = None if name in LANGUAGE_MODELS else ATTACKS
            corpus.write(name, read_protocol(path, classes), SETS[name], folders, ".wav", labels=path)
    return corpus.finish()


def read_protocol(path: str | Path, classes: Mapping[str, str] | None = ATTACKS) -> Trials:
    """The utterances of a label file: speaker and source, label, attack, codec.

    Args:
        path: the file.
        classes: class of spoofed speech -> attack F01 to F07; None where the classes are not those of the codecs (A1
            to A3), so that the attack is the class as it stands and the codec ``-``.

    Raises:
        InputError: a line is not of this corpus, or of a class that ``classes`` does not have (file and line are
            named).
    """
    trials = Trials()
    for number, (file, label, kind) in rows(path, 3):
        attack = kind if classes is None else classes.get(kind, "-")
        codec = "-" if classes is None else CODECS.get(attack, "-")
        add_file(trials, (path, number), file, label, kind, attack=attack, codec=codec)
        if classes is not None and kind != "0" and kind not in classes:
            raise InputError(
                f"{path}:{number}: unknown class '{kind}' of '{file}', known are 0 to {len(classes)}; the file is "
                "damaged, or newer"
            )
    return trials


def add_file(trials: Trials, at: tuple[str | Path, int], file: str, label: str, kind: str, **columns: str) -> None:
    """Add a line ``FILE real|fake CLASS`` of this corpus or of ST-Codecfake; real speech has the codec
    ``real`` and ``-`` in all other ``columns``.

    Raises:
        InputError: the file is no ``.wav``, or label and class contradict each other; and as ``Trials.add``.
    """
    if not file.endswith(".wav"):
        raise InputError(f"{at[0]}:{at[1]}: '{file}' is not a .wav file; is this the protocol of another corpus?")
    if (label, kind == "0") in {("real", False), ("fake", True)}:
        raise InputError(f"{at[0]}:{at[1]}: '{file}' is {label}, but of class {kind} (0 is real); get the file again")
    utt = file.removesuffix(".wav")
    speaker, source = original(utt)
    if label == "real":
        columns = {name: "real" if name == "codec" else "-" for name in columns}
    trials.add(at, utt, speaker=speaker, label=label, source=source, **columns)


def original(utt: str) -> tuple[str, str]:
    """Speaker and source of the recording that a file name ends in, ``-`` where it does not tell.

    >>> original("F01_SSB13650058"), original("C3-4_p245_072"), original("mimi_R-EN_6_0_d435"), original("gen_2")
    (('SSB1365', 'aishell3'), ('p245', 'vctk'), ('-', 'ncssd'), ('-', '-'))
    """
    found = ORIGINAL.fullmatch(utt)
    if found:
        source = str(found.lastgroup)
        return found[source], source
    return "-", "ncssd" if NCSSD.fullmatch(utt) else "-"
