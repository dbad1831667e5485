"""Messages about parts of a corpus that are not there: what was looked for, and what lies there instead."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from spooftrace.common.audio_suffixes import AUDIO, LOSSY
from spooftrace.common.english import first_of
from spooftrace.corpora.audio_sources import Audio
from spooftrace.corpora.exports import advice
from spooftrace.corpora.finder import SHOWN, Finder, MissingPart

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.xz", ".tar.bz2", ".7z")
DATASETS = (".parquet", ".arrow")


def nothing_at(finder: Finder, corpus: str, places: Sequence[str]) -> MissingPart:
    """The error that nothing lies at some relative paths, nor in the folders that were searched.

    Args:
        finder: what searched.
        corpus: name of the corpus.
        places: the paths, the official one first.
    """
    # Name the deepest folder that is right: half-unpacked archives and roots one level off look alike otherwise.
    nearest = finder.bases[0] / places[0]
    while not nearest.is_dir():
        nearest = nearest.parent
    entries = sorted(entry.name for entry in os.scandir(nearest))
    options = list(dict.fromkeys(places))
    wanted = " nor ".join(options[:SHOWN]) + (f" nor {len(options) - SHOWN} more" if len(options) > SHOWN else "")
    return MissingPart(
        f"{finder.root}: not the folder of {corpus}, or not all unpacked: no {wanted}; "
        f"{nearest} has {first_of(entries, SHOWN) or 'nothing'}{_packed(finder)}"
    )


def _packed(finder: Finder) -> str:
    """What to do about archives that are still to be unpacked."""
    for endings in (DATASETS, ARCHIVES):
        for _, folder in finder.survey():
            for name in folder.others:
                if name.lower().endswith(endings):
                    path = Path(folder.path, name)
                    return f"; {path} {advice(path) if endings is DATASETS else 'is not unpacked'}"
    return ""


def no_audio(
    finder: Finder,
    corpus: str,
    name: str,
    audio: Audio,
    stem_of: Mapping[str, str],
    places: Path | Sequence[str],
    suffix: str,
    listed: str,
) -> MissingPart:
    """The error that audio files of a set are missing.

    Args:
        finder: what searched.
        corpus: name of the corpus.
        name: the set.
        audio: what was found.
        stem_of: utterance -> name of its file without extension.
        places: relative paths of the folders where they should be, or the very folder.
        suffix: extension of the release.
        listed: the file where the missing ones are listed, and what to do.
    """
    if isinstance(places, Path):
        folders = [places]
    else:
        folders = [base / place for place in places for base in finder.bases if (base / place).is_dir()]
        if not folders and not audio.sources and not audio.rejected:
            return nothing_at(finder, corpus, places)
    where = [source.folder for source in audio.sources] or [str(folder) for folder in folders[:1]] or [str(finder.root)]
    files = [stem_of[utt] + suffix for utt in audio.missing]
    parts = [
        f"{', '.join(dict.fromkeys(where))}: {len(files):,} of the {len(stem_of):,} audio files of {name} are missing "
        f"({first_of(files)})"
    ]
    if audio.broken:
        parts.append(f"{audio.broken:,} of them are links that lead nowhere, or no files")
    if audio.ambiguous:
        parts.append(f"names could be read in several ways, rename the files ({first_of(audio.ambiguous, SHOWN)})")
    for source in audio.rejected[:SHOWN]:
        lossy = ", a lossy format that would give other results" if source.extension.lower() in LOSSY else ""
        parts.append(f"there are {source.count:,} {source.extension} of the same names in {source.folder}{lossy}")
    if not audio.sources and not audio.rejected and not audio.broken and folders:
        parts.append(f"{where[0]} has {_content(folders[0])}")
    return MissingPart(f"{'; '.join(parts)}; all are listed in {listed}")


def _content(folder: Path) -> str:
    """What a folder holds, in words."""
    endings: dict[str, int] = {}
    others = []
    with os.scandir(folder) as entries:
        for entry in entries:
            ending = Path(entry.name).suffix
            if ending.lower() in AUDIO:
                endings[ending] = endings.get(ending, 0) + 1
            else:
                others.append(entry.name)
    words = [f"{count:,} {ending} of other names" for ending, count in sorted(endings.items())]
    return ", ".join(words + sorted(others)[: SHOWN - len(words)]) or "nothing"
