"""MLAAD, the Multi-Language Audio Anti-Spoofing Dataset: many text-to-speech systems in many languages, fakes only.

Where it comes from. Hugging Face ``mueller91/MLAAD``; licence CC BY-NC 4.0. It grows: version 10 has 456,000 clips in
54 languages. Paper: Mueller et al. 2024, "MLAAD: The multi-language audio anti-spoofing dataset".

How it lies on disk (``--root``)::

    fake/LANGUAGE/ATTACK/meta.csv
                         *.wav        sampling rates differ

A line of ``meta.csv`` is separated by ``|``, below a header that begins ``path|original_file|language|...``; quotation
marks are part of the text (read as CSV quotes they swallow lines). ``path`` ends in the file's name; ``original_file``
is the M-AILABS recording whose text is spoken, ``-`` or nothing where there is none.

The set is ``mlaad``. An utterance id is ``LANGUAGE/ATTACK/CLIP``, as clips of different attacks have the same names;
white space in it becomes ``_``. ``utt2attack`` is ATTACK, the name of the folder; ``utt2lang`` LANGUAGE;
``utt2architecture`` the column ``architecture``.

Bona fide speech is not part of MLAAD. With ``--bonafide``, the folder of the M-AILABS speech dataset
(``LOCALE/by_book/GENDER/SPEAKER/BOOK/wavs/*.wav``), its recordings that MLAAD names as originals become the set
``mailabs``, so that both classes say the same sentences, and both sets together ``mlaad_mailabs``. There is no official
choice of bona fide speech: say which one a figure was measured with.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from spooftrace.common.errors import InputError
from spooftrace.corpora.corpus import Corpus
from spooftrace.corpora.protocol import Trials, csv_rows
from spooftrace.corpora.request import Request
from spooftrace.corpora.separators import separator_note
from spooftrace.datadir import DataDir
from spooftrace.datadir.edit import combine

OFFICIAL_SEPARATOR = "|"


def prepare(request: Request, bonafide: Path | None = None) -> list[DataDir]:
    """Write ``mlaad``, and with ``bonafide`` also ``mailabs`` and ``mlaad_mailabs``."""
    corpus = Corpus.from_request("MLAAD", request, ("mlaad", "mailabs"), inner=("MLAAD",), tree=("fake",))
    if bonafide and not bonafide.is_dir():
        raise InputError(f"--bonafide {bonafide}: no such folder; give the folder of M-AILABS")
    if corpus.root.absolute().name == "fake":
        corpus.finder.climb()
    fake = corpus.find("fake")
    trials, files, originals = read_tables(fake)
    corpus.record_origin("labels", fake)
    if corpus.selected("mlaad"):
        with corpus.preparing("mlaad"):
            corpus.write("mlaad", trials, None, fake, ".wav", files)
    if not bonafide:
        print(f"{corpus.out / 'mlaad'}: has no bona fide speech to compare with; --bonafide DIR adds that of M-AILABS")
        return corpus.finish()
    mailabs = Corpus("M-AILABS", bonafide, request.out, request.allow_partial)
    if corpus.selected("mailabs"):
        with mailabs.preparing("mailabs"):
            trials, files = bonafide_trials(originals)
            mailabs.write("mailabs", trials, None, (".", "MAILABS", "M-AILABS"), ".wav", files)
    prepared = corpus.finish() + mailabs.finish()
    if len(prepared) == 2:
        both, _ = combine(corpus.out / "mlaad_mailabs", [data.path for data in prepared])
        prepared.append(both)
        print(f"{both.path}: {len(both.utts):,} utterances, those of the two sets")
    return prepared


def read_tables(folder: str | Path) -> tuple[Trials, dict[str, str], dict[str, tuple[Path, int]]]:
    """Everything that the ``meta.csv`` files below ``fake`` list.

    Returns:
        The trials; utterance -> file within ``folder``; and the originals, each with a file and line that names it.

    Raises:
        InputError: there is no such file, or a line is not of this corpus (file and line are named).
    """
    trials = Trials(r"[^/]+/[^/]+/[^/]+")
    files: dict[str, str] = {}
    originals: dict[str, tuple[Path, int]] = {}
    tables = sorted(Path(folder).glob("*/*/meta.csv"))
    other_separators: Counter[str] = Counter()
    if not tables:
        raise InputError(f"{folder}: has no LANGUAGE/ATTACK/meta.csv; give the folder of MLAAD with --root")
    for path in tables:
        language, attack = path.parts[-3:-1]
        for number, record in csv_rows(
            path,
            ("path", "original_file"),
            delimiter=OFFICIAL_SEPARATOR,
            quoted=False,
            other_separators=other_separators,
        ):
            file = f"{language}/{attack}/{record['path'].strip().rpartition('/')[2]}"
            utt = _solid(file.removesuffix(".wav"))
            trials.add(
                (path, number),
                utt,
                speaker="-",
                label="spoof",
                attack=_solid(attack),
                lang=language,
                architecture=_solid(record.get("architecture", "")) or "-",
            )
            files[utt] = file
            original = record["original_file"].strip().removeprefix("./")
            if original not in ("", "-"):
                originals.setdefault(original, (path, number))
    for separator, count in other_separators.items():
        which = f"{folder}: {count:,} of {len(tables):,} meta.csv"
        print(separator_note(which, separator, OFFICIAL_SEPARATOR))
    return trials, files, originals


def bonafide_trials(originals: Mapping[str, tuple[Path, int]]) -> tuple[Trials, dict[str, str]]:
    """The trials of these M-AILABS recordings, and utterance -> file; books read by several people have no speaker.

    Raises:
        InputError: there are none, or two have the same id.
    """
    if not originals:
        raise InputError("no meta.csv of this MLAAD names an original recording; go without --bonafide")
    trials, files = Trials(), {}
    for original, at in originals.items():
        utt = _solid(original.removesuffix(".wav"))
        place = re.match(r"(?:.*/)?(\w\w)_\w\w/by_book/(?:(?:fe)?male/([^/]+)/)?", original)
        language, speaker = place.groups() if place else (None, None)
        trials.add(
            at,
            utt,
            speaker=_solid(speaker or "-"),
            label="bonafide",
            attack="-",
            lang=language or "-",
            architecture="-",
        )
        files[utt] = f"{original.removesuffix('.wav')}.wav"
    return trials, files


def _solid(name: str) -> str:
    return re.sub(r"\s+", "_", name.strip())
