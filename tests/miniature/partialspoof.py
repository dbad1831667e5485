"""PartialSpoof in miniature."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np
import soundfile

from miniature.speech import RATE, Speech
from spooftrace.metrics.localisation import change_resolution

# set -> letter in the ids, bona fide utterances, spoofed ones
SETS = {"train": ("T", 8, 16), "dev": ("D", 6, 8), "eval": ("E", 6, 8)}
RESOLUTIONS = ("0.01", "0.02", "0.04", "0.08", "0.16", "0.32", "0.64")


def lay_out(speech: Speech, root: Path) -> None:
    """Write ``database`` below ``root``; of spoofed utterances 0.5 to 1 s, of every fourth all, is spoofed speech."""
    root = root / "database"
    protocols = root / "protocols/PartialSpoof_LA_cm_protocols"
    for folder in (protocols, root / "segment_labels"):
        folder.mkdir(parents=True)
    for name, (letter, bonafide, spoof) in SETS.items():
        audio, times = root / name / "con_wav", root / name / "con_data"
        audio.mkdir(parents=True)
        times.mkdir()
        lines, rttm = [], []
        labels: dict[str, dict[str, np.ndarray]] = {resolution: defaultdict(list) for resolution in RESOLUTIONS}
        for index in range(bonafide + spoof):
            is_spoof = index >= bonafide
            utt = f"CON_{letter}_{index:07d}" if is_spoof else f"LA_{letter}_{1000000 + 37 * index}"
            real, fake = speech.bonafide[index % len(speech.bonafide)], speech.spoof[index % len(speech.bonafide)]
            seconds = len(real) / RATE
            start, end = (0.5, 1.0) if index % 4 else (0.0, seconds)
            wave = real.copy()
            if is_spoof:
                wave[int(start * RATE) : int(end * RATE)] = fake[int(start * RATE) : int(end * RATE)]
            soundfile.write(audio / f"{utt}.wav", wave, RATE, subtype="PCM_16")
            lines.append(f"LA_{index % 5:04d} {utt} - {'CON spoof' if is_spoof else '- bonafide'}\n")

            pieces = [(0.0, start, "bonafide"), (start, end, "spoof"), (end, seconds, "bonafide")]
            for first, last, label in pieces if is_spoof else [(0.0, seconds, "bonafide")]:
                if last > first:
                    rttm.append(f"SPEAKER {utt} 1 {first:.4f} {last - first:.4f} <NA> <NA> {label} <NA> <NA>\n")
            frames = np.arange(int(np.ceil(seconds / 0.01))) * 0.01
            spoofed = (frames >= start - 0.001) & (frames < end - 0.001) & is_spoof
            for resolution in RESOLUTIONS:
                values, _ = change_resolution(1 - spoofed, [len(frames)], 10, round(1000 * float(resolution)))
                labels[resolution][utt] = values.astype(str)
        (protocols / f"PartialSpoof.LA.cm.{name}.trl.txt").write_text("".join(lines))
        (times / "rttm_2cls_0sil_spoof").write_text("".join(rttm))
        for resolution, table in labels.items():
            np.save(root / f"segment_labels/{name}_seglab_{resolution}.npy", np.array(table), allow_pickle=True)
