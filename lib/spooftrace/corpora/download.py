"""Stage 0: print where a corpus comes from; with ``--to`` download, verify and unpack it.

Each finished step is recorded in ``DIR/.spooftrace/CORPUS``. Running the same command again does the remaining steps: a
file that lies in ``DIR`` under its name is verified and used, wherever it came from; a ``.part`` file is resumed; an
archive may be deleted once it is unpacked. The command never deletes files of the user.
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
from spooftrace.corpora.archive_volumes import group_volumes
from spooftrace.corpora.fetch import Client, Unreachable, page, wrong_with
from spooftrace.corpora.source_types import Bundle, CorpusSource, File
from spooftrace.corpora.sources_codec import SOURCES as CODEC
from spooftrace.corpora.sources_detection import SOURCES as DETECTION
from spooftrace.corpora.unpack import require_space, unpack

SOURCES = DETECTION | CODEC
ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.xz", ".tar.bz2")


def select_bundles(name: str, source: CorpusSource, wanted: Sequence[str]) -> list[Bundle]:
    """Return the bundles of a corpus that ``wanted`` names; all of them if it is empty.

    Raises:
        InputError: The corpus has no bundle of such a name.
    """
    known = [bundle.name for bundle in source.bundles]
    for word in wanted:
        if word not in known:
            raise InputError(f"--part {word}: {name} has no such part; it has {', '.join(known) or 'none'}")
    return [bundle for bundle in source.bundles if not wanted or bundle.name in wanted]


def describe(name: str, source: CorpusSource, bundles: Sequence[Bundle]) -> Iterator[str]:
    """Yield the lines that describe the sources of a corpus."""
    yield f"{source.title}"
    yield f"  page     {source.page}"
    yield f"  licence  {source.licence}"
    yield f"  allows   {source.permits}"
    if source.by_hand:
        yield f"  by hand  {source.by_hand}"
    for bundle in bundles:
        size = f", about {bundle.gigabytes:g} GB" if bundle.gigabytes else ""
        yield f"\n--part {bundle.name}: {bundle.content}{size}"
        for file in bundle.files:
            size = f"{file.size:,} bytes" if file.size else "size: in the record"
            yield f"  {file.name}  {size}  {file.checksum or 'checksum: in the record'}"
            yield f"    from {file.url or page(file.record)}"
    if bundles:
        sizes = [bundle.gigabytes or sum(file.size or 0 for file in bundle.files) / 1e9 for bundle in bundles]
        total = f"{'' if all(sizes) else 'more than '}{sum(sizes):,.1f} GB" if any(sizes) else "see the records"
        yield f"\ndisk: {total} for the archives, and at least as much again unpacked"
    yield f"\n'spooftrace prepare {name} --root DIR' expects in DIR"
    yield from (f"  {line}" for line in source.tree.splitlines())
    yield from (f"\nnote: {note}" for note in source.notes)
    if bundles:
        yield f"\nget it: spooftrace download {name} --to DIR"


def download(name: str, bundles: Sequence[Bundle], to: Path, client: Client | None = None) -> None:
    """Download and unpack bundles of a corpus.

    Args:
        name: The corpus; names the folder of the records.
        bundles: What to download.
        to: Target folder.
        client: HTTP client; a new one by default.

    Raises:
        InputError: There is no network, a file differs from the published one, an archive is damaged, or the disk is
            full.
    """
    if to.exists() and not to.is_dir():
        raise InputError(f"--to {to}: is a file, not a folder")
    records = to / ".spooftrace" / name
    with hold(records / "lock", f"downloading {name} to {to}"):
        for bundle in bundles:
            _BundleDownload(bundle, to, records, client or Client()).run()


class _BundleDownload:
    """The download of one bundle."""

    def __init__(self, bundle: Bundle, to: Path, records: Path, client: Client) -> None:
        self.bundle, self.to, self.records, self.client = bundle, to, records, client

    def run(self) -> None:
        """Download, verify and unpack the files that are not finished."""
        files = {file.name: file for file in self._files()}
        left = {archive: names for archive, names in group_volumes(list(files)).items() if not self._is_done(archive)}
        # Local files first: without a network they are still verified and unpacked.
        local = [archive for archive, names in left.items() if all((self.to / name).exists() for name in names)]
        for archive in local:
            self._finish(archive, [files[name] for name in left.pop(archive)])
        absent = [name for names in left.values() for name in names if not (self.to / name).exists()]
        for name in absent:
            files[name] = self._published(files[name])
        parts = (self.to / f"{name}.part" for name in absent)
        present = sum(path.stat().st_size for path in parts if path.exists())
        require_space(
            self.to, sum(files[name].size or 0 for name in absent) - present, f"to download {self.bundle.name}"
        )
        for archive, names in left.items():
            self._finish(archive, [files[name] for name in names])

    def _finish(self, archive: str, files: Sequence[File]) -> None:
        for file in files:
            self._get(file)
        if len(files) > 1 or archive.lower().endswith(ARCHIVES):
            self._unpack(archive, [file.name for file in files])

    def _files(self) -> list[File]:
        """The files of the bundle, with patterns replaced by the names in the record, which is read only once."""
        known = self._recorded(f"{self.bundle.name}.files")
        if known:
            return [File(**entry) for entry in known]
        files: list[File] = []
        for file in self.bundle.files:
            if "*" not in file.name:
                files.append(file)
                continue
            try:
                offered = self.client.listing(file.record)
            except Unreachable as error:
                raise InputError(
                    f"{error}; without it the names of the files are not known: get all files of {page(file.record)} "
                    f"by hand and unpack them into {self.to / self.bundle.folder}"
                ) from None
            files += [listed for listed in offered if fnmatchcase(listed.name, file.name)]
        for file in files:
            if Path(file.name).name != file.name or file.name.startswith("."):
                raise InputError(f"{page(file.record)}: has a file named '{file.name}'; get it by hand")
        if files != list(self.bundle.files):
            self._record(f"{self.bundle.name}.files", [asdict(file) for file in files])
        return files

    def _published(self, file: File) -> File:
        """Complete a file with the address, size and checksum of its record."""
        if not file.record or (file.url and file.size):
            return file
        try:
            offered = {listed.name: listed for listed in self.client.listing(file.record)}
        except Unreachable as error:
            raise InputError(
                f"{error}; get {file.name} from {page(file.record)} by hand, put it into {self.to} and run again"
            ) from None
        if file.name not in offered:
            raise InputError(f"{page(file.record)}: has no file {file.name} any more; it has {', '.join(offered)}")
        listed = offered[file.name]
        for known, now in ((file.size, listed.size), (file.checksum, listed.checksum)):
            if known and now and known != now:
                raise InputError(f"{page(file.record)}: {file.name} is another file than it was: {now}, not {known}")
        return replace(listed, checksum=file.checksum or listed.checksum)

    def _get(self, file: File) -> None:
        target = self.to / file.name
        if not target.exists():
            try:
                self.client.download(file, target)
            except Unreachable as error:
                raise InputError(
                    f"{error}; get {file.url} by hand, put it into {self.to} as {file.name} and run again"
                ) from None
        elif self._recorded(file.name) == _stamp(target):
            return
        else:
            file = self._as_known(file)
            wrong = wrong_with(target, file)
            if wrong:
                raise InputError(f"{target}: {wrong}; not whole or not this file, move it away and run again")
        self._record(file.name, _stamp(target))
        print(f"{target}: {'verified' if file.checksum else 'there is no published checksum to verify it by'}")

    def _as_known(self, file: File) -> File:
        """Complete a local file with its checksum if the record can be reached."""
        if file.checksum:
            return file
        try:
            return self._published(file)
        except InputError as error:
            if isinstance(error.__context__, Unreachable):
                return file
            raise

    def _unpack(self, archive: str, names: Sequence[str]) -> None:
        folder = self.to / self.bundle.folder
        begun = self._recorded(f"{archive}.unpacking") is not None
        self._record(f"{archive}.unpacking", True)
        # After an interruption part of the archive is unpacked already: the full size would overstate the need.
        tops = unpack([self.to / name for name in names], folder, check_space=not begun)
        os.sync()  # once for all members: after a power cut the record must not exist without the files
        self._record(f"{archive}.unpacked", tops)
        print(f"{folder}: {archive} unpacked ({', '.join(tops[:5])}{', ...' if len(tops) > 5 else ''})")

    def _is_done(self, archive: str) -> bool:
        tops = self._recorded(f"{archive}.unpacked")
        return tops is not None and all(os.path.lexists(self.to / self.bundle.folder / top) for top in tops)

    def _recorded(self, name: str) -> Any:
        try:
            return json.loads((self.records / f"{name}.json").read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return None

    def _record(self, name: str, value: Any) -> None:
        write_json(self.records / f"{name}.json", value)


def _stamp(path: Path) -> list[int]:
    """Size and modification time, to detect changes."""
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]
