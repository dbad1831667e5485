"""ST-Codecfake in miniature."""

from __future__ import annotations

from pathlib import Path

from miniature.speech import Speech

SEEN = ("real", "mimi", "speechtokenizer", "funcodec", "encodec", "facodec", "snac")
ORIGINALS = ("SSB1125{:04d}", "SSB0342{:04d}", "p230_{:03d}", "p340_{:03d}")
# label file -> folder, real files, (class, codec as the file name begins) of the fake ones
SETS = {
    "train": ("train", 8, [(kind, SEEN[kind]) for kind in range(1, 7)] * 3),
    "dev": ("dev", 4, [(kind, SEEN[kind]) for kind in range(1, 7)]),
    "eval_id": ("eval_id", 4, [(kind, SEEN[kind]) for kind in range(1, 7)]),
    "eval_ood7": ("eval_ood", 0, [(7, "wavtokenizer")] * 2),
    "eval_ood8-11": ("eval_ood", 0, [(8, "academicodec"), (9, "dac"), (10, "audiodec"), (11, "soundstream")]),
}
FOLDERS = {
    "ID_diff_config": [f"C{kind}-{variant}" for kind, last in ((3, 4), (4, 3)) for variant in range(1, last + 1)],
    "ID_diff_source": ["NCSSD-mimi", "NCSSD-snac"],
    "OOD_diff_source": ["NCSSD_wavtokenizer"],
    "OOD_diff_config": ["wavtokenizer_small40"],
    "ALM": ["moshi", "mini-omni/A1-A2", "speechgpt-gen", "valle"],
}
NAMES = {
    "ID_diff_config": "{}_SSB00120208.wav",
    "ID_diff_source": "{}_R-ZH_3_5_d1185.wav",
    "OOD_diff_source": "{}_R-EN_6_0_d435.wav",
    "OOD_diff_config": "{}_p245_072.wav",
    "ALM": "gen_{}.wav",
}


def lay_out(speech: Speech, root: Path) -> None:
    """Write ``st-codecfake`` below ``root``; the label files have no final newline."""
    root = root / "st-codecfake"
    (root / "label").mkdir(parents=True)
    for name, (folder, real, fakes) in SETS.items():
        lines = []
        for index, (kind, codec) in enumerate([(0, "")] * real + fakes):
            file = f"{codec}{'_' if codec else ''}{ORIGINALS[index % 4].format(index)}.wav"
            speech.write(root / folder / file, "spoof" if kind else "bonafide", index)
            lines.append(f"{file} {'fake' if kind else 'real'} {kind}")
        (root / f"label/{name}.txt").write_text("\n".join(lines))
    for folder, entries in FOLDERS.items():
        for index, entry in enumerate(entries):
            file = NAMES[folder].format(entry.replace("NCSSD", "").strip("-_").split("/")[0])
            speech.write(root / folder / entry / file, "spoof", index)
