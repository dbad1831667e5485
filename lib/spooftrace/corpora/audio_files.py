"""Locate the audio files of a set: at the official place, or wherever files with the names in the labels are.

FLAC and WAV are accepted, whichever is official. A set uses one extension; in a folder that was converted only in part,
the remaining files of the other extension are used as well. Several folders are combined only if each holds files that
the others lack, as the unmerged parts of an archive do. If files are missing, names of another spelling are tried
(``spooftrace.corpora.spelling``).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

from spooftrace.common.audio_suffixes import LOSSLESS
from spooftrace.common.errors import InputError
from spooftrace.corpora.audio_sources import Audio, Source
from spooftrace.corpora.finder import SHOWN, Finder
from spooftrace.corpora.folder_tree import ends_with
from spooftrace.corpora.spelling import fold_numbers, respell


class AudioFinder:
    """Searches the folders of a ``Finder`` for audio files."""

    def __init__(self, finder: Finder) -> None:
        self.finder = finder

    def anywhere(
        self,
        stem_of: Mapping[str, str],
        places: Sequence[str],
        extension: str,
        labels: Path | None = None,
    ) -> Audio:
        """Locate the audio files of a set anywhere below the root.

        Args:
            stem_of: Utterance -> relative path of its file without extension, such as ``x`` or ``a00/id1/x``.
            places: Relative paths of possible folders, the official one first.
            extension: Official extension.
            labels: Label file of the set; places beside it are tried first.

        Raises:
            InputError: The same files are in several places.
        """
        extensions = _order(extension)
        deep = any("/" in stem for stem in stem_of.values())
        beside = (
            [parent for parent in labels.parents if self.finder.root in (parent, *parent.parents)] if labels else []
        )
        for rank, place in enumerate(places):
            for base in dict.fromkeys([*beside[:3], *self.finder.bases]):
                if not (base / place).is_dir():
                    continue
                for source in self._sources(base / place, rank, deep, extensions):
                    if source.extension.lower() in extensions and _has_all(source, stem_of):
                        return Audio([source])
        exact = self._search(stem_of, places, extensions, deep)
        return _better(exact, lambda: self._search(stem_of, places, extensions, deep, set(stem_of.values())))

    def within(self, stem_of: Mapping[str, str], folder: Path, extension: str) -> Audio:
        """Locate the audio files of a set in one given folder."""
        exact = self._within(stem_of, folder, extension)
        return _better(exact, lambda: self._within(stem_of, folder, extension, set(stem_of.values())))

    def _within(self, stem_of: Mapping[str, str], folder: Path, extension: str, respelt: Collection[str] = ()) -> Audio:
        deep = any("/" in stem for stem in stem_of.values())
        extensions = _order(extension)
        best: Source | None = None
        hits = self._sources(folder, 0, deep, extensions, respelt)
        for source in hits:
            if source.extension.lower() in extensions and _has_all(source, stem_of):
                return Audio([source])
        stems = set(stem_of.values())
        for source in hits:
            source.count = len(stems & source.stems)
            if source.extension.lower() in extensions and source.count > (best.count if best else 0):
                best = source
        chosen = [best] if best else []
        chosen += _unconverted(chosen, [source for source in hits if source.extension.lower() in extensions], stems)
        rest = [source for source in hits if source not in chosen]
        return self._result(stem_of, chosen, rest, [folder])

    def _sources(
        self,
        path: str | os.PathLike[str],
        rank: int,
        deep: bool,
        extensions: Sequence[str] = LOSSLESS,
        respelt: Collection[str] = (),
    ) -> list[Source]:
        """The audio of one folder, one source for each extension in order of preference.

        Files that differ from names in ``respelt`` by their spelling get these names.
        """
        folder = self.finder.tree.deep(path) if deep else self.finder.tree.folder(path)
        order = {extension: number for number, extension in enumerate(extensions)}
        spelt = sorted(folder.audio, key=lambda extension: (order.get(extension.lower(), len(order)), extension))
        sources = [Source(folder.path, extension, folder.audio[extension], rank) for extension in spelt]
        for source in sources if respelt else ():
            source.spelling = respell(respelt, source.stems)
            names = source.spelling.files
            source.stems = source.stems.difference(names.values()).union(names)
        return sources

    def _search(
        self,
        stem_of: Mapping[str, str],
        places: Sequence[str],
        extensions: Sequence[str],
        deep: bool,
        respelt: Collection[str] = (),
    ) -> Audio:
        """Search all folders below the root."""
        stems = set(stem_of.values())
        hits = self._hits(stems, places, deep, respelt)
        usable = [source for source in hits if source.count and source.extension.lower() in extensions]
        official = [source for source in usable if source.official]
        pool = official or usable

        def preference(source: Source) -> tuple[int, int]:
            return source.rank, extensions.index(source.extension.lower())

        whole = [source for source in pool if source.count == len(stems)]
        if whole:
            best = min(map(preference, whole))
            chosen = [source for source in whole if preference(source) == best]
            if len(chosen) > 1:
                self._refuse(chosen)
        else:
            chosen = []
            if pool:
                rank = min(source.rank for source in pool)
                pool = [source for source in pool if source.rank == rank]
                total: dict[str, int] = {}
                for source in pool:
                    kind = source.extension.lower()
                    total[kind] = total.get(kind, 0) + source.count
                kind = max(total, key=lambda kind: (total[kind], -extensions.index(kind)))
                chosen = [source for source in pool if source.extension.lower() == kind]
                if _overlap(chosen, stems):  # several incomplete copies
                    chosen = []
                else:
                    chosen += _unconverted(chosen, pool, stems)
                    chosen += self._further(chosen, usable, places, stems)
        rejected = [source for source in hits if source not in chosen]
        looked = [base / place for place in places for base in self.finder.bases if (base / place).is_dir()]
        return self._result(stem_of, chosen, rejected, [*looked, *(Path(source.folder) for source in chosen)])

    def _hits(self, stems: set[str], places: Sequence[str], deep: bool, respelt: Collection[str] = ()) -> list[Source]:
        """All folders that hold at least one of the files, each once even if several links lead to it."""
        tops = {fold_numbers(stem.partition("/")[0]) for stem in stems} if deep else set()
        hits: dict[tuple[str, str], Source] = {}
        for parts, folder in self.finder.survey():
            if deep and tops.isdisjoint(map(fold_numbers, folder.folders)):
                continue
            rank = next((rank for rank, place in enumerate(places) if ends_with(parts, place)), len(places))
            if rank == len(places) and any(ends_with(parts, place) for place in self.finder.official):
                continue  # folder of another set, which may share recordings with this one
            for source in self._sources(folder.path, rank, deep, respelt=respelt):
                source.official = rank < len(places)
                source.count = len(stems & source.stems)
                key = os.path.realpath(source.folder), source.extension
                if (source.count or source.spelling.ambiguous) and (key not in hits or source.rank < hits[key].rank):
                    hits[key] = source
        return list(hits.values())

    @staticmethod
    def _further(chosen: list[Source], usable: list[Source], places: Sequence[str], stems: set[str]) -> list[Source]:
        """Folders such as ``train-1`` that hold files that ``train`` lacks, and none that it has."""
        have = set().union(*(source.stems for source in chosen)) & stems
        kind = chosen[0].extension.lower()
        names = tuple(place.casefold().rpartition("/")[2] for place in places)
        further = [
            source
            for source in usable
            if source not in chosen
            and source.extension.lower() == kind
            and Path(source.folder).name.casefold().startswith(names)
            and have.isdisjoint(source.stems)
        ]
        return [] if _overlap(further, stems) else further

    def _result(
        self, stem_of: Mapping[str, str], chosen: list[Source], rejected: list[Source], looked: Sequence[Path]
    ) -> Audio:
        missing = [utt for utt, stem in stem_of.items() if not any(stem in source.stems for source in chosen)]
        gone = {stem_of[utt] for utt in missing}
        deep = any("/" in stem for stem in gone)
        broken: set[str] = set()
        for path in dict.fromkeys(looked):
            names = (self.finder.tree.deep(path) if deep else self.finder.tree.folder(path)).broken
            broken |= gone & {name.rpartition(".")[0] for name in names}
        ambiguous = [
            f"{source.folder}: {words}" for source in (*chosen, *rejected) for words in source.spelling.ambiguous
        ]
        rejected = [source for source in rejected if source.count]
        return Audio(chosen, missing, rejected, len(broken), ambiguous)

    def _refuse(self, sources: Sequence[Source]) -> None:
        listed = "; ".join(map(str, sources[:SHOWN])) + (" and more" if len(sources) > SHOWN else "")
        raise InputError(
            f"{self.finder.root}: the same audio files are in several folders: {listed}; "
            "give the folder of one of them with --root, or move the others away"
        )


def _better(exact: Audio, search: Callable[[], Audio]) -> Audio:
    """The result of ``search``, for other spellings, if it has more files than the exact names give."""
    if not exact.missing:
        return exact
    respelt = search()
    if len(respelt.missing) < len(exact.missing):
        return respelt
    exact.ambiguous = respelt.ambiguous
    return exact


def _order(extension: str) -> tuple[str, ...]:
    """Accepted extensions, the official one first."""
    return tuple(dict.fromkeys((extension, *LOSSLESS)))


def _has_all(source: Source, stem_of: Mapping[str, str]) -> bool:
    stems = source.stems
    if len(stems) >= len(stem_of) and all(stem in stems for stem in stem_of.values()):
        source.count = len(stem_of)
        return True
    return False


def _unconverted(chosen: Sequence[Source], others: Sequence[Source], stems: set[str]) -> list[Source]:
    """Sources of another extension in the chosen folders that hold missing files."""
    folders = {source.folder for source in chosen}
    lacking = stems.difference(*(source.stems for source in chosen))
    result = []
    for source in others:
        if source not in chosen and source.folder in folders and not lacking.isdisjoint(source.stems):
            source.count = len(lacking & source.stems)
            lacking -= source.stems
            result.append(source)
    return result


def _overlap(sources: Sequence[Source], stems: set[str]) -> bool:
    """Whether two sources share a file."""
    return sum(source.count for source in sources) > len(set().union(*(source.stems for source in sources)) & stems)
