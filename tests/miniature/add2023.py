"""ADD 2023 in miniature: Track 1.2 (train, second test round) and Track 3."""

from __future__ import annotations

from pathlib import Path

from miniature.speech import Speech

# folder of the label file and of wav, beginning of the file names, labels
SETS = {
    "t12_train": ("Track1.2/train", "ADD2023_T1.2_T", ["genuine", "fake", "fake"] * 4),
    "t12_eval_r2": ("Track1.2/testR2", "ADD2023_T1.2R2_E", ["fake", "genuine"] * 4),
    "t3_train": ("Track3/train", "ADD2023_T3_T", [str(number) for number in range(7)] * 2),
    "t3_dev": ("Track3/dev", "ADD2023_T3_D", [str(number) for number in range(7)]),
    "t3_eval": ("Track3/eval", "ADD2023_T3_E", [str(number) for number in range(8)]),
}


def lay_out(speech: Speech, root: Path) -> None:
    """Write the sets below ``root``."""
    for name, (folder, beginning, labels) in SETS.items():
        lines = []
        for index, label in enumerate(labels):
            file = f"{beginning}_{index:08d}.wav"
            bonafide = label in ("genuine", "0")
            speech.write(root / folder / "wav" / file, "bonafide" if bonafide else "spoof", index)
            lines.append(f"{file} {label}\n")
        path = root / ("Track3/label" if name in ("t3_train", "t3_dev") else folder) / "label.txt"
        if path.parent.name == "label":
            path = path.with_name(f"{name.removeprefix('t3_')}.txt")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(lines))
