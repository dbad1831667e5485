"""The mini corpus, version 2: 41 voices of Debian's sound packages and copies of them by codecs and vocoders.

Where it comes from. The bona fide half is in this repository, ``egs/mini/corpus``: 287 utterances of 2.0 to 3.2 s, 7
per voice, out of telephone prompts (asterisk-core-sounds), spoken letters and syllables (klettres), and spoken picture
names (ktuberling, tuxpaint-stamps). Every file stays under the licence of its package, named in ``bonafide.tsv``. The
spoofed half is made from it on the user's machine, by small neural codecs of ``conf/codecs.yaml`` whose weights are
there too, and by vocoders.

How it lies on disk::

    corpus/bonafide.tar              bonafide/UTT.flac, 16 kHz
    corpus/bonafide.tsv              utt, speaker, split, package, licence, duration, files
    corpus/SHA256SUMS

    data/audio/bonafide/UTT.flac     unpacked
    data/audio/ATTACK/UTT-ATTACK.flac   made by 'spooftrace codec resynthesize'
    data/{train,dev,eval}/           data directories
    data/{train,dev,eval}_8khz/      copies by a codec at 8 kHz, and nothing else

A copy is in the same split as its original, has the same speaker, words and length, and goes through the same final
processing, so that neither content nor channel gives the class away. Voices of different splits are different people
as far as credits, languages and speaker embeddings tell. Attacks of a kind take turns, so that each makes nearly
equally many copies of a split and of a voice.

``utt2subset`` says how new a copy's attack is: ``seen`` in training, an ``unseen_setting`` (number of quantizers) of a
codec seen in training, an ``unseen_codec``; ``vocoder`` where there is no codec; ``-`` for bona fide speech. A codec at
8 kHz narrows the band, which any detector hears: its copies are for telling sampling rates, not for detection.

Codec labels (``utt2vq``, ``utt2aux``, ``utt2dec``, ``utt2codec``, ``utt2nac``): ``real`` marks bona fide speech in all
but the last, as in CodecFake+; ``-`` stands where there is no codec to describe.

This is a corpus for trying things out: isolated words, few hundred files, weak codecs. Results on it say nothing about
published benchmarks.
"""

from __future__ import annotations

import csv
import re
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from spooftrace.common.atomic import atomic_write
from spooftrace.common.errors import InputError
from spooftrace.common.provenance import file_sha256
from spooftrace.corpora.request import Request
from spooftrace.datadir import DataDir

ARCHIVE, TABLE, SUMS = "bonafide.tar", "bonafide.tsv", "SHA256SUMS"
COLUMNS = ["utt", "speaker", "split", "package", "licence", "duration", "files"]


SPLITS = {"train": 154, "dev": 49, "eval": 84}  # bona fide utterances

# Codecs and settings that passed the gate of local/check_codecs.py, by their names in conf/codecs.yaml.
SEEN = (
    "rvq8_freq_q8",
    "rvq8_freq_q4",
    "rvq_time_q8",
    "fsq_freq_q24",
    "svq_time",
    "rvq_freq_sem_q8",
    "rvq_freq_dis_q8",
    "rvq_freq_24k_q8",
)
UNSEEN_SETTING = ("rvq_time_q4", "fsq_freq_q12")
UNSEEN_CODEC = ("fac_freq_q8", "fsq_time_q24", "svq_freq")
NARROW = ("rvq_freq_8k_q8", "rvq_freq_8k_q4")
VOCODERS = ("world", "griffinlim")
UNSEEN_VOCODER = ("world24",)  # WORLD with its envelope coded
SUBSETS = dict.fromkeys((*SEEN, *NARROW), "seen")
SUBSETS |= dict.fromkeys(UNSEEN_SETTING, "unseen_setting") | dict.fromkeys(UNSEEN_CODEC, "unseen_codec")
SUBSETS |= dict.fromkeys((*VOCODERS, *UNSEEN_VOCODER), "vocoder")


@dataclass(frozen=True)
class Turns:
    """``copies`` of each bona fide utterance, by ``attacks`` in turn."""

    copies: int
    attacks: tuple[str, ...]


@dataclass(frozen=True)
class Set:
    """A data directory: copies of the bona fide speech of a split, with or without that speech."""

    split: str
    turns: tuple[Turns, ...]
    bonafide: bool = True


KNOWN = Turns(3, SEEN + VOCODERS)
OPEN = (Turns(2, SEEN), Turns(1, UNSEEN_SETTING), Turns(2, UNSEEN_CODEC), Turns(1, VOCODERS + UNSEEN_VOCODER))
SETS = {"train": Set("train", (KNOWN,)), "dev": Set("dev", (KNOWN,)), "eval": Set("eval", OPEN)}
SETS |= {f"{split}_8khz": Set(split, (Turns(1, NARROW),), bonafide=False) for split in SPLITS}

REAL, NO_CODEC = ("real", "real", "real", "real", "- - -"), ("-", "-", "-", "-", "- - -")
CODEC_LABELS = ("utt2vq", "utt2aux", "utt2dec", "utt2codec", "utt2nac")


def prepare(request: Request) -> list[DataDir]:
    """Prepare the corpus and say what is in it."""
    prepared = list(write_data_dirs(request.root, request.out).values())
    for data in prepared:
        labels = list(data.table("utt2label").values())
        print(f"{data.path}: {labels.count('bonafide')} bona fide, {labels.count('spoof')} spoofed utterances")
    return prepared


