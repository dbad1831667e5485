"""What lies in the folders of a corpus: each folder is listed once, links that lead in a circle are not followed.

Audio files are kept by extension and by stem (the name without its extension), because a corpus that was converted has
other extensions than its release. A name counts only if a file can be read under it: links that lead nowhere and
folders or pipes named like audio do not. Hidden files (``._x.wav``, ``.DS_Store``) and ``Thumbs.db`` are passed over.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from spooftrace.common.audio_suffixes import AUDIO
from spooftrace.common.errors import InputError

SKIPPED = frozenset({"Thumbs.db", "desktop.ini", "__MACOSX", "lost+found", "@eaDir"})
DEPTH = 6  # levels below the root that are searched: three above the official tree, and those of the tree
FULL = 1000  # audio files, or folders, from which a folder is data of a corpus and nothing below it is searched
MOST = 200_000  # folders; more are not a corpus

Parts = tuple[str, ...]  # names of the folders between a root and a folder


@dataclass
class Folder:
    """One folder.

    Attributes:
        path: as it was reached from the root.
        folders: names of the folders in it, sorted.
        links: those of them that are symbolic links.
        audio: extension as spelt -> stems of the audio files with it.
        others: names of its other files.
        broken: names of audio files that cannot be read: links that lead nowhere, folders, pipes.
    """

    path: str
    folders: list[str] = field(default_factory=list)
    links: set[str] = field(default_factory=set)
    audio: dict[str, set[str]] = field(default_factory=dict)
    others: list[str] = field(default_factory=list)
    broken: set[str] = field(default_factory=set)

    @property
    def is_full(self) -> bool:
        """Whether it holds so many files or folders that these are data, not structure."""
        return len(self.folders) > FULL or sum(map(len, self.audio.values())) > FULL


class Tree:
    """The folders below a root, listed when they are first asked for."""

    def __init__(self) -> None:
        self._folders: dict[str, Folder] = {}
        self._deep: dict[str, Folder] = {}

    def folder(self, path: str | os.PathLike[str]) -> Folder:
        """The content of one folder.

        Raises:
            InputError: it cannot be read.
        """
        key = os.fspath(path)
        if key not in self._folders:
            self._folders[key] = _list(key)
        return self._folders[key]

    def deep(self, path: str | os.PathLike[str]) -> Folder:
        """The content of a folder and of all below it; stems and other names are relative, such as ``a00/id1/x``."""
        key = os.fspath(path)
        if key not in self._deep:
            top = Folder(key, folders=self.folder(key).folders)
            for parts, folder in self._below(key, None):
                prefix = "".join(f"{part}/" for part in parts)
                for extension, stems in folder.audio.items():
                    top.audio.setdefault(extension, set()).update(prefix + stem for stem in stems)
                top.others += [prefix + name for name in folder.others]
                top.broken.update(prefix + name for name in folder.broken)
            self._deep[key] = top
        return self._deep[key]

    def survey(self, root: str | os.PathLike[str]) -> Iterator[tuple[Parts, Folder]]:
        """The folders up to ``DEPTH`` levels below a root, with the names of those on the way to each.

        Upper levels come first, and nothing below a full folder is searched.

        Raises:
            InputError: the root cannot be read, or there are too many folders.
        """
        return self._below(os.fspath(root), DEPTH)

    def _below(self, root: str, depth: int | None) -> Iterator[tuple[Parts, Folder]]:
        # With each folder goes where the links on the way to it lay, as real paths: a link to a folder above one of
        # these, or above the folder itself, would lead in a circle.
        level: list[tuple[str, Parts, tuple[str, ...]]] = [(root, (), ())]
        count = 0
        while level:
            following = []
            for path, parts, trail in level:
                count += 1
                if count > MOST:
                    raise InputError(f"{root}: more than {MOST:,} folders; give the folder of the corpus itself")
                try:
                    folder = self.folder(path)
                except InputError:
                    if path == root:
                        raise
                    continue  # perhaps not part of the corpus; files needed from it are reported as missing
                yield parts, folder
                if depth is not None and (len(parts) >= depth or folder.is_full):
                    continue
                for name in folder.folders:
                    below, way = f"{path}/{name}", trail
                    if name in folder.links:
                        way = (*trail, os.path.realpath(path))
                        target = os.path.realpath(below)
                        if any(real == target or real.startswith(target.rstrip("/") + "/") for real in way):
                            continue
                    following.append((below, (*parts, name), way))
            level = following


def _list(path: str) -> Folder:
    folder = Folder(path)
    latest, add, cut = "", None, 0  # the extension of the latest audio file, and what takes the stems of its kind
    try:
        with os.scandir(path) as entries:
            for entry in entries:
                name = entry.name
                # The common case first: folders hold a million files of one extension.
                if add is not None and name.endswith(latest) and name[0] != "." and _is_file(entry):
                    add(name[:cut])
                    continue
                extension = _add(folder, entry)
                if extension:
                    latest, add, cut = extension, folder.audio[extension].add, -len(extension)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; give the folder of the corpus with --root") from None
    folder.folders.sort()
    folder.others.sort()
    return folder


def _add(folder: Folder, entry: os.DirEntry[str]) -> str:
    """Add one entry to a folder; returns the extension of an audio file, nothing for others."""
    name = entry.name
    if name[0] == "." or name in SKIPPED:
        return ""
    extension = name[name.rfind(".") :] if "." in name else ""
    is_audio = extension.lower() in AUDIO
    if _is_file(entry):
        if is_audio:
            folder.audio.setdefault(extension, set()).add(name[: -len(extension)])
            return extension
        folder.others.append(name)
    elif _is_folder(entry):
        folder.folders.append(name)
        if entry.is_symlink():
            folder.links.add(name)
    if is_audio:
        folder.broken.add(name)
    return ""


def _is_file(entry: os.DirEntry[str]) -> bool:
    """Whether a file can be read under the name; costs a look at the file only where it is a link."""
    try:
        return entry.is_file()
    except OSError:  # a link to itself
        return False


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def ends_with(parts: Sequence[str], place: str) -> bool:
    """Whether a folder's ``parts`` end in a place such as ``ASVspoof2019_LA_train/flac``, in any letter case."""
    wanted = tuple(part for part in place.casefold().split("/") if part not in ("", "."))
    return bool(wanted) and tuple(part.casefold() for part in parts[-len(wanted) :]) == wanted
