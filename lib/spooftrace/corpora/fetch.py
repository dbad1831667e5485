"""Download files over HTTP with resume, retries and verification; list the files of Zenodo and Hugging Face records.

A file is written as ``NAME.part`` and renamed when its size and checksum are right.
"""

from __future__ import annotations

import errno
import hashlib
import http.client
import json
import os
import re
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from spooftrace import __version__
from spooftrace.common.atomic import fsync_folder
from spooftrace.common.errors import InputError
from spooftrace.common.progress import Progress
from spooftrace.corpora.source_types import File

BLOCK = 1 << 20
MEGABYTE = 1_000_000
NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}  # disk full, quota exceeded, file too large
RETRIED = {408, 425, 429, 500, 502, 503, 504}  # HTTP status of temporary problems
T = TypeVar("T")


class Unreachable(Exception):
    """A server cannot be reached; the message names it and the reason."""


class _Dropped(Exception):
    """The connection broke after a first answer; it is tried again."""


def checksum_of(path: Path, kind: str) -> str:
    """Checksum of a file as ``KIND:HEX``; ``kind`` is ``md5`` or ``sha256``."""
    digest = hashlib.new(kind, usedforsecurity=False)
    with open(path, "rb") as file, Progress(f"checking {path.name}, MB", path.stat().st_size // MEGABYTE) as progress:
        done = 0
        while block := file.read(BLOCK):
            digest.update(block)
            done += len(block)
            progress.advance(done // MEGABYTE - progress.done)
    return f"{kind}:{digest.hexdigest()}"


def wrong_with(path: Path, file: File) -> str:
    """Describe how a file on disk differs from the published one; empty if it does not."""
    size = path.stat().st_size
    if file.size is not None and size != file.size:
        return f"{size:,} bytes instead of {file.size:,}"
    if file.checksum:
        kind, expected = file.checksum.split(":")
        found = checksum_of(path, kind).split(":")[1]
        if found != expected:
            return f"{kind} {found} instead of {expected}"
    return ""


@dataclass
class Client:
    """A connection to the servers.

    Args:
        zenodo: Base address of Zenodo.
        huggingface: Base address of Hugging Face.
        timeout: Seconds without data after which a connection is given up.
        contact: Seconds within which a server must answer for the first time.
        waits: Seconds to wait before each retry; the count restarts whenever data arrived.
    """

    zenodo: str = "https://zenodo.org"
    huggingface: str = "https://huggingface.co"
    timeout: float = 60
    contact: float = 8
    waits: tuple[float, ...] = (1, 2, 4, 8, 16, 32)
    _met: set[str] = field(default_factory=set, repr=False)
    _listings: dict[str, list[File]] = field(default_factory=dict, repr=False)

    def listing(self, record: str) -> list[File]:
        """The files of a record, ``zenodo:NUMBER`` or ``huggingface:OWNER/DATASET``, with sizes and checksums.

        Raises:
            Unreachable: The server cannot be reached.
            InputError: The record does not exist or is not public.
        """
        if record not in self._listings:
            host, name = record.split(":", 1)
            read = {"zenodo": self._zenodo, "huggingface": self._huggingface}[host]
            try:
                self._listings[record] = [replace(file, record=record) for file in read(name)]
            except InputError:
                raise
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                raise InputError(
                    f"{page(record)}: its list of files has an unknown form ({error!r}); download the files by hand"
                ) from None
        return self._listings[record]

    def _zenodo(self, number: str) -> list[File]:
        answer = self._json(f"{self.zenodo}/api/records/{number}")
        return [
            File(item["key"], url=item["links"]["self"], size=item["size"], checksum=item["checksum"])
            for item in answer["files"]
        ]

    def _huggingface(self, dataset: str) -> list[File]:
        answer = self._json(f"{self.huggingface}/api/datasets/{dataset}/tree/main")
        files = [item for item in answer if item["type"] == "file"]
        return [
            File(
                item["path"],
                url=f"{self.huggingface}/datasets/{dataset}/resolve/main/{urllib.parse.quote(item['path'])}",
                size=item["size"],
                checksum=f"sha256:{item['lfs']['oid']}" if item.get("lfs") else None,  # small files have none
            )
            for item in files
        ]

    def _json(self, url: str) -> Any:
        def read() -> bytes:
            with self._open(url) as answer:
                return answer.read()

        return json.loads(self._with_retries(url, read, lambda: False) or b"")

    def download(self, file: File, target: Path) -> None:
        """Download a file and verify it; the ``.part`` file of an earlier run is resumed.

        Raises:
            Unreachable: The server cannot be reached.
            InputError: The server refuses, or two downloads in a row differ from the published file.
        """
        part = target.with_name(target.name + ".part")
        wrong = ""
        for _ in range(2):
            with Progress(f"downloading {target.name}, MB", (file.size or 0) // MEGABYTE) as progress:
                size = part.stat().st_size if part.exists() else 0
                if file.size is None or size != file.size:
                    before = [size]
                    resume = partial(self._resume, file, part, progress)
                    self._with_retries(file.url, resume, partial(_has_grown, part, before))
            wrong = wrong_with(part, file)
            if not wrong:
                os.replace(part, target)
                fsync_folder(target.parent)
                return
            part.unlink()
        raise InputError(f"{target.name}: downloaded twice, each time damaged ({wrong}); try later, or another network")

    def _resume(self, file: File, part: Path, progress: Progress) -> None:
        """Append the missing bytes to ``part`` over one connection."""
        have = part.stat().st_size if part.exists() else 0
        if file.size is not None and have > file.size:
            part.unlink()
            have = 0
        with self._open(file.url, {"Range": f"bytes={have}-"} if have else {}) as answer:
            if answer.status == 206:
                sent = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", answer.headers.get("Content-Range", ""))
                if not sent or int(sent[1]) != have:
                    raise _Dropped("the server sent another range than requested")
                total = int(sent[2])
            else:  # the server does not support ranges and sends the whole file
                have, total = 0, int(answer.headers.get("Content-Length") or file.size or 0)
            progress.total = total // MEGABYTE
            with open(part, "ab" if have else "wb") as out:
                while block := answer.read(BLOCK):
                    have += out.write(block)
                    progress.advance(max(0, have // MEGABYTE - progress.done))
                out.flush()
                os.fsync(out.fileno())
        if have < total:
            raise _Dropped(f"the connection broke after {have:,} of {total:,} bytes")

    def _with_retries(self, url: str, act: Callable[[], T], has_progressed: Callable[[], bool]) -> T | None:
        """Repeat an action until it succeeds, with increasing waits; None if the server has no more bytes to send."""
        tries = 0
        while True:
            try:
                return act()
            except urllib.error.HTTPError as error:
                error.close()
                if error.code == 416:  # no bytes are left to send; the checksum decides
                    return None
                if error.code not in RETRIED:
                    raise InputError(_refused(url, error.code)) from None
                reason = f"HTTP {error.code}"
            except (_Dropped, OSError, http.client.HTTPException) as error:
                if isinstance(error, OSError) and error.errno in NO_ROOM:
                    raise InputError(f"no space on the disk ({error.strerror}); free some and run again") from None
                if isinstance(error, OSError) and error.filename:
                    raise  # a local problem, such as a folder without permission
                host = urllib.parse.urlsplit(url).netloc
                if host not in self._met:
                    raise Unreachable(f"{host} cannot be reached ({getattr(error, 'reason', error)})") from None
                reason = str(error)
            tries = 0 if has_progressed() else tries + 1
            if tries > len(self.waits):
                raise InputError(f"{url}: gave up after {tries} tries ({reason}); run again to resume")
            time.sleep(self.waits[max(0, tries - 1)] if self.waits else 0)

    def _open(self, url: str, headers: dict[str, str] | None = None) -> Any:
        if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
            raise InputError(f"{url}: not a web address")
        request = urllib.request.Request(url, headers={"User-Agent": f"spooftrace/{__version__}"} | (headers or {}))
        host = urllib.parse.urlsplit(url).netloc
        if host in self._met:
            return urllib.request.urlopen(request, timeout=self.timeout)
        # Name resolution has no timeout of its own; without a network it can take long.
        answer = _within(self.contact, lambda: urllib.request.urlopen(request, timeout=self.timeout))
        self._met.add(host)
        return answer


def page(record: str) -> str:
    """The web page of a record."""
    host, name = record.split(":", 1)
    return f"https://zenodo.org/records/{name}" if host == "zenodo" else f"https://huggingface.co/datasets/{name}"


def _refused(url: str, code: int) -> str:
    if code in (401, 403):
        return f"{url}: the server requires permission (HTTP {code}); download the file in a browser"
    return f"{url}: the server has no such file (HTTP {code}); it may have moved, look at the page of the corpus"


def _has_grown(part: Path, before: list[int]) -> bool:
    """Whether the file is longer than ever before (without ranges it shrinks at each retry); updates ``before``."""
    size = part.stat().st_size if part.exists() else 0
    grown, before[0] = size > before[0], max(size, before[0])
    return grown


def _within(seconds: float, call: Callable[[], T]) -> T:
    """Call a function in a thread; after a timeout the thread is abandoned."""
    result: list[Any] = []

    def work() -> None:
        try:
            result.append((call(), None))
        except BaseException as error:
            result.append((None, error))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(seconds)
    if not result:
        raise TimeoutError(f"no answer within {seconds:g} s")
    value, error = result[0]
    if error is not None:
        raise error
    return value