def write_data_dirs(corpus: str | Path, out: str | Path) -> dict[str, DataDir]:
    """Unpack the bona fide speech and write the data directories, copies included (as tables; not their audio).

    Args:
        corpus: the folder with the archive, its table and checksums.
        out: folder for ``audio`` and the data directories; as it is given it becomes part of the paths in ``wav.scp``.

    Returns:
        Name -> data directory.

    Raises:
        InputError: a file of the corpus is missing or damaged, its contents are not those of version 2, or a codec is
            not in ``conf/codecs.yaml``.
    """
    corpus, out = Path(corpus), Path(out)
    check_sums(corpus)
    rows = read_rows(corpus / TABLE)
    unpack(corpus / ARCHIVE, out / "audio", [row["utt"] for row in rows])
    return {name: DataDir.write(out / name, set_tables(rows, chosen, out)) for name, chosen in SETS.items()}


def check_sums(corpus: Path) -> None:
    """Compare the files that ``SHA256SUMS`` lists with their checksums.

    Raises:
        InputError: a file is missing or differs.
    """
    sums = corpus / SUMS
    if not sums.is_file():
        raise InputError(f"{sums}: no such file; the mini corpus is part of the repository, check it out again")
    for line in sums.read_text(encoding="utf-8").splitlines():
        expected, _, name = line.partition("  ")
        path = corpus / name
        if not path.is_file():
            raise InputError(f"{path}: no such file; check the repository out again")
        if file_sha256(path) != expected:
            raise InputError(f"{path}: damaged, its checksum is not that in {SUMS}; check the repository out again")


def read_rows(path: Path) -> list[dict[str, str]]:
    """The rows of ``bonafide.tsv``, sorted by utterance.

    Raises:
        InputError: other columns, or other counts per split, than version 2 of the corpus has.
    """
    with open(path, encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        rows = sorted(reader, key=lambda row: row["utt"])
    if reader.fieldnames != COLUMNS:
        raise InputError(f"{path}:1: the columns are not {' '.join(COLUMNS)}; check the repository out again")
    for split, expected in SPLITS.items():
        count = sum(row["split"] == split for row in rows)
        if count != expected:
            raise InputError(f"{path}: has {count} utterances of {split}, expected {expected}; check it out again")
    return rows


def unpack(archive: Path, out: Path, utts: list[str]) -> None:
    """Write ``bonafide/UTT.flac`` of a tar file below ``out``; files already there in full are left alone.

    Raises:
        InputError: the archive is damaged, holds anything but these files, or lacks one of ``utts``.
    """
    try:
        with tarfile.open(archive, "r:") as tar:
            members = tar.getmembers()
            for member in members:
                # Names that lead out of the folder, links and devices have no business here.
                if not (re.fullmatch(r"bonafide/[A-Za-z0-9_-]+\.flac", member.name) and member.isfile()):
                    raise InputError(f"{archive}: holds '{member.name}', not a bona fide FLAC file; nothing unpacked")
            for member in members:
                target = out / member.name
                if not (target.is_file() and target.stat().st_size == member.size):
                    content = tar.extractfile(member)
                    assert content is not None  # only links and folders have no content
                    with atomic_write(target, "wb") as file:
                        file.write(content.read())
    except (tarfile.TarError, EOFError) as error:
        raise InputError(f"{archive}: damaged archive ({error}); check the repository out again") from None
    found = {Path(member.name).stem for member in members}
    if found != set(utts):
        odd = sorted(found ^ set(utts))[0]
        raise InputError(f"{archive}: '{odd}' is not in both the archive and {TABLE}; check it out again")


def set_tables(rows: list[dict[str, str]], chosen: Set, out: Path) -> dict[str, dict[str, str]]:
    """The tables of one data directory: the bona fide utterances of its split and their copies."""
    names = ("wav.scp", "utt2source", "utt2spk", "utt2dur", "utt2label", "utt2attack", "utt2subset", *CODEC_LABELS)
    tables: dict[str, dict[str, str]] = {name: {} for name in names}

    def add(utt: str, row: Mapping[str, str], attack: str | None = None) -> None:
        source = f"{out}/audio/bonafide/{row['utt']}.flac"
        values = {
            "wav.scp": f"{out}/audio/{attack}/{utt}.flac" if attack else source,
            "utt2source": source,
            "utt2spk": row["speaker"],
            "utt2dur": row["duration"],
            "utt2label": "spoof" if attack else "bonafide",
            "utt2attack": attack or "-",
            "utt2subset": SUBSETS[attack] if attack else "-",
            **codec_labels(attack),
        }
        for name, value in values.items():
            tables[name][utt] = value

    for position, row in enumerate(row for row in rows if row["split"] == chosen.split):
        if chosen.bonafide:
            add(row["utt"], row)
        for turns in chosen.turns:
            for turn in range(position, position + turns.copies):
                attack = turns.attacks[turn % len(turns.attacks)]
                add(f"{row['utt']}-{attack}", row, attack)
    return tables


def codec_labels(attack: str | None) -> dict[str, str]:
    """What the codec tables say about the copies of an attack; without one, about bona fide speech."""
    if attack is None:
        return dict(zip(CODEC_LABELS, REAL, strict=True))
    if SUBSETS[attack] == "vocoder":
        return dict(zip(CODEC_LABELS, NO_CODEC, strict=True))
    from spooftrace.codecs.table import find_setting  # needs a YAML parser, which --help does not

    return {name: find_setting(attack).labels[name] for name in CODEC_LABELS}
