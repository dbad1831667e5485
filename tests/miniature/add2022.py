"""ADD 2022 in miniature: train, dev and one of the sets with labels."""

from __future__ import annotations

from pathlib import Path

from miniature.speech import Speech

# set -> label file, audio folder, letter in the file names, genuine and fake files
SETS = {
    "train": ("ADD_train_dev/label/train_label.txt", "ADD_train_dev/train", "T", 8, 16),
    "dev": ("ADD_train_dev/label/dev_label.txt", "ADD_train_dev/dev", "D", 6, 10),
    "track1_adapt": ("track1adp_out/label.txt", "track1adp_out", "A", 6, 10),
}


def lay_out(speech: Speech, root: Path) -> None:
    """Write the sets below ``root``; labels and audio are in one folder for ``track1_adapt``."""
    for labels, audio, letter, genuine, fake in SETS.values():
        lines = []
        for index in range(genuine + fake):
            label = "genuine" if index < genuine else "fake"
            file = f"ADD_{letter}_{index:08d}.wav"
            speech.write(root / audio / file, "bonafide" if label == "genuine" else "spoof", index)
            lines.append(f"{file} {label}\n")
        (root / labels).parent.mkdir(parents=True, exist_ok=True)
        (root / labels).write_text("".join(lines))
