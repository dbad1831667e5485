"""Where the audio of a set is taken from: folders, and the files that are missing from all of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from spooftrace.corpora.spelling import Spelling, respell


@dataclass(eq=False)
class Source:
    """Audio files of one extension in one folder.

    Attributes:
        folder: where they lie.
        extension: as spelt.
        stems: the stems of all audio files with it, those that no label names included; spelt as labels spell them.
        rank: number of the official place that the folder is, in order of preference; that of others is higher.
        count: how many of the files that were looked for are in it.
        official: whether the folder is one of the official places.
        spelling: how files are spelt whose names differ from those in the labels.
    """

    folder: str
    extension: str
    stems: set[str]
    rank: int
    count: int = 0
    official: bool = True
    spelling: Spelling = field(default_factory=Spelling)

    def path(self, stem: str) -> str:
        """The file of a stem."""
        return f"{self.folder}/{self.spelling.files.get(stem, stem)}{self.extension}"

    def differences(self, suffix: str) -> str:
        """The extension, and how names differ from the release, whose extension is ``suffix``."""
        words = [self.extension if self.extension.lower() == suffix else f"{self.extension}, release: {suffix}"]
        if self.spelling.files:
            stem, file = min(self.spelling.files.items())
            words.append(f"{len(self.spelling.files):,} names spelt unlike the label file: {file} for {stem}")
        return "; ".join(words)

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
        ambiguous: files that could be several of the missing ones, in words.
    """

    sources: list[Source] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    rejected: list[Source] = field(default_factory=list)
    broken: int = 0
    ambiguous: list[str] = field(default_factory=list)

    def paths(self, stem_of: Mapping[str, str]) -> dict[str, str]:
        """Utterance -> file, for those that are not missing."""
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
        """Files beside those of the set in its official folder; one that was searched for may hold other sets as well.

        Args:
            stem_of: utterance -> stem of its file.
            others: files that belong to other sets.
        """
        if not all(source.official for source in self.sources):
            return []
        named = {other.rpartition(".")[0] for other in others}.union(stem_of.values())
        names: list[str] = []
        for source in self.sources:
            left = source.stems - named
            left.difference_update(respell(named, left).files.values() if source.spelling.files else ())
            names += [f"{stem}{source.extension}" for stem in left]
        return sorted(names)
