"""Detection of headers that contradict themselves about the size of a sample."""

from __future__ import annotations

import struct

from spooftrace.common.english import counted

INTEGERS, FLOATS, EXTENSIBLE = 1, 3, 0xFFFE  # codings of WAV in which a sample has a fixed number of whole bytes
WIDTHS = {INTEGERS: range(1, 5), FLOATS: (4, 8), EXTENSIBLE: (*range(1, 5), 8)}


def wav_contradiction(body: bytes, order: str) -> str:
    """Describe the contradiction in a ``fmt`` chunk of WAV; returns "" if it has none.

    Three fields give the size of a sample, and some programs write a wrong value into one of them. The number of bits,
    which libsndfile uses, must agree with at least one of the other two.

    Args:
        body: The chunk without its header.
        order: Byte order, ``<`` or ``>``.
    """
    if len(body) < 16:
        return ""
    coding, channels, rate, bytes_per_second, frame_bytes, bits = struct.unpack_from(f"{order}HHIIHH", body)
    if coding not in WIDTHS or not channels:
        return ""
    width = (bits + 7) // 8
    if width not in WIDTHS[coding]:
        return f"its header says {counted(bits, 'bit')} a sample, which this kind of WAV file cannot have"
    if frame_bytes == channels * width or bytes_per_second == rate * channels * width:
        return ""
    return (
        f"its header contradicts itself: {counted(bits, 'bit')} a sample, {counted(channels, 'channel')}, "
        f"but {counted(frame_bytes, 'byte')} for a sample of all channels"
    )


def aiff_contradiction(body: bytes, audio_bytes: int) -> str:
    """Describe the contradiction in a ``COMM`` chunk of AIFF; returns "" if it has none.

    Args:
        body: The chunk without its header.
        audio_bytes: Bytes of audio that the ``SSND`` chunk declares.
    """
    if len(body) < 8 or (len(body) >= 22 and body[18:22] not in (b"NONE", b"twos", b"sowt", b"in24", b"in32")):
        return ""
    channels, frames, bits = struct.unpack_from(">HIH", body)
    width = (bits + 7) // 8
    if width not in range(1, 5):
        return f"its header says {counted(bits, 'bit')} a sample, which an AIFF file cannot have"
    others = [other for other in range(1, 5) if other != width and frames * channels * other == audio_bytes]
    if frames and channels and others:
        width_text = counted(others[0], "byte")
        return f"its header contradicts itself: {counted(bits, 'bit')} a sample, but {width_text} of audio for each"
    return ""
