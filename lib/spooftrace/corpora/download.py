"""Stage 0: what a corpus consists of and where it is, and with ``--to`` its files, verified and unpacked.

Every step that is done is noted in ``DIR/.spooftrace/CORPUS``. Running the same command again does what is missing:
a file that lies in ``DIR`` under its name is verified and used wherever it came from, a ``.part`` is gone on with, and
an archive that is unpacked may be deleted. Nothing that the user put there is ever deleted.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from spooftrace.common.errors import InputError
from spooftrace.common.json_files import write_json
from spooftrace.common.lock import hold
from spooftrace.corpora.fetch import Client, Unreachable, page, wrong_with
from spooftrace.corpora.sources import CORPORA as DETECTION
from spooftrace.corpora.sources import Corpus, File, Part
from spooftrace.corpora.sources_codec import CORPORA as CODEC
from spooftrace.corpora.unpack import require_space, unpack
from spooftrace.corpora.volumes import together

CORPORA = DETECTION | CODEC
ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.xz", ".tar.bz2")


def choose_parts(name: str, corpus: Corpus, wanted: Sequence[str]) -> list[Part]:
    """Return the parts of a corpus that ``wanted`` names; all of them if it is empty.

    Raises:
        InputError: The corpus has no part of such a name.
    """
    known = [part.name for part in corpus.parts]
    for word in wanted:
        if word not in known:
            raise InputError(f"--part {word}: {name} has no such part; it has {', '.join(known) or 'none'}")
    return [part for part in corpus.parts if not wanted or part.name in wanted]


def describe(name: str, corpus: Corpus, parts: Sequence[Part]) -> Iterator[str]:
    """What to get from where, in lines."""
    yield f"{corpus.title}"
    yield f"  page     {corpus.page}"
    yield f"  licence  {corpus.licence}"
    yield f"  allows   {corpus.allows}"
    if corpus.by_hand:
        yield f"  by hand  {corpus.by_hand}"
    for part in parts:
        about = f", about {part.gigabytes:g} GB" if part.gigabytes else ""
        yield f"\n--part {part.name}: {part.what}{about}"
        for file in part.files:
            size = f"{file.size:,} bytes" if file.size else "size: in the record"
            yield f"  {file.name}  {size}  {file.checksum or 'checksum: in the record'}"
            yield f"    from {file.url or page(file.record)}"
    if parts:
        sizes = [part.gigabytes or sum(file.size or 0 for file in part.files) / 1e9 for part in parts]
        total = f"{'' if all(sizes) else 'more than '}{sum(sizes):,.1f} GB" if any(sizes) else "see the records"
        yield f"\ndisk: {total} for the archives, and at least as much again unpacked"
    yield f"\n'spooftrace prepare {name} --root DIR' expects in DIR"
    yield from (f"  {line}" for line in corpus.tree.splitlines())
    yield from (f"\nnote: {note}" for note in corpus.notes)
    if parts:
        yield f"\nget it: spooftrace download {name} --to DIR"


def download(name: str, parts: Sequence[Part], to: Path, client: Client | None = None) -> None:
    """Bring parts of a corpus into a folder, unpacked.

    Args:
        name: of the corpus, for the notes of what is done.
        parts: what to get.
        to: the folder.
        client: HTTP client; a new one by default.

    Raises:
        InputError: no network, a file that is not as published, a damaged archive, no room on the disk.
    """
    if to.exists() and not to.is_dir():
        raise InputError(f"--to {to}: is a file, not a folder")
    notes = to / ".spooftrace" / name
    with hold(notes / "lock", f"downloading {name} to {to}"):
        for part in parts:
            _Getting(part, to, notes, client or Client()).run()


class _Getting:
    """One part on its way to the disk."""

    def __init__(self, part: Part, to: Path, notes: Path, client: Client) -> None:
        self.part, self.to, self.notes, self.client = part, to, notes, client

    def run(self) -> None:
        """Get, verify and unpack what is not yet."""
        files = {file.name: file for file in self._files()}
        left = {archive: names for archive, names in together(list(files)).items() if not self._is_done(archive)}
        # First what lies here, so that without a network nothing waits for a file that cannot be had.
        here = [archive for archive, names in left.items() if all((self.to / name).exists() for name in names)]
        for archive in here:
            self._finish(archive, [files[name] for name in left.pop(archive)])
        absent = [name for names in left.values() for name in names if not (self.to / name).exists()]
        for name in absent:
            files[name] = self._published(files[name])
        parts = (self.to / f"{name}.part" for name in absent)
        have = sum(path.stat().st_size for path in parts if path.exists())
        require_space(self.to, sum(files[name].size or 0 for name in absent) - have, f"to download {self.part.name}")
        for archive, names in left.items():
            self._finish(archive, [files[name] for name in names])

    def _finish(self, archive: str, files: Sequence[File]) -> None:
        for file in files:
            self._get(file)
        if len(files) > 1 or archive.lower().endswith(ARCHIVES):
            self._unpack(archive, [file.name for file in files])

    def _files(self) -> list[File]:
        """The files of the part, patterns replaced by what the record has; that is asked for only once."""
        known = self._noted(f"{self.part.name}.files")
        if known:
            return [File(**entry) for entry in known]
        files: list[File] = []
        for file in self.part.files:
            if "*" not in file.name:
                files.append(file)
                continue
            try:
                offered = self.client.listing(file.record)
            except Unreachable as error:
                raise InputError(
                    f"{error}; without it the names of the files are not known: get all files of {page(file.record)} "
                    f"by hand and unpack them into {self.to / self.part.into}"
                ) from None
            files += [found for found in offered if fnmatchcase(found.name, file.name)]
        for file in files:
            if Path(file.name).name != file.name or file.name.startswith("."):
                raise InputError(f"{page(file.record)}: has a file named '{file.name}'; get it by hand")
        if files != list(self.part.files):
            self._note(f"{self.part.name}.files", [asdict(file) for file in files])
        return files

    def _published(self, file: File) -> File:
        """A file with all that its record says about it."""
        if not file.record or (file.url and file.size):
            return file
        try:
            offered = {found.name: found for found in self.client.listing(file.record)}
        except Unreachable as error:
            raise InputError(
                f"{error}; get {file.name} from {page(file.record)} by hand, put it into {self.to} and run again"
            ) from None
        if file.name not in offered:
            raise InputError(f"{page(file.record)}: has no file {file.name} any more; it has {', '.join(offered)}")
        found = offered[file.name]
        for known, now in ((file.size, found.size), (file.checksum, found.checksum)):
            if known and now and known != now:
                raise InputError(f"{page(file.record)}: {file.name} is another file than it was: {now}, not {known}")
        return replace(found, checksum=file.checksum or found.checksum)

    def _get(self, file: File) -> None:
        target = self.to / file.name
        if not target.exists():
            try:
                self.client.download(file, target)
            except Unreachable as error:
                raise InputError(
                    f"{error}; get {file.url} by hand, put it into {self.to} as {file.name} and run again"
                ) from None
        elif self._noted(file.name) == _stamp(target):
            return
        else:
            file = self._as_known(file)
            wrong = wrong_with(target, file)
            if wrong:
                raise InputError(f"{target}: {wrong}; not whole or not this file, move it away and run again")
        self._note(file.name, _stamp(target))
        print(f"{target}: {'verified' if file.checksum else 'there is no published checksum to verify it by'}")

    def _as_known(self, file: File) -> File:
        """A file that lies here already, with a checksum if that can be had."""
        if file.checksum:
            return file
        try:
            return self._published(file)
        except InputError as error:
            if isinstance(error.__context__, Unreachable):
                return file
            raise

    def _unpack(self, archive: str, names: Sequence[str]) -> None:
        folder = self.to / self.part.into
        begun = self._noted(f"{archive}.unpacking") is not None
        self._note(f"{archive}.unpacking", True)
        # Half of a large archive may be there already; then its full size says nothing about the room it needs.
        tops = unpack([self.to / name for name in names], folder, check_space=not begun)
        os.sync()  # once for all members, so that the note cannot outlive them in a power cut
        self._note(f"{archive}.unpacked", tops)
        print(f"{folder}: {archive} unpacked ({', '.join(tops[:5])}{', ...' if len(tops) > 5 else ''})")

    def _is_done(self, archive: str) -> bool:
        tops = self._noted(f"{archive}.unpacked")
        return tops is not None and all(os.path.lexists(self.to / self.part.into / top) for top in tops)

    def _noted(self, name: str) -> Any:
        try:
            return json.loads((self.notes / f"{name}.json").read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return None

    def _note(self, name: str, value: Any) -> None:
        write_json(self.notes / f"{name}.json", value)


def _stamp(path: Path) -> list[int]:
    """What changes when a file is changed."""
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]
