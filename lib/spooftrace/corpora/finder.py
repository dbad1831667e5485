"""Where the files of a corpus lie: label files by their names, audio by the files that the labels name.

Copies of a corpus differ: unpacked one level deeper, in parts or merged, FLAC converted to WAV, label files moved.
A corpus module describes the official tree by relative paths, in order of preference. What lies at one of them is taken
without a search. Otherwise the folders up to ``tree.DEPTH`` levels below the root are searched for paths that end in
them, in any letter case, and in the end for folders of any name that hold the audio files. Exactly one place must
answer; several are listed and refused, because a second copy may have been altered.
"""

from __future__ import annotations

import filecmp
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from spooftrace.common.english import first_of
from spooftrace.common.errors import InputError
from spooftrace.corpora.separators import with_commas
from spooftrace.corpora.tree import Folder, Parts, Tree, ends_with

SHOWN = 5  # places, files or entries of a folder that a message names


class MissingPart(InputError):
    """A part of a corpus is not there; with ``--allow-partial`` the others are prepared without it."""


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
        self.root = self.root.absolute().parent

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
            path = self.root.absolute()
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
                listed = first_of(map(str, [fits[0], *different]), SHOWN)
                raise InputError(
                    f"{self.root}: several files '{name}' differ: {listed}; give the folder of one of them with --root"
                )
            if fits:
                return fits[0]
        return None

    def has_folder(self, *names: str) -> bool:
        """Whether a folder of one of the names is among those that are searched."""
        return any(ends_with(parts, name) for parts, _ in self.survey() for name in names)

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
                    f"{self.root}: there are several folders '{place}': {first_of(fits.values(), SHOWN)}; "
                    "give the folder of one of them with --root"
                )
            if fits:
                return Path(*fits.values())
        return None


def _parents(paths: Mapping[str, Path | None]) -> set[Path]:
    return {path.parent.absolute() for path in paths.values() if path is not None}


def _has_line(path: Path, pattern: str) -> bool:
    """Whether the first or the second line of a file matches, with any separator of columns in place of commas."""
    with open(path, "rb") as file:
        lines = file.read(4096).decode("utf-8-sig", "replace").splitlines()[:2]
    return any(re.match(pattern, line) or re.match(pattern, with_commas(line), re.IGNORECASE) for line in lines)
