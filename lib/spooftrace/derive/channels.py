"""Telephone, radio and music codecs as channels, which do not change whether speech is bona fide or spoofed.

The channels of ``spooftrace.audio.channels`` run in this process: ``mulaw``, ``alaw``, and ``mp3``, ``vorbis``,
``opus`` at a compression level that depends on the audio. ffmpeg runs coders at a fixed bitrate, such as ``opus_9k``.
Debian's ffmpeg has all of them except amrnb and amrwb, which need libavcodec-extra.
"""

from __future__ import annotations

import shutil
import subprocess
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from spooftrace.codecs.coder import Coder
from spooftrace.codecs.table import nearest
from spooftrace.common.errors import InputError
from spooftrace.common.sample_rate import SAMPLE_RATE

# Without "gsm", which only rounds to the 13 bits at the input of the GSM coder; gsm_13k is the coder.
IN_PROCESS = ("mulaw", "alaw", "mp3", "vorbis", "opus")
PROBE_SECONDS = 0.5


@dataclass(frozen=True)
class Line:
    """An encoder of ffmpeg.

    Attributes:
        encoder: Name of the encoder.
        container: Format of its output.
        rate: Sampling rate in Hz.
        kbps: Bitrates in kbit/s.
        options: Bitrate in kbit/s -> options of ffmpeg.
        demuxer: Name of the format for reading, if it differs.
    """

    encoder: str
    container: str
    rate: int
    kbps: tuple[float, ...]
    options: Callable[[float], list[str]] = lambda kbps: ["-b:a", f"{round(1000 * kbps)}"]
    demuxer: str | None = None


LINES = {
    "opus": Line("libopus", "ogg", 16000, (6, 8, 9, 12, 16, 20, 24, 32, 48, 64)),
    "speex": Line("libspeex", "ogg", 16000, (4, 6, 8, 10, 13, 17, 21, 24, 28, 34, 42)),
    "mp3": Line("libmp3lame", "mp3", 16000, (8, 16, 24, 32, 48, 64)),
    "vorbis": Line("libvorbis", "ogg", 16000, (24, 32, 48, 64)),
    "aac": Line("aac", "adts", 16000, (16, 24, 32, 48, 64), demuxer="aac"),
    "g722": Line("g722", "g722", 16000, (64,)),
    "g726": Line("g726", "wav", 8000, (16, 24, 32, 40)),
    "gsm": Line("libgsm", "gsm", 8000, (13,), lambda kbps: []),
    "amrnb": Line("libopencore_amrnb", "amr", 8000, (4.75, 5.15, 5.9, 6.7, 7.4, 7.95, 10.2, 12.2)),
    "amrwb": Line("libvo_amrwbenc", "amr", 16000, (6.6, 8.85, 12.65, 14.25, 15.85, 18.25, 19.85, 23.05, 23.85)),
    "codec2": Line(
        "libcodec2", "codec2", 8000, (1.2, 1.3, 1.4, 1.6, 2.4, 3.2), lambda kbps: ["-mode", f"{round(1000 * kbps)}"]
    ),
}
CHANNELS = {f"{kind}_{kbps:g}k": (line, kbps) for kind, line in LINES.items() for kbps in line.kbps}


def load_channel(name: str) -> Coder:
    """Load a channel by name.

    Raises:
        InputError: The channel is unknown (the message has similar names), or ffmpeg is missing or lacks the coder.
    """
    if name in IN_PROCESS:
        from spooftrace.audio.channels import transmit

        # The audio seeds the compression level: a copy does not depend on the job or the order.
        return Coder(
            SAMPLE_RATE,
            SAMPLE_RATE // 50,
            lambda wave: transmit(wave, name, np.random.default_rng(zlib.crc32(wave.tobytes()))),
        )
    if name not in CHANNELS:
        raise InputError(f"channel '{name}': unknown; {nearest(name, (*IN_PROCESS, *CHANNELS))}")
    line, kbps = CHANNELS[name]
    ffmpeg = shutil.which("ffmpeg")
    if ffmpeg is None:
        raise InputError(f"channel '{name}': needs ffmpeg, which is not installed: apt-get install ffmpeg")
    coder = Coder(line.rate, line.rate // 50, lambda wave: _encode_and_decode(ffmpeg, wave, line, kbps), delays=True)
    try:
        coder.copy(np.random.default_rng(0).uniform(-0.1, 0.1, round(PROBE_SECONDS * line.rate)).astype(np.float32))
    except ValueError as error:
        raise InputError(f"channel '{name}': {ffmpeg} has no working {line.encoder} ({error})") from None
    return coder


def _encode_and_decode(ffmpeg: str, wave: np.ndarray, line: Line, kbps: float) -> np.ndarray:
    raw = ["-f", "s16le", "-ar", str(line.rate), "-ac", "1"]
    samples = np.clip(np.rint(wave * 32768), -32768, 32767).astype("<i2")
    encoded = _run(
        [ffmpeg, *raw, "-i", "pipe:0", "-c:a", line.encoder, *line.options(kbps), "-f", line.container, "pipe:1"],
        samples.tobytes(),
    )
    decoded = _run([ffmpeg, "-f", line.demuxer or line.container, "-i", "pipe:0", *raw, "pipe:1"], encoded)
    return np.frombuffer(decoded, "<i2").astype(np.float32) / 32768


def _run(command: list[str], data: bytes) -> bytes:
    """Return the standard output of ffmpeg.

    Raises:
        ValueError: ffmpeg fails.
    """
    quiet = ["-hide_banner", "-nostdin", "-loglevel", "error"]
    done = subprocess.run([command[0], *quiet, *command[1:]], input=data, capture_output=True, check=False)
    if done.returncode:
        words = done.stderr.decode(errors="replace").strip().splitlines() or [f"status {done.returncode}"]
        raise ValueError(f"ffmpeg: {words[-1]}")
    return done.stdout
