"""CtrSVDD in miniature, with recordings to cut bona fide singing out of."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile
import soxr

from miniature.speech import RATE, Speech

DATABASES = {
    "oniku": "ONIKU_KURUMI_UTAGOE_DB",
    "ofuton": "OFUTON_P_UTAGOE_DB",
    "kiritan": "kiritan_singing",
    "jvs": "jvs_music_ver1",
}
# set -> protocol, folder, letter in the ids, bona fide in the release by source, attacks
SETS = {
    "train": ("train.txt", "train_set", "T", {"m4singer": 4, "kising": 2}, [f"A{n:02d}" for n in range(1, 9)] * 2),
    "dev": ("dev.txt", "dev_set", "D", {"m4singer": 4}, [f"A{n:02d}" for n in range(1, 9)]),
    "eval": (
        "test_groundtruth.txt",
        "test_set",
        "E",
        {"m4singer": 3, "kising": 2, "acesinger": 2},
        [f"A{n:02d}" for n in range(9, 15)] * 2,
    ),
}
# set -> database, recording, rate (Hz), where it lies in the database, times to cut at (seconds)
RECORDINGS = {
    "train": [
        ("oniku", "kagome_kagome/kagome_kagome.wav", 44100, "", [("0.0", "1.57"), ("1.98", "3.49")]),
        ("ofuton", "tombi/tombi.wav", 44100, "", [("0.29", "2.01")]),
        ("jvs", "jvs001/song_unique/wav/raw.wav", 24000, "", [("0.57", "2.46")]),
    ],
    "dev": [
        ("kiritan", "18.wav", 96000, "wav", [("0.0", "1.99"), ("2.26", "3.96")]),
        ("jvs", "jvs072/song_unique/wav/raw.wav", 24000, "", [("0.51", "2.14")]),
    ],
    "eval": [],
}


def lay_out(speech: Speech, root: Path) -> None:
    """Write the release, four databases of singing, and ``CtrSVDD_Utils/timestamps`` with the times, below ``root``."""
    times: dict[str, list[str]] = {}
    number = 0
    for name, (protocol, folder, letter, bonafide, attacks) in SETS.items():
        rows = [(source, "-", "bonafide") for source, count in bonafide.items() for _ in range(count)]
        rows += [("acesinger" if attack == "A14" else "m4singer", attack, "deepfake") for attack in attacks]
        cuts = [(recording, start, end) for recording in RECORDINGS[name] for start, end in recording[4]]
        rows += [(f"{recording[0]}{'music' * (recording[0] == 'jvs')}", "-", "bonafide") for recording, _, _ in cuts]
        lines = []
        for index, (source, attack, label) in enumerate(rows):
            number += 1
            utt = f"CtrSVDD_{index % 5:04d}_{letter}_{number:07d}"
            lines.append(f"{source} CtrSVDD_{index % 5:04d} {utt} - {attack} {label}\n")
            cut = index - (len(rows) - len(cuts))
            if cut < 0:
                speech.write(root / folder / f"{utt}.flac", "bonafide" if label == "bonafide" else "spoof", index)
            else:
                (database, file, *_), start, end = cuts[cut]
                times.setdefault(f"{database}_timestamps_{name}.txt", []).append(f"{file} {utt} {start} {end}\n")
        (root / protocol).write_text("".join(lines))
        for index, (database, file, rate, inside, _) in enumerate(RECORDINGS[name]):
            path = root / DATABASES[database] / inside / file
            path.parent.mkdir(parents=True, exist_ok=True)
            wave = soxr.resample(np.concatenate(speech.bonafide[index : index + 2]), RATE, rate)
            soundfile.write(path, np.clip(np.stack([wave, wave / 2], axis=1), -1, 1), rate, subtype="PCM_16")
    folder = root / "CtrSVDD_Utils/timestamps"
    folder.mkdir(parents=True)
    for file, lines in times.items():
        (folder / file).write_text("".join(lines))
