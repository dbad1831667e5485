"""ASVspoof 5: Track 1 (stand-alone detection), and the trials and enrolment lists of Track 2 (with speaker
verification).

Where it comes from. Zenodo 14498691; licence ODC-By, bona fide speech CC BY 4.0 (from Multilingual LibriSpeech). Paper:
Wang et al. 2024, "ASVspoof 5: crowdsourced speech data, deepfakes, and adversarial attacks at scale".

How it lies on disk (``--root``)::

    ASVspoof5_protocols/ASVspoof5.train.tsv, ASVspoof5.{dev,eval}.track_1.tsv       or these beside the audio folders
                        ASVspoof5.{dev,eval}.track_2.{trial,enroll}.tsv  ASVspoof5.codec.config.csv
    {flac_T,flac_D,flac_E_eval}/{T,D,E}_##########.flac                  16 kHz; D_A*, E_A* are enrolment speech

Track 1. A line is ``SPEAKER UTT GENDER CODEC CODEC_Q CODEC_SEED ATTACK_TAG ATTACK KEY -``, separated by blanks, e.g.
``D_4461 D_0000000169 F - - - AC1 A14 spoof -``; the attack of bona fide speech reads ``bonafide``, which becomes ``-``.
The protocols of the challenge itself had six columns; they are not read. Attacks are A01 to A08 in train, A09 to A16
in dev, A17 to A32 in eval, of which A18 A20 A23 A27 A30 A31 A32 are adversarial. Tables: ``utt2cond`` is CODEC, only
eval has any: C01 to C11, and ``-`` for speech without (C00 in the paper, not in the data); ``utt2cond_q`` is CODEC_Q, 1
to 5 (C11: 1 to 8, devices), without a codec ``-`` in train and dev but ``0`` in eval; ``utt2seed`` is CODEC_SEED, the
utterance that was coded (utterances of one seed belong into one part of any further split); ``utt2gender``;
``utt2tag`` is ATTACK_TAG, how the attack was adapted.

Track 2. With the lists there, ``OUT/{dev,eval}_track2`` is written beside the sets; the speech that is tried is that of
``OUT/{dev,eval}``::

    trials      TARGET UTT KEY ATTACK, in the order of the release; KEY is target, nontarget or spoof
    enroll      TARGET UTT [UTT ...]: up to three utterances to enrol each target speaker with
    wav.scp     UTT FILE: the audio of the enrolment utterances

Codecs. ``OUT/eval/codecs.tsv`` says what CODEC and CODEC_Q mean (``read_codecs``).
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from spooftrace.common.atomic import atomic_write
from spooftrace.common.english import counted
from spooftrace.common.errors import InputError
from spooftrace.corpora.corpus import Corpus, Expected
from spooftrace.corpora.protocol import Trials, csv_rows, rows
from spooftrace.corpora.request import Request
from spooftrace.datadir import DataDir, write_table
from spooftrace.datadir.incomplete import Gap, write_gaps


class Set(NamedTuple):
    """One set: middle of its protocol's name, audio folders, counts; lines of the Track 2 lists."""

    protocol: str
    audio: tuple[str, ...]
    expected: Expected
    trials: int = 0
    enroll: tuple[int, int] = (0, 0)  # speakers, utterances


# Rows of the eval set under each codec; they add up to its 680,774.
ROWS = "171602 47253 47426 47987 47699 47541 41554 47348 46678 41599 47477 46610".split()
CONDITIONS = dict(zip(["-", *(f"C{number:02d}" for number in range(1, 12))], map(int, ROWS), strict=True))
SETS = {
    "train": Set("train", ("flac_T",), Expected(18797, 163560)),
    "dev": Set("dev.track_1", ("flac_D",), Expected(31334, 109616), 282456, (398, 1184)),
    "eval": Set(
        "eval.track_1",
        ("flac_E_eval", "flac_E"),
        Expected(138688, 542086, others={"utt2cond": CONDITIONS}),
        834536,
        (367, 1098),
    ),
}
ATTACKS = [f"A{number:02d}" for number in range(1, 33)]
CODECS = [f"C{number:02d}" for number in range(1, 12)]
KNOWN = {
    "utt2attack": {"-", *ATTACKS},
    "utt2cond": {"-", *CODECS},
    "utt2cond_q": {"-", *map(str, range(9))},
    "utt2gender": {"F", "M"},
}
ASV_KEYS = ("target", "nontarget", "spoof")
# The pairs of attack and key that a trial of Track 2 may have.
ASV_LABELS = {("bonafide", "target"), ("bonafide", "nontarget"), *((attack, "spoof") for attack in ATTACKS)}


