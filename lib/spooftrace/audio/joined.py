"""Files in which a second recording follows the first one, as ``cat a.wav b.wav > c.wav`` makes them."""

from __future__ import annotations

import re
from typing import BinaryIO

from spooftrace.audio.chunks import W64_RIFF, Audio
from spooftrace.common.errors import InputError

# What to search for, which is fast, and how far into a header it stands.
NEEDLES = (
    (b"WAVE", 8), (b"AIFF", 8), (b"AIFC", 8), (W64_RIFF, 0), (b".snd", 0), (b"dns.", 0), (b"NIST_1A\n", 0),
    (b"caff\0\1\0\0", 0), (b"fLaC", 0), (b"OggS\0\2", 0), (b"Creative Voice File\x1a", 0),
)  # fmt: skip
# Whole headers, with so many fixed bytes that they do not occur in audio by accident.
HEADER = re.compile(
    rb"(?:RIFF|RIFX|RF64|BW64).{4}WAVE[A-Za-z0-9 ]{4}|FORM.{4}AIF[FC][A-Z]{4}|NIST_1A\n|caff\0\x01\0\0desc|"
    rb"\.snd\0\0[\0-\x0f].{5}\0\0\0[\x01-\x20]|dns\.[\x18-\xff].\0\0.{4}[\x01-\x20]\0\0\0|"
    rb"fLaC[\0\x80]\0\0\x22|OggS\0\x02\0{8}|Creative Voice File\x1a|" + re.escape(W64_RIFF),
    re.DOTALL,
)
LONGEST_HEADER = 20
BLOCK = 1 << 20
# Bytes in which a header is searched for where no size leads to it: half an hour of 16 kHz, 16 bits.
MOST_SEARCHED = 1 << 26
MOST_BEHIND = 1 << 12  # bytes behind audio of a known size in which another recording may begin, after padding or tags


def refuse_second(name: str, file: BinaryIO, start: int, end: int) -> None:
    """Refuse a file in which the header of another recording begins from ``start`` to before ``end``.

    Args:
        name: what to call the file in messages.
        file: the open file.
        start: where to begin to search.
        end: where to stop; no more than ``MOST_SEARCHED`` bytes are searched.

    Raises:
        InputError: there is one.
    """
    place = _second_header(file, start, min(end, start + MOST_SEARCHED))
    if place is not None:
        raise InputError(
            f"{name}: holds several recordings, the second one from byte {place:,} on; cut it into its files, or join "
            "these with a program that knows audio: sox A.wav B.wav OUT.wav"
        )


def refuse_ambiguous(name: str, file: BinaryIO, audio: Audio, size: int) -> None:
    """Refuse a container, a file of ``size`` bytes, of whose audio only a part or a guess could be read.

    Raises:
        InputError: its header is contradictory, or another recording follows.
    """
    if audio.fault:
        raise InputError(f"{name}: {audio.fault}; convert the original to an ordinary WAV file, or get the file again")
    if audio.declared is None or audio.declared < audio.available:  # no size leads to what is behind
        refuse_second(name, file, audio.start, size)
    else:
        behind = audio.start + audio.declared
        refuse_second(name, file, behind, min(size, behind + MOST_BEHIND))


def _second_header(file: BinaryIO, start: int, end: int) -> int | None:
    for place in range(start, end, BLOCK):
        file.seek(place)
        block = file.read(min(BLOCK, end - place) + LONGEST_HEADER)
        headers = [at for needle, before in NEEDLES for at in _headers(block, needle, before)]
        if headers and place + min(headers) < end:
            return place + min(headers)
    return None


def _headers(block: bytes, needle: bytes, before: int) -> list[int]:
    """Offset of the first header with this needle; an empty list without any."""
    at = block.find(needle)
    while at >= 0:
        if at >= before and HEADER.match(block, at - before):
            return [at - before]
        at = block.find(needle, at + 1)
    return []
