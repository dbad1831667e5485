"""The mini corpus: 41 voices of Debian's sound packages and copies of them by vocoders and a small neural codec.

Where it comes from. The bona fide half is in this repository, ``egs/mini/corpus``: 287 utterances of 2.0 to 3.2 s, 7
per voice, out of telephone prompts (asterisk-core-sounds), spoken letters and syllables (klettres), and spoken picture
names (ktuberling, tuxpaint-stamps). Every file stays under the licence of its package, named in ``bonafide.tsv``. The
spoofed half is made from it on the user's machine.

How it lies on disk::

    corpus/bonafide.tar              bonafide/UTT.flac, 16 kHz
    corpus/bonafide.tsv              utt, speaker, split, package, licence, duration, files
    corpus/codec_rvq8.safetensors    weights of the codec
    corpus/SHA256SUMS

    data/audio/bonafide/UTT.flac     unpacked
    data/audio/SYSTEM/UTT-SYSTEM.flac   made by 'spooftrace codec resynthesize'
    data/{train,dev,eval}/           data directories

A copy is in the same split as its original, has the same speaker, words and length, and goes through the same final
processing, so that neither content nor channel gives the class away. Voices of different splits are different people
as far as credits, languages and speaker embeddings tell. The systems take turns, so that each makes nearly equally
many copies of a split and of a voice. ``world24`` is in eval only.

Codec labels (``utt2vq``, ``utt2aux``, ``utt2dec``, ``utt2codec``, ``utt2nac``): ``real`` marks bona fide speech in the
three taxonomy tables, as in CodecFake+; ``-`` stands where there is no codec to describe.

This is a corpus for trying things out: isolated words, few hundred files, a weak codec. Results on it say nothing about
published benchmarks.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import re
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from spooftrace.atomic import atomic_write
from spooftrace.datadir import DataDir
from spooftrace.errors import InputError

ARCHIVE, TABLE, SUMS = "bonafide.tar", "bonafide.tsv", "SHA256SUMS"
COLUMNS = ["utt", "speaker", "split", "package", "licence", "duration", "files"]


@dataclass(frozen=True)
class Labels:
    """What the codec tables say about the copies of one system."""

    vq: str = "-"
    aux: str = "-"
    dec: str = "-"
    codec: str = "-"
    nac: str = "- - -"


BONAFIDE = Labels(vq="real", aux="real", dec="real")
SYSTEMS = {
    "world": Labels(),
    "griffinlim": Labels(),
    "codec_q8": Labels("mvq", "none", "freq", "rvq8_freq", "16 3.2 8"),
    "codec_q4": Labels("mvq", "none", "freq", "rvq8_freq", "16 1.6 4"),
    "world24": Labels(),
}
SEEN = ("world", "griffinlim", "codec_q8", "codec_q4")
# split -> (bona fide utterances, their copies each, the systems that take turns)
SPLITS = {
    "train": (154, 2, SEEN),
    "dev": (49, 2, SEEN),
    "eval": (84, 3, tuple(SYSTEMS)),
}


def run(args: argparse.Namespace) -> list[DataDir]:
    """Prepare the corpus and say what is in it."""
    prepared = list(prepare(args.root, args.out).values())
    for data in prepared:
        labels = list(data.table("utt2label").values())
        print(f"{data.path}: {labels.count('bonafide')} bona fide, {labels.count('spoof')} spoofed utterances")
    return prepared


def prepare(corpus: str | Path, out: str | Path) -> dict[str, DataDir]:
    """Unpack the bona fide speech and write the three data directories, copies included (as tables; not their audio).

    Args:
        corpus: the folder with the archive, its table and checksums.
        out: folder for ``audio`` and the data directories; as it is given it becomes part of the paths in ``wav.scp``.

    Returns:
        Split -> data directory.

    Raises:
        InputError: a file of the corpus is missing or damaged, or its contents are not those of version 1.
    """
    corpus, out = Path(corpus), Path(out)
    check_sums(corpus)
    rows = read_rows(corpus / TABLE)
    unpack(corpus / ARCHIVE, out / "audio", [row["utt"] for row in rows])
    return {split: DataDir.write(out / split, split_tables(rows, split, out)) for split in SPLITS}


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
        if hashlib.sha256(path.read_bytes()).hexdigest() != expected:
            raise InputError(f"{path}: damaged, its checksum is not that in {SUMS}; check the repository out again")


def read_rows(path: Path) -> list[dict[str, str]]:
    """The rows of ``bonafide.tsv``, sorted by utterance.

    Raises:
        InputError: other columns, or other counts per split, than version 1 of the corpus has.
    """
    with open(path, encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        rows = sorted(reader, key=lambda row: row["utt"])
    if reader.fieldnames != COLUMNS:
        raise InputError(f"{path}:1: the columns are not {' '.join(COLUMNS)}; check the repository out again")
    for split, (expected, _, _) in SPLITS.items():
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


def split_tables(rows: list[dict[str, str]], split: str, out: Path) -> dict[str, dict[str, str]]:
    """The tables of one split's data directory: every bona fide utterance and its copies."""
    _, copies, systems = SPLITS[split]
    names = "wav.scp utt2source utt2spk utt2dur utt2label utt2system utt2vq utt2aux utt2dec utt2codec utt2nac".split()
    tables: dict[str, dict[str, str]] = {name: {} for name in names}

    def add(utt: str, row: Mapping[str, str], system: str, labels: Labels) -> None:
        source = f"{out}/audio/bonafide/{row['utt']}.flac"
        copied = system != "-"
        values = {
            "wav.scp": f"{out}/audio/{system}/{utt}.flac" if copied else source,
            "utt2source": source,
            "utt2spk": row["speaker"],
            "utt2dur": row["duration"],
            "utt2label": "spoof" if copied else "bonafide",
            "utt2system": system,
            "utt2vq": labels.vq,
            "utt2aux": labels.aux,
            "utt2dec": labels.dec,
            "utt2codec": labels.codec,
            "utt2nac": labels.nac,
        }
        for name, value in values.items():
            tables[name][utt] = value

    for position, row in enumerate(row for row in rows if row["split"] == split):
        add(row["utt"], row, "-", BONAFIDE)
        for turn in range(position, position + copies):
            system = systems[turn % len(systems)]
            add(f"{row['utt']}-{system}", row, system, SYSTEMS[system])
    return tables
