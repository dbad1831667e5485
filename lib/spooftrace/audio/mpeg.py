"""MPEG audio streams (layer I, II, III; MPEG-1, 2 and 2.5): location of the frames and length of the audio.

A stream has no length field. Encoders for layer III write the length into a first frame without audio (Xing, Info or
VBRI). Without it libsndfile estimates the length from the size of the file; the estimate is too long at 44.1 kHz and
far too short at a variable bitrate. This module counts the frames by their headers (ISO/IEC 11172-3, section 2.4.1.3,
and the extension of 13818-3). Like ffmpeg (libavformat/mp3dec.c), it removes the delay and padding that a LAME tag
gives, and keeps all samples without such a tag.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

# kbit/s by (whether MPEG-1, layer); index 0 is the free format, whose frames have an arbitrary constant size.
BITRATES = {
    (True, 1): (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}  # by the version's bits
CONSTANT_BITS = 0xFE0C  # of the second and third byte, equal in all frames of a stream: version, layer, rate
SEARCHED = 1 << 16  # bytes to search for the first frame, as ffmpeg does
DECODER_DELAY = 529  # samples of delay of a layer III decoder
CHAIN = 4  # consecutive frames that are no coincidence
MIN_FRAMES = 0.25  # fraction of the bytes that are frames, at least, in a file of MPEG audio
MAX_FREE = 8192  # bytes of a frame of the free format


class Frame(NamedTuple):
    """The content of a frame header: bytes of the frame (0: free format), samples per channel."""

    size: int
    samples: int


@dataclass(frozen=True)
class Stream:
    """The audio of an MPEG file.

    Attributes:
        runs: (offset, size) of each sequence of consecutive frames.
        frames: Number of frames in all runs.
        samples: Samples of a frame, per channel.
        largest: Bytes of the largest frame.
        last: (offset, size) of the last frame.
        kept: (first, last + 1) of the decoded samples that are audio.
        missing: Why the file is incomplete; "" if it is complete.
        changes: Whether frames of another rate, layer or number of channels follow.
    """

    runs: Sequence[tuple[int, int]]
    frames: int
    samples: int
    largest: int
    last: tuple[int, int]
    kept: Sequence[tuple[int, int]]
    missing: str
    changes: bool = False


class _Tag(NamedTuple):
    """A first frame without audio: declared frames (0: unknown), samples of delay (-1: unknown) and of padding."""

    frames: int
    delay: int
    padding: int


@cache
def parse(second: int, third: int) -> Frame | None:
    """Parse the second and third byte of a frame header; returns None if they are no frame header."""
    version, layer = second >> 3 & 3, 4 - (second >> 1 & 3)
    bitrate, rate = third >> 4, third >> 2 & 3
    if second & 0xE0 != 0xE0 or version == 1 or layer == 4 or bitrate == 15 or rate == 3:
        return None
    hertz, first = RATES[version][rate], version == 3
    samples = {1: 384, 2: 1152, 3: 1152 if first else 576}[layer]
    bits, padding = 1000 * BITRATES[first, layer][bitrate], third >> 1 & 1
    if not bits:
        return Frame(0, samples)
    return Frame((12 * bits // hertz + padding) * 4 if layer == 1 else samples // 8 * bits // hertz + padding, samples)


def find_stream(data: Sequence[int], tagged: bool = True) -> Stream | None:
    """Count the frames of a file in one pass over their headers.

    Args:
        data: The bytes of the file, e.g. a memory map.
        tagged: Whether the first frame may be a tag, which is not the case in a WAV file.

    Returns:
        The stream; None if the file is not MPEG audio.
    """
    start = after_id3(data)
    free: dict[int, int] = {}
    if bytes(data[start : start + 1]) == b"\xff" and len(data) > start + 1 and data[start + 1] & 0xF6 == 0xF0:
        return None  # AAC, whose bytes may look like a frame or two
    first = _next_frame(data, start, min(start + SEARCHED, len(data)), None, free)
    while first is not None and first > start and _chain(data, first, free) < CHAIN:  # by chance
        first = _next_frame(data, first + 1, min(start + SEARCHED, len(data)), None, free)
    if first is None:
        return None
    same = _fixed(data, first)
    tag = _read_tag(data, first) if tagged else None
    runs: list[tuple[int, int]] = []
    place: int | None = first
    count = largest = samples = 0
    cut = ""
    last = (first, 0)
    modes: set[bool] = set()  # of each frame: whether it is mono
    while place is not None:
        begin = place
        while (size := _frame_size(data, place, same, free)) and place + size <= len(data):
            frame = parse(data[place + 1], data[place + 2])
            assert frame is not None
            samples, largest = frame.samples, max(largest, size)
            count, last = count + 1, (place, size)
            modes.add(data[place + 3] >> 6 == 3)
            place += size
        if place > begin:
            runs.append((begin, place - begin))
        if size:  # a header follows directly, but its frame extends beyond the file
            cut = f"its last frame ends {place + size - len(data)} bytes behind the end"
            break
        place = _next_frame(data, place, len(data), same, free)
    if sum(size for _, size in runs) < MIN_FRAMES * (len(data) - start):
        return None
    changes = len(modes) > 1 or _is_followed(data, runs, same)
    if tag is not None and runs:
        skipped = _frame_size(data, first, same, free)
        runs[0] = (runs[0][0] + skipped, runs[0][1] - skipped)
        count -= 1
        if tag.frames > count and not cut:
            cut = f"its header announces {tag.frames:,} frames, {count:,} are there"
    return Stream(runs, count, samples, largest, last, _kept(tag, count * samples, samples), cut, changes)


def _is_followed(data: Sequence[int], runs: Sequence[tuple[int, int]], same: int) -> bool:
    """Whether frames of another stream lie between or behind the runs."""
    ends = [offset + size for offset, size in runs]
    for end, stop in zip(ends, [*(offset for offset, _ in runs[1:]), len(data)], strict=True):
        sizes: dict[int, int] = {}
        place = _next_frame(data, end, stop, None, sizes)
        while place is not None:
            other, last = _fixed(data, place), place
            for _ in range(CHAIN):
                last += _frame_size(data, last, other, sizes) or len(data)
            if other != same and last <= len(data):
                return True
            place = _next_frame(data, place + 1, stop, None, sizes)
    return False


def after_id3(data: Sequence[int]) -> int:
    """Return the offset behind the ID3v2 tags at the beginning; 0 without tags."""
    offset = 0
    while size := tag_bytes(bytes(data[offset : offset + 10])):
        offset += size
    return min(offset, len(data))


def tag_bytes(head: bytes) -> int:
    """Return the size of the ID3v2 tag whose header are these 10 bytes; 0 if they are no such header."""
    if head[:3] != b"ID3" or len(head) < 10:
        return 0
    size = 0
    for byte in head[6:10]:
        size = size << 7 | byte & 0x7F
    return size + (20 if head[5] & 0x10 else 10)  # with a footer


def begins_with_frames(data: Sequence[int]) -> bool:
    """Return whether ``data`` begins with so many consecutive frames that they are no coincidence."""
    return len(data) >= 4 and _frame_size(data, 0, None, {}) > 0 and _chain(data, 0, {}) >= CHAIN


def _chain(data: Sequence[int], place: int, free: dict[int, int]) -> int:
    """Return the number of consecutive frames from an offset on, at most ``CHAIN``."""
    same, count = _fixed(data, place), 0
    while count < CHAIN and (size := _frame_size(data, place, same, free)):
        count, place = count + 1, place + size
    return CHAIN if place == len(data) else count


def _fixed(data: Sequence[int], place: int) -> int:
    return (data[place + 1] << 8 | data[place + 2]) & CONSTANT_BITS


def _frame_size(data: Sequence[int], place: int, same: int | None, free: dict[int, int]) -> int:
    """Return the bytes of the frame at an offset; 0 if there is no frame or a frame of another stream."""
    if place + 4 > len(data) or data[place] != 0xFF:
        return 0
    frame = parse(data[place + 1], data[place + 2])
    if frame is None or (same is not None and _fixed(data, place) != same):
        return 0
    return frame.size or _free_size(data, place, free)


def _free_size(data: Sequence[int], place: int, free: dict[int, int]) -> int:
    """Return the bytes of a frame of the free format, which is the distance to the next equal header."""
    fixed, padding = _fixed(data, place), data[place + 2] >> 1 & 1
    if fixed not in free:
        header = bytes(data[place : place + 3])
        block = bytes(data[place : place + MAX_FREE])
        nearest = block.find(header[:2], 24)
        while nearest > 0 and (block[nearest + 2 : nearest + 3] or b"\0")[0] & 0xFD != header[2] & 0xFD:
            nearest = block.find(header[:2], nearest + 1)
        if nearest < 0:
            return 0
        free[fixed] = nearest - padding
    return free[fixed] + padding


def _next_frame(data: Sequence[int], start: int, stop: int, same: int | None, free: dict[int, int]) -> int | None:
    """Return the offset of the next frame that is followed by another frame or the end of the file."""
    size_of_block = 1 << 16
    for base in range(start, stop, size_of_block):
        block = bytes(data[base : min(base + size_of_block, stop)])
        place = block.find(0xFF)
        while place >= 0:
            size = _frame_size(data, base + place, same, free)
            end = base + place + size
            if size and (end == len(data) or _frame_size(data, end, _fixed(data, base + place), free)):
                return base + place
            place = block.find(0xFF, place + 1)
    return None


def _read_tag(data: Sequence[int], first: int) -> _Tag | None:
    """Read the Xing, Info or VBRI tag in a first frame of layer III; returns None if the frame is audio."""
    version, layer = data[first + 1] >> 3 & 3, 4 - (data[first + 1] >> 1 & 3)
    if layer != 3:
        return None
    mono = data[first + 3] >> 6 == 3
    side = (17 if mono else 32) if version == 3 else (9 if mono else 17)
    head = bytes(data[first : first + 4 + 32 + 160])
    if head[36:40] == b"VBRI" and len(head) >= 54:
        (frames,) = struct.unpack_from(">I", head, 50)
        return _Tag(frames, -1, 0) if frames else None
    place = 4 + side
    if head[place : place + 4] not in (b"Xing", b"Info"):
        return None
    (flags,) = struct.unpack_from(">I", head, place + 4)
    place += 8
    numbers: dict[int, int] = {}
    announced_at = place
    for bit, size in ((1, 4), (2, 4), (4, 100), (8, 4)):
        if flags & bit:
            if bit == 1:
                announced_at = place + size
            numbers[bit] = int.from_bytes(head[place : place + 4], "big")
            place += size
    if not numbers.get(1) and not numbers.get(2):
        return None
    frames = numbers.get(1, 0)
    if frames and len(data) - first - announced_at > numbers.get(2, 0) * 17 // 16 > 0:
        frames = 0  # the file is longer than the tag says; ffmpeg ignores the number, too
    if head[place : place + 4] not in (b"LAME", b"Lavf", b"Lavc"):
        return _Tag(frames, -1, 0)
    both = int.from_bytes(head[place + 21 : place + 24], "big")
    return _Tag(frames, both >> 12, both & 0xFFF)


def _kept(tag: _Tag | None, total: int, samples: int) -> list[tuple[int, int]]:
    if tag is None or tag.delay < 0:
        return [(0, total)]
    first, announced = tag.delay + DECODER_DELAY, tag.frames * samples
    end = announced - tag.padding + DECODER_DELAY
    if not tag.frames or end >= announced:
        return [(min(first, total), total)]
    # The padding ends at the declared end of the stream. More frames, as after ``cat a.mp3 b.mp3``, are audio.
    return [(a, b) for a, b in ((first, min(end, total)), (announced, total)) if a < b]
