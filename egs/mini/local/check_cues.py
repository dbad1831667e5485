#!/usr/bin/env python3
"""Does a trivial cue give the spoofed copies away? EER of single measurements on a data directory.

    python3 local/check_cues.py data/eval

Each cue is used as a score, in the better of both directions: 50 % says that it tells nothing, a small figure that the
corpus can be solved without listening. Copies of one system against all bona fide utterances, and all copies together.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from spooftrace.audio import read_audio
from spooftrace.datadir import DataDir
from spooftrace.errors import InputError
from spooftrace.metrics.detection import eer

RATE = 16000
FRAME = 512


def cues(path: str) -> dict[str, float]:
    """Measurements of one file that have nothing to do with what is said."""
    wave = read_audio(path, RATE).astype(np.float64)
    rms = float(np.sqrt(np.mean(wave**2)))
    frames = np.lib.stride_tricks.sliding_window_view(wave, FRAME)[:: FRAME // 2]  # (N,) -> (T, 512)
    power = np.abs(np.fft.rfft(frames * np.hanning(FRAME))) ** 2  # (T, 512) -> (T, 257)
    energy = 10 * np.log10(power.sum(1) + 1e-12)  # (T,)
    speech = power[energy > energy.max() - 30].mean(0)  # (257,)
    spectrum = 10 * np.log10(speech + 1e-16)
    middle = spectrum[10:110].mean()  # 0.3 to 3.4 kHz
    loud = np.flatnonzero(np.abs(wave) > 0.02 * np.abs(wave).max())
    return {
        "duration": len(wave) / RATE,
        "rms": rms,
        "peak": float(np.abs(wave).max()),
        "crest factor": float(np.abs(wave).max()) / rms,
        "DC": abs(float(wave.mean())),
        "leading silence": float(loud[0]),
        "trailing silence": float(len(wave) - loud[-1]),
        "noise floor": float(np.percentile(energy, 5) - energy.max()),
        "below 80 Hz": float(spectrum[:3].mean() - middle),
        "4 to 7 kHz": float(spectrum[130:225].mean() - middle),
        "7 to 8 kHz": float(spectrum[225:].mean() - middle),
        "asymmetry": float(np.mean((wave - wave.mean()) ** 3)) / rms**3,
        "file size": Path(path).stat().st_size * 8 / len(wave),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="data directory")
    try:
        data = DataDir.read(parser.parse_args().data)
        measured = {utt: cues(data.table("wav.scp")[utt]) for utt in data.utts}
        labels, systems = data.table("utt2label"), data.table("utt2system")
    except InputError as error:
        print(f"check_cues.py: {error}", file=sys.stderr)
        return 1
    names = sorted({systems[utt] for utt in data.utts if labels[utt] == "spoof"})
    print(f"{'EER %':18s}{'all':>9s}" + "".join(f"{name:>12s}" for name in names))
    for cue in next(iter(measured.values())):
        bonafide = np.array([measured[utt][cue] for utt in data.utts if labels[utt] == "bonafide"])
        line = f"{cue:18s}"
        for width, wanted in ((9, names), *((12, [name]) for name in names)):
            spoof = np.array([measured[utt][cue] for utt in data.utts if systems[utt] in wanted])
            rate = min(eer(bonafide, spoof)[0], eer(-bonafide, -spoof)[0])
            line += f"{100 * rate:{width}.1f}"
        print(line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
