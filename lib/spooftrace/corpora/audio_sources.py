"""The audio files of a set: the folders that hold them, and the files that none of them holds."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from spooftrace.corpora.spelling import Spelling, respell


@dataclass(eq=False)
class Source:
    """Audio files of one extension in one folder.

    Attributes:
        folder: The folder.
        extension: Extension, as spelt.
        stems: Stems of all its audio files, including those without a label; spelt as in the labels.
        rank: Index of the folder among the official places, in order of preference; higher for other folders.
        count: Number of requested files in the folder.
        official: Whether the folder is one of the official places.
        spelling: Files whose names differ from the labels.
    """

    folder: str
    extension: str
    stems: set[str]
    rank: int
    count: int = 0
    official: bool = True
    spelling: Spelling = field(default_factory=Spelling)

    def path(self, stem: str) -> str:
        """Path of the file with a stem."""
        return f"{self.folder}/{self.spelling.files.get(stem, stem)}{self.extension}"

    def differences(self, suffix: str) -> str:
        """Describe the extension, and how it and the names differ from the official ones (``suffix``)."""
        words = [self.extension if self.extension.lower() == suffix else f"{self.extension}, officially {suffix}"]
        if self.spelling.files:
            stem, file = min(self.spelling.files.items())
            words.append(f"{len(self.spelling.files):,} names spelt differently from the label file: {file} for {stem}")
        return "; ".join(words)

    def __str__(self) -> str:
        return f"{self.folder} ({self.count:,} {self.extension})"


@dataclass
class Audio:
    """The audio of one set.

    Attributes:
        sources: Folders that its files are taken from.
        missing: Utterances without a file.
        rejected: Folders with some of the files that are not used.
        broken: Number of missing files that are dangling links, or no files.
        ambiguous: Descriptions of files that fit several missing ones.
    """

    sources: list[Source] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    rejected: list[Source] = field(default_factory=list)
    broken: int = 0
    ambiguous: list[str] = field(default_factory=list)

    def paths(self, stem_of: Mapping[str, str]) -> dict[str, str]:
        """Utterance -> file, for utterances that have one."""
        if len(self.sources) == 1 and not self.missing:
            (source,) = self.sources
            return {utt: source.path(stem) for utt, stem in stem_of.items()}
        paths = {}
        for utt, stem in stem_of.items():
            for source in self.sources:
                if stem in source.stems:
                    paths[utt] = source.path(stem)
                    break
        return paths

    def extra(self, stem_of: Mapping[str, str], others: Collection[str]) -> list[str]:
        """List the files in the official folder that do not belong to the set.

        The list is empty for folders at other places, which may hold several sets.

        Args:
            stem_of: Utterance -> stem of its file.
            others: Files that belong to other sets.
        """
        if not all(source.official for source in self.sources):
            return []
        named = {other.rpartition(".")[0] for other in others}.union(stem_of.values())
        names: list[str] = []
        for source in self.sources:
            unused = source.stems - named
            unused.difference_update(respell(named, unused).files.values() if source.spelling.files else ())
            names += [f"{stem}{source.extension}" for stem in unused]
        return sorted(names)
