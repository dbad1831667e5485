"""Digests of audio content that are equal on every machine.

The decoded samples are hashed at the file's own rate and with all its channels, because resampling rounds differently
on different processors. PCM of up to 24 bits decodes to the same numbers everywhere. Decoders of MP3, Vorbis, Opus and
AAC choose their instructions by the processor; for these formats, and for floating-point samples, the bytes of the file
are hashed. Converting FLAC to WAV keeps the digest, editing the tags of an MP3 changes it.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b
from pathlib import Path

import numpy as np

from spooftrace.audio.reading import LONGEST, convert, read_samples
from spooftrace.common.sample_rate import SAMPLE_RATE

DIGEST_BYTES = 16
FULL_16, FULL_24 = np.float32(2.0**15), np.float32(2.0**23)  # full scale; float32 holds 24-bit samples exactly


def read_with_digest(path: str, start: float | None = None, end: float | None = None) -> tuple[np.ndarray, str]:
    """Return ``read_audio(path, start=start, end=end)`` and the hexadecimal digest of this part of the file.

    Raises:
        InputError: As ``read_audio``.
    """
    samples, rate = read_samples(path, start, end, longest=LONGEST)  # (N, C)
    digest = blake2b(f"{rate} Hz, {samples.shape[1]} channels\n".encode(), digest_size=DIGEST_BYTES)
    with np.errstate(over="ignore"):
        scaled = samples * FULL_16
    short = np.clip(scaled, -FULL_16, FULL_16 - 1).astype("<i2")
    if (short == scaled).all():  # the usual case: half as many bytes to hash
        digest.update(short.tobytes())
    elif _is_exact(samples):
        digest.update(samples.astype("<f4", copy=False).tobytes())
    else:
        stat = Path(path).stat()
        digest.update(f"{start} to {end} s of {_of_file(path, stat.st_size, stat.st_mtime_ns)}".encode())
    return convert(samples, rate, SAMPLE_RATE, path), digest.hexdigest()


def _is_exact(samples: np.ndarray) -> bool:
    """Whether all samples are 24-bit integers."""
    with np.errstate(over="ignore"):
        scaled = samples * FULL_24
    return bool((scaled == np.rint(scaled)).all())


@lru_cache(4096)  # a recording may have many segments
def _of_file(path: str, size: int, mtime_ns: int) -> str:
    digest = blake2b(digest_size=DIGEST_BYTES)
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()
