"""Files in which a second recording follows the first, such as the result of ``cat a.wav b.wav > c.wav``."""

from __future__ import annotations

import re
from typing import BinaryIO

from spooftrace.audio.chunks import W64_RIFF, Audio
from spooftrace.audio.mpeg import begins_with_frames, tag_bytes
from spooftrace.common.errors import InputError

# Bytes to search for, which is fast, and their offset in a header.
NEEDLES = (
    (b"WAVE", 8), (b"AIFF", 8), (b"AIFC", 8), (W64_RIFF, 0), (b".snd", 0), (b"dns.", 0), (b"NIST_1A\n", 0),
    (b"caff\0\1\0\0", 0), (b"fLaC", 0), (b"OggS\0\2", 0), (b"Creative Voice File\x1a", 0),
    (b"ID3", 0),
)  # fmt: skip
# Whole headers, with so many fixed bytes that they do not occur in audio by accident. An ID3v2 tag is no recording by
# itself: it counts if MPEG frames follow it.
HEADER = re.compile(
    rb"(?:RIFF|RIFX|RF64|BW64).{4}WAVE[A-Za-z0-9 ]{4}|FORM.{4}AIF[FC][A-Z]{4}|NIST_1A\n|caff\0\x01\0\0desc|"
    rb"\.snd\0\0[\0-\x0f].{5}\0\0\0[\x01-\x20]|dns\.[\x18-\xff].\0\0.{4}[\x01-\x20]\0\0\0|"
    rb"fLaC[\0\x80]\0\0\x22|OggS\0\x02\0{8}|Creative Voice File\x1a|"
    rb"ID3[\x02-\x04].[\0-\xff][\0-\x7f]{4}|" + re.escape(W64_RIFF),
    re.DOTALL,
)
LONGEST_HEADER = 20
BLOCK = 1 << 20
# Bytes to search where no size leads to the end of the audio: half an hour at 16 kHz, 16 bits.
MAX_SEARCHED = 1 << 26
# Bytes to search behind audio of a known size, where another recording may begin after padding or tags.
MAX_BEHIND = 1 << 12
MPEG_BYTES = 1 << 16  # enough for four MPEG frames


def refuse_second(name: str, file: BinaryIO, start: int, end: int, mpeg: bool = True) -> None:
    """Refuse a file in which the header of another recording begins from ``start`` to before ``end``.

    Args:
        name: Name of the file in messages.
        file: The open file.
        start: Offset at which to begin.
        end: Offset at which to stop. At most ``MAX_SEARCHED`` bytes are searched.
        mpeg: Whether MPEG audio with an ID3v2 tag counts. In a file of MPEG audio it goes on with the same audio.

    Raises:
        InputError: Another recording begins there.
    """
    second = _second_header(file, start, min(end, start + MAX_SEARCHED), mpeg)
    if second is not None:
        raise _several_recordings(name, second)


def refuse_behind(name: str, file: BinaryIO, end: int, size: int) -> None:
    """Refuse a file of ``size`` bytes if another recording follows its audio, which ends at the offset ``end``.

    Raises:
        InputError: Another recording follows, perhaps after padding or a tag.
    """
    if end < size and _is_mpeg(file, end):  # MPEG frames have no header to search for
        raise _several_recordings(name, end)
    refuse_second(name, file, end, min(size, end + MAX_BEHIND))


def refuse_ambiguous(name: str, file: BinaryIO, audio: Audio, size: int) -> None:
    """Refuse a container, a file of ``size`` bytes, if its audio could be read only in part or by a guess.

    Raises:
        InputError: Its header is contradictory, or another recording follows.
    """
    if audio.fault:
        raise InputError(f"{name}: {audio.fault}; convert the original to an ordinary WAV file, or get the file again")
    if audio.declared is None or audio.declared < audio.available:  # the end of the audio is not known
        if audio.declared:
            refuse_behind(name, file, audio.start + audio.declared, size)
        refuse_second(name, file, audio.start, size)
    else:
        refuse_behind(name, file, audio.start + audio.declared, size)


def _several_recordings(name: str, second: int) -> InputError:
    return InputError(
        f"{name}: holds several recordings, the second one from byte {second:,} on; cut it into its files, or join "
        "these with a program that knows audio: sox A.wav B.wav OUT.wav"
    )


def _second_header(file: BinaryIO, start: int, end: int, mpeg: bool) -> int | None:
    for offset in range(start, end, BLOCK):
        file.seek(offset)
        block = file.read(min(BLOCK, end - offset) + LONGEST_HEADER)
        headers = [offset + place for needle, before in NEEDLES for place in _headers(block, needle, before)]
        for place in sorted(headers):
            if place < end and (block[place - offset :][:3] != b"ID3" or (mpeg and _is_mpeg(file, place))):
                return place
    return None


def _headers(block: bytes, needle: bytes, before: int) -> list[int]:
    """Offset of the first header with this needle, of all headers for ID3 tags."""
    places = []
    place = block.find(needle)
    while place >= 0:
        if place >= before and HEADER.match(block, place - before):
            places.append(place - before)
            if needle != b"ID3":
                break
        place = block.find(needle, place + 1)
    return places


def _is_mpeg(file: BinaryIO, offset: int) -> bool:
    """Whether MPEG audio begins at an offset, perhaps after ID3v2 tags."""
    file.seek(offset)
    offset += tag_bytes(file.read(10))
    file.seek(offset)
    return begins_with_frames(file.read(MPEG_BYTES))
