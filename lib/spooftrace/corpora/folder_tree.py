"""List the folders of a corpus: each folder once, without following circular links.

Audio files are grouped by extension and stem (the name without the extension), because a converted copy of a corpus has
other extensions. Only readable files count, not dangling links or folders and pipes named like audio files. Hidden
files (``._x.wav``, ``.DS_Store``) and ``Thumbs.db`` are skipped.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from spooftrace.common.audio_suffixes import AUDIO
from spooftrace.common.errors import InputError

SKIPPED = frozenset({"Thumbs.db", "desktop.ini", "__MACOSX", "lost+found", "@eaDir"})
DEPTH = 6  # levels searched below the root: up to three above the official tree, and those of the tree
FULL = 1000  # a folder with more audio files or subfolders holds data; nothing below it is searched
MOST = 200_000  # folders; with more, the root is not a corpus

PathParts = tuple[str, ...]  # names of the folders from a root down to a folder


@dataclass
class Folder:
    """Content of one folder.

    Attributes:
        path: Path by which it was reached from the root.
        folders: Names of its subfolders, sorted.
        links: Names of the subfolders that are symbolic links.
        audio: Extension, as spelt -> stems of the audio files.
        others: Names of its other files.
        broken: Names of unreadable audio files: dangling links, folders, pipes.
    """

    path: str
    folders: list[str] = field(default_factory=list)
    links: set[str] = field(default_factory=set)
    audio: dict[str, set[str]] = field(default_factory=dict)
    others: list[str] = field(default_factory=list)
    broken: set[str] = field(default_factory=set)

    @property
    def is_full(self) -> bool:
        """Whether the folder holds data rather than structure."""
        return len(self.folders) > FULL or sum(map(len, self.audio.values())) > FULL


class Tree:
    """The folders below a root, each listed at its first use."""

    def __init__(self) -> None:
        self._folders: dict[str, Folder] = {}
        self._deep: dict[str, Folder] = {}

    def folder(self, path: str | os.PathLike[str]) -> Folder:
        """The content of one folder.

        Raises:
            InputError: The folder cannot be read.
        """
        key = os.fspath(path)
        if key not in self._folders:
            self._folders[key] = _list(key)
        return self._folders[key]

    def deep(self, path: str | os.PathLike[str]) -> Folder:
        """The content of a folder and all folders below it, with relative names such as ``a00/id1/x``."""
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

    def survey(self, root: str | os.PathLike[str]) -> Iterator[tuple[PathParts, Folder]]:
        """Yield the folders up to ``DEPTH`` levels below a root, upper levels first, each with its path parts.

        Folders below a full folder are left out.

        Raises:
            InputError: The root cannot be read, or there are too many folders.
        """
        return self._below(os.fspath(root), DEPTH)

    def _below(self, root: str, depth: int | None) -> Iterator[tuple[PathParts, Folder]]:
        # ``trail`` holds the real paths of the folders of the links that led to a folder. A link to one of these, or
        # to a folder above one of these, is circular.
        level: list[tuple[str, PathParts, tuple[str, ...]]] = [(root, (), ())]
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
                    continue  # it may not belong to the corpus; files that are needed from it are reported as missing
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
    latest, add, cut = "", None, 0  # extension of the last audio file, method that adds its stem, where it is cut
    try:
        with os.scandir(path) as entries:
            for entry in entries:
                name = entry.name
                # Fast path: a folder may hold a million files of one extension.
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
    """Add an entry to a folder; return its extension if it is an audio file, else an empty string."""
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
    """Whether an entry is a file; only links need a system call."""
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
    """Whether path parts end in a place such as ``ASVspoof2019_LA_train/flac``, in any letter case."""
    wanted = tuple(part for part in place.casefold().split("/") if part not in ("", "."))
    return bool(wanted) and tuple(part.casefold() for part in parts[-len(wanted) :]) == wanted
