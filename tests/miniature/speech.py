"""Real speech for the miniatures: utterances of egs/mini, and copies of them by the WORLD vocoder."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import numpy as np
import soundfile

from spooftrace.codecs.vocoders import world

ARCHIVE = Path(__file__).resolve().parents[2] / "egs/mini/corpus/bonafide.tar"
RATE = 16000


class Speech:
    """A pool of bona fide utterances of different voices and a spoofed copy of each; all 16 kHz mono.

    Args:
        count: number of different utterances; more are written by using them again.
    """

    def __init__(self, count: int = 24) -> None:
        self.bonafide: list[np.ndarray] = []
        with tarfile.open(ARCHIVE) as tar:
            members = sorted((member for member in tar.getmembers() if member.isfile()), key=lambda member: member.name)
            for member in members[:: len(members) // count][:count]:
                content = tar.extractfile(member)
                assert content is not None
                wave, rate = soundfile.read(io.BytesIO(content.read()), dtype="float32")
                assert rate == RATE
                self.bonafide.append(wave)
        self.spoof = [world(wave)[: len(wave)] for wave in self.bonafide]

    def write(self, path: str | Path, label: str, index: int, rate: int = RATE) -> None:
        """Write utterance number ``index`` (any number) as ``path``; the suffix gives the format.

        Args:
            path: file to write; its folder is made.
            label: ``bonafide`` or ``spoof``.
            index: which utterance.
            rate: sampling rate that the file is to claim, for corpora of several rates.
        """
        pool = self.bonafide if label == "bonafide" else self.spoof
        wave = pool[index % len(pool)]
        if rate != RATE:
            import soxr

            wave = soxr.resample(wave, RATE, rate)
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, np.clip(wave, -1, 1), rate, subtype="PCM_16")
