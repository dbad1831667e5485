"""Errors about missing files of a corpus: what was expected, and what the folders hold instead."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from spooftrace.common.audio_suffixes import AUDIO, LOSSY
from spooftrace.common.english import first_of
from spooftrace.corpora.audio_sources import Audio
from spooftrace.corpora.exports import advice
from spooftrace.corpora.finder import SHOWN, Finder, MissingFiles

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.xz", ".tar.bz2", ".7z")
DATASETS = (".parquet", ".arrow")


def not_found_error(finder: Finder, corpus: str, places: Sequence[str]) -> MissingFiles:
    """The error for relative paths that are neither at the root nor in the searched folders.

    Args:
        finder: The search.
        corpus: Name of the corpus.
        places: The paths, the official one first.
    """
    # Name the deepest folder that exists: it tells half-unpacked archives from a root one level off.
    nearest = finder.bases[0] / places[0]
    while not nearest.is_dir():
        nearest = nearest.parent
    entries = sorted(entry.name for entry in os.scandir(nearest))
    options = list(dict.fromkeys(places))
    wanted = " nor ".join(options[:SHOWN]) + (f" nor {len(options) - SHOWN} more" if len(options) > SHOWN else "")
    return MissingFiles(
        f"{finder.root}: not the folder of {corpus}, or not all of it is unpacked: no {wanted}; "
        f"{nearest} has {first_of(entries, SHOWN) or 'nothing'}{_packed(finder)}"
    )


def _packed(finder: Finder) -> str:
    """What to do about an archive that is not unpacked; empty if there is none."""
    for endings in (DATASETS, ARCHIVES):
        for _, folder in finder.survey():
            for name in folder.others:
                if name.lower().endswith(endings):
                    path = Path(folder.path, name)
                    return f"; {path} {advice(path) if endings is DATASETS else 'is not unpacked'}"
    return ""


def audio_missing_error(
    finder: Finder,
    corpus: str,
    name: str,
    audio: Audio,
    stem_of: Mapping[str, str],
    places: Path | Sequence[str],
    suffix: str,
    listed: str,
) -> MissingFiles:
    """The error for missing audio files of a set.

    Args:
        finder: The search.
        corpus: Name of the corpus.
        name: Name of the set.
        audio: Result of the search.
        stem_of: Utterance -> name of its file without extension.
        places: Relative paths where the files may be, or the only folder.
        suffix: Official extension.
        listed: File that lists all missing ones, and the remedy.
    """
    if isinstance(places, Path):
        folders = [places]
    else:
        folders = [base / place for place in places for base in finder.bases if (base / place).is_dir()]
        if not folders and not audio.sources and not audio.rejected:
            return not_found_error(finder, corpus, places)
    where = [source.folder for source in audio.sources] or [str(folder) for folder in folders[:1]] or [str(finder.root)]
    files = [stem_of[utt] + suffix for utt in audio.missing]
    parts = [
        f"{', '.join(dict.fromkeys(where))}: {len(files):,} of the {len(stem_of):,} audio files of {name} are missing "
        f"({first_of(files)})"
    ]
    if audio.broken:
        parts.append(f"{audio.broken:,} of them are dangling links, or no files")
    if audio.ambiguous:
        parts.append(f"names fit several utterances, rename the files ({first_of(audio.ambiguous, SHOWN)})")
    for source in audio.rejected[:SHOWN]:
        lossy = ", a lossy format, which changes results" if source.extension.lower() in LOSSY else ""
        parts.append(f"{source.count:,} {source.extension} files with these names are in {source.folder}{lossy}")
    if not audio.sources and not audio.rejected and not audio.broken and folders:
        parts.append(f"{where[0]} has {_content(folders[0])}")
    return MissingFiles(f"{'; '.join(parts)}; all are listed in {listed}")


def _content(folder: Path) -> str:
    """Describe the content of a folder."""
    endings: dict[str, int] = {}
    others = []
    with os.scandir(folder) as entries:
        for entry in entries:
            ending = Path(entry.name).suffix
            if ending.lower() in AUDIO:
                endings[ending] = endings.get(ending, 0) + 1
            else:
                others.append(entry.name)
    words = [f"{count:,} {ending} with other names" for ending, count in sorted(endings.items())]
    return ", ".join(words + sorted(others)[: SHOWN - len(words)]) or "nothing"
