"""Get files over HTTP: resume, try again, verify; and ask Zenodo and Hugging Face what a record holds.

A file grows under the name ``NAME.part`` and gets its own name when its size and checksum are right.
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
from pathlib import Path
from typing import Any, TypeVar

from spooftrace import __version__
from spooftrace.common.atomic import fsync_folder
from spooftrace.common.errors import InputError
from spooftrace.common.progress import Progress
from spooftrace.corpora.sources import File

BLOCK = 1 << 20
MEGABYTE = 1_000_000
NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}  # full, the user's share of it is, or no larger file is allowed
AGAIN = {408, 425, 429, 500, 502, 503, 504}  # answers that may be better in a while
T = TypeVar("T")


class Unreachable(Exception):
    """There is no way to a server; the message says which and why."""


class _Dropped(Exception):
    """The connection broke after some answer; trying again may help."""


def checksum_of(path: Path, kind: str) -> str:
    """``kind:hex`` of a file, where kind is ``md5`` or ``sha256``."""
    digest = hashlib.new(kind, usedforsecurity=False)
    with open(path, "rb") as file, Progress(f"checking {path.name}, MB", path.stat().st_size // MEGABYTE) as progress:
        done = 0
        while block := file.read(BLOCK):
            digest.update(block)
            done += len(block)
            progress.advance(done // MEGABYTE - progress.done)
    return f"{kind}:{digest.hexdigest()}"


def wrong_with(path: Path, file: File) -> str:
    """How a file on disk differs from what was published, in words; empty if it does not."""
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
    """Where the servers are and how patient to be; tests bring their own.

    Args:
        zenodo: base address of Zenodo.
        huggingface: base address of Hugging Face.
        timeout: seconds of silence after which a connection is taken for dead.
        contact: seconds within which the first answer of a server must come.
        waits: seconds before each further try; the count begins anew whenever something arrived.
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
            Unreachable: no way there.
            InputError: no such record, or not open.
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
                    f"{page(record)}: its list of files is not as known ({error!r}); go on by hand"
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

        return json.loads(self._patiently(url, read, lambda: False))

    def download(self, file: File, target: Path) -> None:
        """Get a file and verify it; a ``.part`` that a former run left is gone on with.

        Raises:
            Unreachable: no way to the server.
            InputError: the server refuses, or what it sends is twice not what was published.
        """
        part = target.with_name(target.name + ".part")
        wrong = ""
        for _ in range(2):
            with Progress(f"downloading {target.name}, MB", (file.size or 0) // MEGABYTE) as progress:
                size = part.stat().st_size if part.exists() else 0
                if file.size is None or size != file.size:
                    before = [size]
                    self._patiently(
                        file.url,
                        lambda before=before, progress=progress: self._continue(file, part, progress, before),
                        lambda before=before: _grown(part, before),
                    )
            wrong = wrong_with(part, file)
            if not wrong:
                os.replace(part, target)
                fsync_folder(target.parent)
                return
            part.unlink()  # ours, and of no use
        raise InputError(f"{target.name}: downloaded twice, each time damaged ({wrong}); try later, or another network")

    def _continue(self, file: File, part: Path, progress: Progress, before: list[int]) -> None:
        """One connection: append to the part what is missing."""
        have = part.stat().st_size if part.exists() else 0
        if file.size is not None and have > file.size:
            part.unlink()
            have = 0
        with self._open(file.url, {"Range": f"bytes={have}-"} if have else {}) as answer:
            if answer.status == 206:
                sent = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", answer.headers.get("Content-Range", ""))
                if not sent or int(sent[1]) != have:
                    raise _Dropped("the server sent another part of the file than was asked for")
                total = int(sent[2])
            else:  # all of it: the server knows no ranges
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

    def _patiently(self, url: str, act: Callable[[], T], got_on: Callable[[], bool]) -> T:
        """Do something over and over until it works, waiting longer each time."""
        tries = 0
        while True:
            try:
                return act()
            except urllib.error.HTTPError as error:
                error.close()
                if error.code == 416:  # nothing is left to send: the check of the sum decides
                    return None  # type: ignore[return-value]
                if error.code not in AGAIN:
                    raise InputError(_refused(url, error.code)) from None
                reason = f"HTTP {error.code}"
            except (_Dropped, OSError, http.client.HTTPException) as error:
                if isinstance(error, OSError) and error.errno in NO_ROOM:
                    raise InputError(f"no room on the disk ({error.strerror}); make some and run again") from None
                if isinstance(error, OSError) and error.filename:
                    raise  # a folder without permission and the like
                host = urllib.parse.urlsplit(url).netloc
                if host not in self._met:
                    raise Unreachable(f"{host} cannot be reached ({getattr(error, 'reason', error)})") from None
                reason = str(error)
            tries = 0 if got_on() else tries + 1
            if tries > len(self.waits):
                raise InputError(f"{url}: gave up after {tries} tries ({reason}); run again to go on where it stopped")
            time.sleep(self.waits[max(0, tries - 1)] if self.waits else 0)

    def _open(self, url: str, headers: dict[str, str] | None = None) -> Any:
        if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
            raise InputError(f"{url}: not a web address")
        request = urllib.request.Request(url, headers={"User-Agent": f"spooftrace/{__version__}"} | (headers or {}))
        host = urllib.parse.urlsplit(url).netloc
        if host in self._met:
            return urllib.request.urlopen(request, timeout=self.timeout)
        # Looking up a name has no time limit of its own, and without a network it can take long.
        answer = _within(self.contact, lambda: urllib.request.urlopen(request, timeout=self.timeout))
        self._met.add(host)
        return answer


def page(record: str) -> str:
    """The web page of a record."""
    host, name = record.split(":", 1)
    return f"https://zenodo.org/records/{name}" if host == "zenodo" else f"https://huggingface.co/datasets/{name}"


def _refused(url: str, code: int) -> str:
    if code in (401, 403):
        return f"{url}: the server wants permission (HTTP {code}); get the file by hand in a browser"
    return f"{url}: the server has no such file (HTTP {code}); it may have moved, look at the page of the corpus"


def _grown(part: Path, before: list[int]) -> bool:
    """Whether the part is longer than ever before; a server without ranges makes it shrink in between."""
    size = part.stat().st_size if part.exists() else 0
    grown, before[0] = size > before[0], max(size, before[0])
    return grown


def _within(seconds: float, call: Callable[[], T]) -> T:
    """Call in a thread that is left behind if it takes too long."""
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
