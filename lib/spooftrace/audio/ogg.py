"""Ogg files (RFC 3533): completeness of the last page, and the consecutive streams of a chained file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import BinaryIO

PAGE = 65307  # bytes at most
FIRST, LAST = 2, 4  # flags of the first and last page of a stream


@dataclass(frozen=True)
class Links:
    """The streams of an Ogg file.

    Attributes:
        ranges: (offset, size) of each stream.
        whole: Whether the last page is complete.
        ended: Whether the last page is marked as such.
        end: Offset of the end of the last page.
    """

    ranges: tuple[tuple[int, int], ...]
    whole: bool
    ended: bool
    end: int


def find_links(file: BinaryIO, size: int) -> Links:
    """Return the streams of an Ogg file of ``size`` bytes, which begins with ``OggS``."""
    first = _page(file, 0, size)
    start = max(size - PAGE, 0)
    file.seek(start)
    place = file.read().rfind(b"OggS")
    last = _page(file, start + place, size) if place >= 0 else None
    end = start + place + last.size if last is not None else size
    if first is None or last is None:
        return Links(((0, size),), whole=False, ended=False, end=size)
    ended = bool(last.flags & LAST)
    starts, place, in_headers = [0], 0, True
    while (page := _page(file, place, size)) is not None:
        if page.flags & FIRST and not in_headers:
            starts.append(place)
        in_headers = bool(page.flags & FIRST)  # the first pages of multiplexed streams precede all other pages
        place += page.size
    if len(starts) == 1 and last.serial == first.serial:  # the decoder handles bytes between the pages
        return Links(((0, size),), True, ended, end)
    ends = [*starts[1:], size]
    return Links(tuple((a, b - a) for a, b in zip(starts, ends, strict=True)), place == size, ended, end)


@dataclass(frozen=True)
class _Page:
    flags: int
    serial: bytes
    size: int


def _page(file: BinaryIO, place: int, size: int) -> _Page | None:
    """Return the page at an offset; None if there is no page or it is incomplete."""
    file.seek(place)
    head = file.read(27 + 255)
    if head[:4] != b"OggS" or len(head) < 27 or len(head) < 27 + head[26]:  # [26]: entries in the table of sizes
        return None
    length = 27 + head[26] + sum(head[27 : 27 + head[26]])
    return _Page(head[5], head[14:18], length) if place + length <= size else None
