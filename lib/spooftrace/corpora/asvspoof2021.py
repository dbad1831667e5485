"""ASVspoof 2021, logical access (LA) and deepfake (DF): evaluation sets only.

Where it comes from. Zenodo 4837263 (LA) and 4835108 (DF, four parts); the keys from www.asvspoof.org/asvspoof2021
(``LA-keys-full.tar.gz``, ``DF-keys-full.tar.gz``); licence ODC-By. Papers: Yamagishi et al. 2021, "ASVspoof 2021:
accelerating progress in spoofed and deepfake speech detection"; Liu et al. 2023, "ASVspoof 2021: Towards spoofed and
deepfake speech detection in the wild". There is no training set: systems are trained on ASVspoof 2019 LA.

How it lies on disk (``--root`` holds both folders, or one, or is one; a track without a folder is left out)::

    ASVspoof2021_{LA,DF}_eval/flac/{LA,DF}_E_#######.flac      16 kHz
    keys/{LA,DF}/CM/trial_metadata.txt                         also in a folder {LA,DF}-keys-full, or beside flac
    keys/CM/trial_metadata.txt                                 older key archives, unpacked per track

The four parts of DF may lie in folders of their own (``ASVspoof2021_DF_eval_part00`` ...), and keys in other folders.

LA becomes ``la_eval``, with lines ``SPEAKER UTT CODEC TRANSMISSION ATTACK KEY TRIM SUBSET``, such as ``LA_0009
LA_E_9332881 alaw ita_tx A07 spoof notrim eval``. DF becomes ``df_eval``, with lines ``SPEAKER UTT CODEC SOURCE ATTACK
KEY TRIM SUBSET VOCODER TASK TEAM GENDERS LANGUAGE``, such as ``TEF2 DF_E_2000013 low_m4a vcc2020 Task1-team20 spoof
notrim eval neural_vocoder_nonautoregressive Task1 team20 FF E``; the last four describe entries of the Voice Conversion
Challenge (VCC) and are left out here. ``utt2cond`` is CODEC, ``utt2subset`` SUBSET; the other tables are
``utt2transmission`` (LA), ``utt2source`` and ``utt2vocoder`` (DF), and ``utt2trim``.

Beware: the label is the sixth column, not the last; the attack (and the vocoder) of bona fide speech reads
``bonafide``, which becomes ``-``; speech without coding is ``none`` in LA and ``nocodec`` in DF. All subsets are
prepared, but published figures are those of subset ``eval`` (``spooftrace evaluate --subset eval``): ``hidden`` has its
silence trimmed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from spooftrace.common.errors import InputError
from spooftrace.corpora.corpus import Corpus, Expected
from spooftrace.corpora.finder import Finder
from spooftrace.corpora.protocol import Trials, rows
from spooftrace.corpora.request import Request
from spooftrace.datadir import DataDir

# How lines of the keys begin; those of the keys for speaker verification have other words in the sixth column.
LINES = {track: rf"\S+ {track}_E_\d{{7}} \S+ \S+ \S+ (bonafide|spoof) " for track in ("LA", "DF")}
SUBSETS = ("progress", "eval", "hidden")


@dataclass(frozen=True)
class Track:
    """What one track has: pattern of its ids, number of columns, name of the fourth, codecs, counts."""

    utt: str
    columns: int
    fourth: str
    codecs: tuple[str, ...]  # C1, C2, ... of the papers
    expected: Expected
    attacks: tuple[str, ...] = ()  # where all are known; in DF there are entries of VCC too


# The counts of the whole keys add up to their lines (181,566 and 611,829), and so do those of the subsets of LA.
TRACKS = {
    "LA": Track(
        utt=r"LA_E_\d{7}",
        columns=8,
        fourth="transmission",
        codecs=("none", "alaw", "pstn", "g722", "ulaw", "gsm", "opus"),
        expected=Expected(18452, 163114, others={"utt2subset": {"eval": 148176, "progress": 16464, "hidden": 16926}}),
        attacks=tuple(f"A{number:02d}" for number in range(7, 20)),
    ),
    "DF": Track(
        utt=r"DF_E_\d{7}",
        columns=13,
        fourth="source",
        codecs=tuple("nocodec low_mp3 high_mp3 low_m4a high_m4a low_ogg high_ogg mp3m4a oggm4a".split()),
        expected=Expected(22617, 589212, others={"utt2subset": {"eval": 533928}}),
    ),
}


def prepare(request: Request) -> list[DataDir]:
    """Write ``la_eval`` and ``df_eval``, or the one of them whose audio is there."""
    sets = {f"{track.lower()}_eval": track for track in TRACKS}
    tree = [f"ASVspoof2021_{track}_eval/flac" for track in TRACKS]
    corpus = Corpus.from_request("ASVspoof 2021", request, sets, "asvspoof2021", inner=("ASVspoof2021",), tree=tree)
    asked = [track for track in TRACKS if corpus.root.absolute().name == f"ASVspoof2021_{track}_eval"]
    if asked:
        corpus.finder.climb()
    elif request.sets is None:
        asked = tracks_there(corpus.finder)
    keys = {name: key_places(track) for name, track in sets.items() if track in (asked or TRACKS)}
    for name, path in corpus.label_files(keys, {name: LINES[track] for name, track in sets.items()}).items():
        with corpus.preparing(name):
            track = sets[name]
            audio = [f"ASVspoof2021_{track}_eval/{folder}" for folder in ("flac", "wav")] + [
                f"ASVspoof2021_{track}_eval"
            ]
            corpus.write(name, read_protocol(path, track), TRACKS[track].expected, audio, labels=path)
    return corpus.finish()


def tracks_there(finder: Finder) -> list[str]:
    """The tracks that have a folder of their own; empty if none has."""
    names = {name for parts, _ in finder.survey() for name in parts}
    return [
        track for track in TRACKS if any(name.lower().startswith(f"asvspoof2021_{track.lower()}") for name in names)
    ]


def key_places(track: str) -> list[str]:
    """Where the keys of a track may be, places that name it before those that either may have."""
    folder = f"ASVspoof2021_{track}_eval"
    named = [
        f"keys/{track}",
        f"{track}-keys-full/keys/{track}",
        f"{folder}/keys/{track}",
        f"{track}/{folder}/keys/{track}",
    ]
    older = [f"{track}-keys-stage-1/keys", f"{track}/keys", f"{folder}/keys", f"{track}/{folder}/keys", track, "keys"]
    return [f"{place}/CM/trial_metadata.txt" for place in named + older] + [f"{folder}/trial_metadata.txt"]


def read_protocol(path: str | Path, track: str = "") -> Trials:
    """The trials of a key, ``trial_metadata.txt``: all subsets.

    Args:
        path: the file.
        track: ``LA`` or ``DF``; by default that of the first line.

    Raises:
        InputError: a line is not of this corpus, or not of this track (file and line are named).
    """
    known = TRACKS[track or _track_of(path)]
    values = {"utt2cond": known.codecs, "utt2subset": SUBSETS, "utt2trim": ("trim", "notrim")}
    if known.attacks:
        values["utt2attack"] = ("-", *known.attacks)
    trials = Trials(known.utt, values)
    for number, (speaker, utt, codec, value, attack, label, trim, subset, *more) in rows(path, known.columns):
        columns = {"cond": codec, known.fourth: value, "trim": trim, "subset": subset}
        if more:
            columns["vocoder"] = _dash(more[0])
        trials.add((path, number), utt, speaker=speaker, label=label, attack=_dash(attack), **columns)
    return trials


def _track_of(path: str | Path) -> str:
    """The track that the first line of a key is of."""
    for number, (_, utt, *_) in rows(path, *(track.columns for track in TRACKS.values())):
        for name, track in TRACKS.items():
            if re.fullmatch(track.utt, utt):
                return name
        raise InputError(f"{path}:{number}: '{utt}' is not an utterance id of ASVspoof 2021; is it the key of another?")
    raise InputError(f"{path}: is empty; get the keys again")


def _dash(value: str) -> str:
    return "-" if value == "bonafide" else value
