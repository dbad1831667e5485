"""Where the files of a corpus lie: label files by their names, audio by the files that the labels name.

People unpack corpora one level deeper, merge or do not merge their parts, convert FLAC to WAV, and move label files.
A corpus module describes the official tree by relative paths, in order of preference. What lies at one of them is taken
without a search. Otherwise the folders up to ``tree.DEPTH`` levels below the root are searched for paths that end in
them, in any letter case, and in the end for folders of any name that hold the audio files. Exactly one place must
answer; several are listed and refused, because a second copy may have been altered.
"""

from __future__ import annotations

import filecmp
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from spooftrace.corpora.tree import LOSSLESS, Folder, Parts, Tree, ends_with
from spooftrace.errors import InputError

SHOWN = 5  # places, files or entries of a folder that a message names


class MissingPart(InputError):
    """A part of a corpus is not there; whoever allows partial ones goes on without it."""


@dataclass
class Source:
    """Audio files of one extension in one folder.

    Attributes:
        folder: where they lie.
        extension: as spelt.
        stems: the stems of all audio files with it, those that no label names included.
        rank: number of the official place that the folder is, in order of preference; that of others is higher.
        count: how many of the files that were looked for are in it.
        official: whether the folder is one of the official places.
    """

    folder: str
    extension: str
    stems: set[str]
    rank: int
    count: int = 0
    official: bool = True

    def __str__(self) -> str:
        return f"{self.folder} ({self.count:,} {self.extension})"


@dataclass
class Audio:
    """The audio of one set.

    Attributes:
        sources: where its files are taken from.
        missing: utterances without a file.
        rejected: other places with some of the files, which were not taken.
        broken: how many of the missing files are links that lead nowhere, or no files.
    """

    sources: list[Source] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    rejected: list[Source] = field(default_factory=list)
    broken: int = 0

    def paths(self, stem_of: Mapping[str, str]) -> dict[str, str]:
        """Utterance -> file, for those that are not missing."""
        if len(self.sources) == 1 and not self.missing:
            (source,) = self.sources
            return {utt: f"{source.folder}/{stem}{source.extension}" for utt, stem in stem_of.items()}
        paths = {}
        for utt, stem in stem_of.items():
            for source in self.sources:
                if stem in source.stems:
                    paths[utt] = f"{source.folder}/{stem}{source.extension}"
                    break
        return paths


