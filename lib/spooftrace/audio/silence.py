"""Detection of speech in a recording, and removal of everything else. Arrays in, arrays out.

The SASTNet paper (Chen et al., section V-A, tables II and III) tests systems on CodecFake+ "without silent segments".
It does not say how silence is detected, nor whether pauses within an utterance count; its argument is about silence at
both ends. The authors' code (github.com/ResponsibleGenAI/CodecFake-Source-Tracing, ``remove_silence``) applies WebRTC's
detector to consecutive frames of 30 ms with aggressiveness 3 and drops every frame without speech, pauses included.
``speech_webrtc`` followed by ``remove_silence`` does the same.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from spooftrace.audio.postprocessing import SILENCE_RANGE, frame_power
from spooftrace.common.errors import InputError
from spooftrace.common.install import pip_install
from spooftrace.common.sample_rate import SAMPLE_RATE

WEBRTC_FRAME = 0.030  # seconds
WEBRTC_AGGRESSIVENESS = 3  # from 0 to 3; 3 classifies the fewest frames as speech
WEBRTC_RATES = (8000, 16000, 32000, 48000)
ENERGY_FRAME, ENERGY_SHIFT = 5, 2  # blocks of 5 ms: frames of 25 ms every 10 ms


def speech_webrtc(wave: np.ndarray, rate: int = SAMPLE_RATE) -> np.ndarray:
    """Mark the samples in 30 ms frames that WebRTC's voice activity detector classifies as speech.

    An incomplete last frame is not speech, as in the SASTNet authors' code. The detector adapts to noise, so each
    recording gets a new detector. Its thresholds are absolute: the result depends on the level of the recording.

    Args:
        wave: (N,), full scale = 1.
        rate: 8000, 16000, 32000 or 48000 Hz.

    Returns:
        bool (N,).

    Raises:
        ValueError: The rate is none of these.
        InputError: The package ``webrtcvad`` is not installed.
    """
    if rate not in WEBRTC_RATES:
        raise ValueError(f"WebRTC's detector works at {', '.join(map(str, WEBRTC_RATES))} Hz, not at {rate}")
    try:
        import webrtcvad
    except ImportError:
        how = f"run '{pip_install('webrtcvad-wheels')}' or use method energy"
        raise InputError(f"method webrtc: the package webrtcvad is not installed; {how}") from None
    detector = webrtcvad.Vad(WEBRTC_AGGRESSIVENESS)
    size = round(WEBRTC_FRAME * rate)
    # Scale and truncate as the authors' code does, to get the same decisions: rounding changes 1 frame in about 200.
    pcm = (np.clip(wave, -1, 1) * np.float32(32767)).astype(np.int16).tobytes()  # two bytes a sample
    starts = range(0, 2 * (len(wave) // size) * size, 2 * size)
    frames = [detector.is_speech(pcm[start : start + 2 * size], rate) for start in starts]
    speech = np.zeros(len(wave), bool)
    speech[: len(frames) * size] = np.repeat(np.array(frames, bool), size)  # (F,) -> (F * size,)
    return speech


def speech_energy(wave: np.ndarray, rate: int = SAMPLE_RATE) -> np.ndarray:
    """Mark the samples in loud frames: 25 ms every 10 ms, less than 40 dB below the loudest frame of the recording.

    Any loud sound counts: only digital silence has no "speech", and noise less than 40 dB below the speech is kept. The
    result does not depend on the level. The last frames are padded with zeros.

    Args:
        wave: (N,), at any level.
        rate: Sampling rate in Hz, at least 200.

    Returns:
        bool (N,).
    """
    size = rate // 200
    num_frames = max(-(-(len(wave) - ENERGY_FRAME * size) // (ENERGY_SHIFT * size)), 0) + 1
    num_blocks = ENERGY_SHIFT * (num_frames - 1) + ENERGY_FRAME
    padded = np.pad(wave, (0, num_blocks * size - len(wave)))
    blocks = frame_power(padded, size)  # (num_blocks,)
    ones = np.ones(ENERGY_FRAME)
    power = np.convolve(blocks, ones, "valid")[::ENERGY_SHIFT]  # (num_blocks,) -> (num_frames,)
    loud = np.zeros(ENERGY_SHIFT * (num_frames - 1) + 1)
    loud[::ENERGY_SHIFT] = power > power.max() * 10 ** (-SILENCE_RANGE / 10)
    covered = np.convolve(loud, ones) > 0.5  # blocks that a loud frame touches, (num_blocks,)
    return np.repeat(covered, size)[: len(wave)]


DETECTORS: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {"webrtc": speech_webrtc, "energy": speech_energy}


def remove_silence(wave: np.ndarray, speech: np.ndarray, ends_only: bool = False) -> np.ndarray:
    """Return the samples of a recording that are speech; all samples if none is.

    Args:
        wave: (N,).
        speech: bool (N,), the result of a detector.
        ends_only: Keep pauses between the first and the last speech.

    Returns:
        (M,), M <= N.

    Raises:
        ValueError: The lengths of ``wave`` and ``speech`` differ.

    >>> wave, speech = np.arange(6), np.array([0, 1, 0, 1, 1, 0], bool)
    >>> remove_silence(wave, speech), remove_silence(wave, speech, ends_only=True)
    (array([1, 3, 4]), array([1, 2, 3, 4]))
    """
    if wave.shape != speech.shape:
        raise ValueError(f"wave {wave.shape} and speech {speech.shape} must have the same shape")
    if not speech.any():
        return wave
    if ends_only:
        return wave[speech.argmax() : len(speech) - speech[::-1].argmax()]
    return wave[speech]
