"""Where a recording has speech, and the recording without the rest. Arrays in, arrays out.

The SASTNet paper (Chen et al., section V-A, tables II and III) tests systems on CodecFake+ "without silent segments"
and does not say how these are found, nor whether pauses inside an utterance count; its argument is about silence at
both ends. The authors' code (github.com/ResponsibleGenAI/CodecFake-Source-Tracing, ``remove_silence``) is clear:
WebRTC's detector on consecutive frames of 30 ms, aggressiveness 3, and every frame without speech goes, pauses
included. That is ``speech_webrtc`` followed by ``remove_silence``.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from spooftrace.audio.finishing import SILENCE_RANGE, frame_power
from spooftrace.common.errors import InputError
from spooftrace.common.install import pip_install
from spooftrace.common.sample_rate import SAMPLE_RATE

WEBRTC_FRAME = 0.030  # seconds
WEBRTC_AGGRESSIVENESS = 3  # of 0 to 3; 3 calls the least speech
WEBRTC_RATES = (8000, 16000, 32000, 48000)
ENERGY_FRAME, ENERGY_SHIFT = 5, 2  # blocks of 5 ms: frames of 25 ms every 10 ms


def speech_webrtc(wave: np.ndarray, rate: int = SAMPLE_RATE) -> np.ndarray:
    """Which samples belong to a 30 ms frame that WebRTC's voice activity detector takes for speech.

    An incomplete last frame is not speech, as in the SASTNet authors' code. The detector adapts to the noise it has
    heard: each recording gets a new one. Its thresholds are absolute, so the level of the recording matters.

    Args:
        wave: (N,), full scale = 1.
        rate: 8000, 16000, 32000 or 48000 Hz.

    Returns:
        bool (N,).

    Raises:
        ValueError: another rate.
        InputError: the package ``webrtcvad`` is not installed.
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
    # Factor and truncation are those of the authors' code, so that the decisions are the same to the frame: with
    # rounding, about one frame in 200 is decided otherwise.
    pcm = (np.clip(wave, -1, 1) * np.float32(32767)).astype(np.int16).tobytes()  # two bytes a sample
    starts = range(0, 2 * (len(wave) // size) * size, 2 * size)
    frames = [detector.is_speech(pcm[start : start + 2 * size], rate) for start in starts]
    speech = np.zeros(len(wave), bool)
    speech[: len(frames) * size] = np.repeat(np.array(frames, bool), size)  # (F,) -> (F * size,)
    return speech


def speech_energy(wave: np.ndarray, rate: int = SAMPLE_RATE) -> np.ndarray:
    """Which samples belong to a loud frame: 25 ms every 10 ms, less than 40 dB below the loudest of the recording.

    The rule knows nothing of speech: a recording is never without it unless it is digital silence, and noise that is
    less than 40 dB below the speech stays. The level does not matter. The last frames are filled up with zeros.

    Args:
        wave: (N,), at any level.
        rate: sampling rate in Hz, at least 200.

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
    """The part of a recording that is speech; all of it where nothing is.

    Args:
        wave: (N,).
        speech: bool (N,), of a detector.
        ends_only: keep the pauses between the first and the last speech.

    Returns:
        (M,), M <= N.

    Raises:
        ValueError: the lengths differ.

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