class Finder:
    """Searches one root.

    Args:
        root: folder of the corpus.
        inner: names of the folder that holds the corpus in the official tree; both it and its parent may be the root.
        tree: further folders of the official tree, in any of which the root may lie.
    """

    def __init__(self, root: Path, inner: Sequence[str] = (), tree: Sequence[str] = ()) -> None:
        self.root, self.inner, self.official = root, inner, tree
        self.tree = Tree()
        self._surveys: dict[Path, list[tuple[Parts, Folder]]] = {}

    @property
    def bases(self) -> list[Path]:
        """What official paths are relative to."""
        return [*(self.root / folder for folder in self.inner if (self.root / folder).is_dir()), self.root]

    def survey(self) -> list[tuple[Parts, Folder]]:
        """All folders that are searched, listed once."""
        if self.root not in self._surveys:
            self._surveys[self.root] = list(self.tree.survey(self.root))
        return self._surveys[self.root]

    def climb(self) -> None:
        """Make the parent of the root the root."""
        self.root = Path(os.path.abspath(self.root)).parent

    def all_labels(
        self, places: Mapping[str, Sequence[str]], first_line: str | Mapping[str, str] = ""
    ) -> dict[str, Path | None]:
        """The label file of each set, as ``labels`` finds it.

        Where no set has one, or they lie in the root itself although it is their own folder in the official tree, the
        root is too low: its parent becomes the root.

        Args:
            places: set -> where its label file may be.
            first_line: as of ``labels``, for all sets or for each.
        """
        given = self.root
        folders = {place.rpartition("/")[0] for options in places.values() for place in options}
        own = {folder.rpartition("/")[2].casefold() for folder in folders}
        within = {part.casefold() for place in (*folders, *self.inner, *self.official) for part in place.split("/")}
        lines = first_line if isinstance(first_line, Mapping) else dict.fromkeys(places, first_line)
        while True:
            paths = {name: self.labels(options, lines[name]) for name, options in places.items()}
            path = Path(os.path.abspath(self.root))
            too_low = path in _parents(paths) and path.name.casefold() in own
            if any(paths.values()) and not too_low:
                return paths
            if path.name.casefold() not in within or path.parent == path:
                self.root = self.root if any(paths.values()) else given
                return paths
            self.climb()

    def labels(self, places: Sequence[str], first_line: str = "", by_name: bool = True) -> Path | None:
        """The label file at one of ``places``, relative paths; or a file of that name elsewhere; None if there is none.

        Args:
            places: the official one first.
            first_line: regular expression for the first or second line (there may be a header) of files elsewhere.
            by_name: take a file of the right name from any folder.

        Raises:
            InputError: several files fit, and they differ.
        """
        for place in places:
            for base in self.bases:
                if (base / place).is_file():
                    return base / place
        names = list(dict.fromkeys(place.rpartition("/")[2] for place in places)) if by_name else []
        for place in [*places, *names]:
            head, _, name = place.rpartition("/")
            fits = [
                Path(folder.path, other)
                for parts, folder in self.survey()
                if not head or ends_with(parts, head)
                for other in folder.others
                if other.casefold() == name.casefold()
            ]
            fits = [path for path in fits if not first_line or _has_line(path, first_line)]
            different = [path for path in fits[1:] if not filecmp.cmp(fits[0], path, shallow=False)]
            if different:
                listed = _some([fits[0], *different])
                raise InputError(
                    f"{self.root}: several files '{name}' differ: {listed}; give the folder of one of them with --root"
                )
            if fits:
                return fits[0]
        return None

    def folder(self, places: Sequence[str]) -> Path | None:
        """The folder at one of ``places``, relative paths; None if there is none.

        Raises:
            InputError: several folders fit.
        """
        for place in places:
            for base in self.bases:
                if (base / place).is_dir():
                    return base / place
        for place in places:
            fits = {
                os.path.realpath(folder.path): folder.path for parts, folder in self.survey() if ends_with(parts, place)
            }
            if len(fits) > 1:
                raise InputError(
                    f"{self.root}: there are several folders '{place}': {_some(fits.values())}; "
                    "give the folder of one of them with --root"
                )
            if fits:
                return Path(*fits.values())
        return None

    def audio(
        self,
        stem_of: Mapping[str, str],
        places: Sequence[str],
        extension: str,
        labels: Path | None = None,
    ) -> Audio:
        """The audio files of a set.

        Args:
            stem_of: utterance -> name of its file without extension; below folders, with these: ``a00/id1/x``.
            places: where they may lie, relative paths, the official one first.
            extension: of the release.
            labels: the label file of the set: places beside it come first.

        Raises:
            InputError: several places have the files.
        """
        extensions = _order(extension)
        deep = any("/" in stem for stem in stem_of.values())
        beside = [parent for parent in labels.parents if self.root in (parent, *parent.parents)] if labels else []
        for rank, place in enumerate(places):
            for base in dict.fromkeys([*beside[:3], *self.bases]):
                if not (base / place).is_dir():
                    continue
                for source in self._sources(base / place, rank, deep, extensions):
                    if source.extension.lower() in extensions and _has_all(source, stem_of):
                        return Audio([source])
        return self._search(stem_of, places, extensions, deep)

    def audio_in(self, stem_of: Mapping[str, str], folder: Path, extension: str) -> Audio:
        """The audio files of a set in one folder and nowhere else."""
        deep = any("/" in stem for stem in stem_of.values())
        extensions = _order(extension)
        best: Source | None = None
        hits = self._sources(folder, 0, deep, extensions)
        for source in hits:
            if source.extension.lower() in extensions and _has_all(source, stem_of):
                return Audio([source])
        stems = set(stem_of.values())
        for source in hits:
            source.count = len(stems & source.stems)
            if source.extension.lower() in extensions and source.count > (best.count if best else 0):
                best = source
        rest = [source for source in hits if source.count and source is not best]
        return self._result(stem_of, [best] if best else [], rest, [folder])

    def _sources(
        self, path: str | os.PathLike[str], rank: int, deep: bool, extensions: Sequence[str] = LOSSLESS
    ) -> list[Source]:
        """The audio of one folder, by extension in the order of preference."""
        folder = self.tree.deep(path) if deep else self.tree.folder(path)
        order = {extension: number for number, extension in enumerate(extensions)}
        spelt = sorted(folder.audio, key=lambda extension: (order.get(extension.lower(), len(order)), extension))
        return [Source(folder.path, extension, folder.audio[extension], rank) for extension in spelt]

    def _search(
        self, stem_of: Mapping[str, str], places: Sequence[str], extensions: Sequence[str], deep: bool
    ) -> Audio:
        """The files wherever they are below the root."""
        stems = set(stem_of.values())
        hits = self._hits(stems, places, deep)
        usable = [source for source in hits if source.extension.lower() in extensions]
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
                if _overlap(chosen, stems):  # copies, none of them whole
                    chosen = []
                else:
                    chosen += self._further(chosen, usable, places, stems)
        rejected = [source for source in hits if source not in chosen]
        looked = [base / place for place in places for base in self.bases if (base / place).is_dir()]
        return self._result(stem_of, chosen, rejected, [*looked, *(Path(source.folder) for source in chosen)])

    def _hits(self, stems: set[str], places: Sequence[str], deep: bool) -> list[Source]:
        """All places with any of the files; each folder once, however many links lead to it."""
        tops = {stem.partition("/")[0] for stem in stems} if deep else set()
        hits: dict[tuple[str, str], Source] = {}
        for parts, folder in self.survey():
            if deep and tops.isdisjoint(folder.folders):
                continue
            rank = next((rank for rank, place in enumerate(places) if ends_with(parts, place)), len(places))
            if rank == len(places) and any(ends_with(parts, place) for place in self.official):
                continue  # the place of another set, which may share recordings with this one
            for source in self._sources(folder.path, rank, deep):
                source.official = rank < len(places)
                source.count = len(stems & source.stems)
                key = os.path.realpath(source.folder), source.extension
                if source.count and (key not in hits or source.rank < hits[key].rank):
                    hits[key] = source
        return list(hits.values())

    @staticmethod
    def _further(chosen: list[Source], usable: list[Source], places: Sequence[str], stems: set[str]) -> list[Source]:
        """Folders such as ``train-1`` that hold what ``train`` lacks, and nothing that ``train`` has."""
        have = set().union(*(source.stems for source in chosen)) & stems
        kind = chosen[0].extension.lower()
        names = tuple(place.casefold().rpartition("/")[2] for place in places)
        further = [
            source
            for source in usable
            if source not in chosen
            and source.extension.lower() == kind
            and os.path.basename(source.folder).casefold().startswith(names)
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
            names = (self.tree.deep(path) if deep else self.tree.folder(path)).broken
            broken |= gone & {name.rpartition(".")[0] for name in names}
        return Audio(chosen, missing, rejected, len(broken))

    def _refuse(self, sources: Sequence[Source]) -> None:
        listed = "; ".join(map(str, sources[:SHOWN])) + (" and more" if len(sources) > SHOWN else "")
        raise InputError(
            f"{self.root}: the same audio files are in several folders: {listed}; "
            "give the folder of one of them with --root, or move the others away"
        )


def _parents(paths: Mapping[str, Path | None]) -> set[Path]:
    return {Path(os.path.abspath(path.parent)) for path in paths.values() if path is not None}


def _order(extension: str) -> tuple[str, ...]:
    """The extensions that files may have, that of the release first."""
    return tuple(dict.fromkeys((extension, *LOSSLESS)))


def _has_all(source: Source, stem_of: Mapping[str, str]) -> bool:
    stems = source.stems
    if len(stems) >= len(stem_of) and all(stem in stems for stem in stem_of.values()):
        source.count = len(stem_of)
        return True
    return False


def _overlap(sources: Sequence[Source], stems: set[str]) -> bool:
    """Whether any of the files is in two of the places."""
    return sum(source.count for source in sources) > len(set().union(*(source.stems for source in sources)) & stems)


def _has_line(path: Path, pattern: str) -> bool:
    """Whether the first or the second line of a file matches."""
    with open(path, "rb") as file:
        lines = file.read(4096).decode("utf-8-sig", "replace").splitlines()[:2]
    return any(re.match(pattern, line) for line in lines)


def _some(paths: Iterable[str | Path]) -> str:
    listed = list(map(str, paths))
    return ", ".join(listed[:SHOWN]) + (f" and {len(listed) - SHOWN} more" if len(listed) > SHOWN else "")
