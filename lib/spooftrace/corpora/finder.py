"""Locate the files of a corpus: label files by name, audio by the utterances in the label files.

Copies of a corpus differ: unpacked one level deeper, split or merged, FLAC converted to WAV, label files moved. A
corpus module describes the official tree by relative paths in order of preference. A file at one of them is used
without a search. Otherwise the folders up to ``folder_tree.DEPTH`` levels below the root are searched for paths that
end in them, in any letter case, and finally for folders of any name that hold the audio files. There must be exactly
one match: several are listed and refused, because a second copy may have been altered.
"""

from __future__ import annotations

import filecmp
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from spooftrace.common.english import first_of
from spooftrace.common.errors import InputError
from spooftrace.corpora.folder_tree import Folder, PathParts, Tree, ends_with
from spooftrace.corpora.separators import with_commas

SHOWN = 5  # places, files or folder entries listed in a message


class MissingFiles(InputError):
    """Files of a corpus are missing; ``--allow-partial`` prepares the rest without them."""


class Finder:
    """Searches the folders below one root.

    Args:
        root: Folder of the corpus.
        inner: Names of the folder that holds the corpus in the official tree; the root is that folder or its parent.
        tree: Further folders of the official tree; the root may be one of them.
    """

    def __init__(self, root: Path, inner: Sequence[str] = (), tree: Sequence[str] = ()) -> None:
        self.root, self.inner, self.official = root, inner, tree
        self.tree = Tree()
        self._surveys: dict[Path, list[tuple[PathParts, Folder]]] = {}

    @property
    def bases(self) -> list[Path]:
        """Folders that official paths are relative to."""
        return [*(self.root / folder for folder in self.inner if (self.root / folder).is_dir()), self.root]

    def survey(self) -> list[tuple[PathParts, Folder]]:
        """All folders to search; they are listed only once."""
        if self.root not in self._surveys:
            self._surveys[self.root] = list(self.tree.survey(self.root))
        return self._surveys[self.root]

    def climb(self) -> None:
        """Replace the root by its parent."""
        self.root = self.root.absolute().parent

    def all_labels(
        self, places: Mapping[str, Sequence[str]], first_line: str | Mapping[str, str] = ""
    ) -> dict[str, Path | None]:
        """Locate the label file of each set (see ``labels``).

        The root is too low if no set has a label file, or if the root itself is the folder of the label files in the
        official tree. Then the search continues from its parent.

        Args:
            places: Set -> possible relative paths of its label file.
            first_line: See ``labels``; one pattern for all sets, or one per set.
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
        """Locate a label file at one of several relative paths, or by name elsewhere; None if there is none.

        Args:
            places: Relative paths, the official one first.
            first_line: Regular expression for the first or second line (below a header) of files at other places.
            by_name: Whether a file of the right name may be in any folder.

        Raises:
            InputError: Several files fit, and they differ.
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
        """Whether one of the searched folders has one of these names."""
        return any(ends_with(parts, name) for parts, _ in self.survey() for name in names)

    def folder(self, places: Sequence[str]) -> Path | None:
        """Locate a folder at one of several relative paths; None if there is none.

        Raises:
            InputError: Several folders fit.
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
    """Whether the first or second line of a file matches, as it is or with another column separator."""
    with open(path, "rb") as file:
        lines = file.read(4096).decode("utf-8-sig", "replace").splitlines()[:2]
    readings = [reading for line in lines for reading in (with_commas(line), with_commas(line).replace(",", " "))]
    return any(re.match(pattern, line) for line in lines) or any(
        re.match(pattern, reading, re.IGNORECASE) for reading in readings
    )