def prepare(request: Request) -> list[DataDir]:
    """Write ``train``, ``dev`` and ``eval``, and what Track 2 has if its lists are there."""
    tree = [folder for entry in SETS.values() for folder in entry.audio]
    corpus = Corpus.from_request("ASVspoof 5", request, SETS, "asvspoof5", inner=("ASVspoof5",), tree=tree)
    protocols = {
        name: [f"ASVspoof5_protocols/{_file(entry.protocol)}", _file(entry.protocol)] for name, entry in SETS.items()
    }
    for name, path in corpus.label_files(protocols).items():
        with corpus.preparing(name):
            enroll = _enrolment(path.parent, name)
            speech = [f"{utt}.flac" for utts in enroll.values() for utt in utts]
            folders = SETS[name].audio
            corpus.write(name, read_protocol(path), SETS[name].expected, folders, others=speech, labels=path)
            if enroll:
                _write_track2(corpus, name, enroll, path)
            if name == "eval":
                _write_codecs(corpus, path.parent / "ASVspoof5.codec.config.csv")
    return corpus.finish()


def _file(middle: str) -> str:
    return f"ASVspoof5.{middle}.tsv"


def read_protocol(path: str | Path) -> Trials:
    """The trials of a Track 1 protocol.

    Raises:
        InputError: a line is not of this corpus (file and line are named).
    """
    trials = Trials(r"[TDE]_\d{10}", KNOWN)
    for number, (speaker, utt, gender, codec, quality, seed, tag, attack, label, _) in rows(path, 10):
        trials.add(
            (path, number),
            utt,
            speaker=speaker,
            label=label,
            attack="-" if attack == "bonafide" else attack,
            cond=codec,
            cond_q=quality,
            seed=seed,
            gender=gender,
            tag=tag,
        )
    return trials


class AsvTrial(NamedTuple):
    """A trial of Track 2: is ``utt`` spoken by ``target``? ``key`` is one of ``ASV_KEYS``, ``attack`` as in Track 1."""

    target: str
    utt: str
    key: str
    attack: str


def read_trials(path: str | Path) -> list[AsvTrial]:
    """The trials of a Track 2 list; a line is ``TARGET UTT GENDER ATTACK KEY``.

    Raises:
        InputError: a line is not of such a list (file and line are named), or a trial is there twice.
    """
    trials: list[AsvTrial] = []
    seen: set[str] = set()
    for number, (target, utt, _, attack, key) in rows(path, 5):
        pair = f"{target} {utt}"
        if pair in seen:
            raise InputError(
                f"{path}:{number}: the trial of '{target}' with '{utt}' is there twice; get the list again"
            )
        if (attack, key) not in ASV_LABELS:
            raise InputError(
                f"{path}:{number}: attack '{attack}' and key '{key}' of '{utt}' do not go together; "
                f"expected 'bonafide' with target or nontarget, or A01 to A32 with spoof"
            )
        seen.add(pair)
        trials.append(AsvTrial(target, utt, key, "-" if attack == "bonafide" else attack))
    return trials


def read_enrolment(path: str | Path) -> dict[str, list[str]]:
    """Target speaker -> enrolment utterances, of a Track 2 list; a line is ``TARGET UTT,UTT,...``.

    Raises:
        InputError: a line is not of such a list (file and line are named), or a speaker is there twice.
    """
    enroll: dict[str, list[str]] = {}
    for number, (target, utts) in rows(path, 2):
        if target in enroll:
            raise InputError(f"{path}:{number}: '{target}' is listed a second time; the file is damaged, get it again")
        enroll[target] = utts.split(",")
        if not all(enroll[target]):
            raise InputError(f"{path}:{number}: '{utts}' is not a list of utterances separated by commas")
    return enroll


def _enrolment(folder: Path, name: str) -> dict[str, list[str]]:
    """The enrolment list of a set, empty if the lists of Track 2 are not beside its protocol."""
    path = folder / _file(f"{name}.track_2.enroll")
    return read_enrolment(path) if path.is_file() and (folder / _file(f"{name}.track_2.trial")).is_file() else {}


def _write_track2(corpus: Corpus, name: str, enroll: dict[str, list[str]], labels: Path) -> None:
    path = labels.parent / _file(f"{name}.track_2.trial")
    trials = read_trials(path)
    unknown = sorted({trial.target for trial in trials} - enroll.keys())
    if unknown:
        raise InputError(f"{path}: target '{unknown[0]}' is not in the enrolment list; get the protocols again")
    utts = [utt for listed in enroll.values() for utt in listed]
    stems = {utt: utt for utt in utts}
    audio = corpus.audio.anywhere(stems, SETS[name].audio, ".flac", labels)
    scp = audio.paths(stems)
    where = ", ".join(source.folder for source in audio.sources) or SETS[name].audio[0]
    _, _, _, lines, (speakers, utterances) = SETS[name]
    counts = {
        "trials": (len(trials), lines),
        "enrolled speakers": (len(enroll), speakers),
        "enrolment utterances": (len(utts), utterances),
        f"enrolment files in {where}": (len(scp), len(utts)),
    }
    for what, (found, expected) in counts.items():
        if found != expected and not corpus.allow_partial:
            raise InputError(f"{path}: {found:,} {what} instead of {expected:,} (--allow-partial takes what is there)")
    folder = corpus.out / f"{name}_track2"
    gaps = [
        Gap(folder.name, f"{what} missing from the corpus", max(0, expected - found), expected)
        for what, (found, expected) in counts.items()
        if found != expected
    ]
    write_gaps(folder, gaps)
    with atomic_write(folder / "trials") as file:
        file.writelines(f"{trial.target} {trial.utt} {trial.key} {trial.attack}\n" for trial in trials)
    write_table(folder / "enroll", {target: " ".join(listed) for target, listed in enroll.items()})
    write_table(folder / "wav.scp", scp)
    keys = Counter(trial.key for trial in trials)
    tried = ", ".join(f"{keys[key]:,} {key}" for key in ASV_KEYS)
    partial = "".join(
        f"; PARTIAL: {found:,} of {expected:,} {what}"
        for what, (found, expected) in counts.items()
        if found != expected
    )
    print(f"{folder}: {tried} trials; {counted(len(enroll), 'target')} enrolled{partial}")


class CodecSetting(NamedTuple):
    """What one pair of CODEC and CODEC_Q stands for.

    ``kbps`` is the lowest and highest bit rate, None where the release gives none. ``chain`` is for C07 only: the pairs
    of settings, of C05 (MP3) and C04 (EnCodec), that its utterances went through.
    """

    codec: str
    quality: str
    name: str
    kbps: tuple[float, float] | None
    chain: tuple[tuple[str, str], ...] = ()


def read_codecs(path: str | Path) -> list[CodecSetting]:
    """The codec table of the release, ``ASVspoof5.codec.config.csv``, in the spelling of the protocols.

    The file has ids without padding (``C1``), ``arm`` for amr, device names with a blank at the end, and, behind an
    empty record, a second table under the same header: which settings C07 combines.

    Raises:
        InputError: the file is another one (file and line are named).
    """
    settings: list[CodecSetting] = []
    chains: dict[str, list[tuple[str, str]]] = {}
    for number, record in csv_rows(path, ("ID", "CODEC", "CODEC_Q", "Bitrate(kbps)")):
        first, second, third, rate = (value.strip() for value in record.values())
        if re.fullmatch(r"C\d+", first):
            name = re.sub(r"^arm_", "amr_", second)
            settings.append(CodecSetting(f"C{int(first[1:]):02d}", third, name, _kbps(rate)))
        elif first.isdigit():
            chains.setdefault(first, []).append((second, third))
        elif first and first != "C7 CODEC_Q":
            raise InputError(f"{path}:{number}: '{first}' is not a codec of ASVspoof 5; is it the right file?")
    return [
        setting._replace(chain=tuple(chains.get(setting.quality, ()))) if setting.codec == "C07" else setting
        for setting in settings
    ]


def _kbps(rate: str) -> tuple[float, float] | None:
    """The bounds of ``24``, ``6.6`` or ``45-85``; None for words or ``-``."""
    if not re.fullmatch(r"[\d.]+(-[\d.]+)?", rate):
        return None
    low, _, high = rate.partition("-")
    return float(low), float(high or low)


def _write_codecs(corpus: Corpus, path: Path) -> None:
    """Write ``codecs.tsv`` into the eval set, if the release's table is there."""
    if not path.is_file():
        return
    with atomic_write(corpus.out / "eval/codecs.tsv") as file:
        file.write("cond\tcond_q\tcodec\tkbps_low\tkbps_high\tmp3+encodec\n")
        for codec, quality, name, kbps, chain in read_codecs(path):
            low, high = (f"{value:g}" for value in kbps) if kbps else ("-", "-")
            pairs = " ".join(f"{mp3}+{encodec}" for mp3, encodec in chain) or "-"
            file.write(f"{codec}\t{quality}\t{name}\t{low}\t{high}\t{pairs}\n")
