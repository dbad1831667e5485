"""Codecfake (Xie et al.) in miniature."""

from __future__ import annotations

from pathlib import Path

from miniature.speech import Speech

ORIGINALS = ("SSB1365{:04d}", "SSB0005{:04d}", "p225_{:03d}", "p303_{:03d}")
# set -> real files, classes of the fake ones
SETS = {
    "train": (8, [1, 2, 3, 4, 5, 6] * 3),
    "dev": (4, [1, 2, 3, 4, 5, 6]),
    **{f"C{number}": (1, [number]) for number in range(1, 7)},
    "C7": (2, [7, 7]),
    "A1": (1, [1]),
    "A2": (1, [2]),
    "A3": (1, [3]),
}


def lay_out(speech: Speech, root: Path) -> None:
    """Write ``Codecfake`` below ``root``; fake lines of codecs end in a blank, and one file has no label."""
    root = root / "Codecfake"
    (root / "label").mkdir(parents=True)
    for name, (real, classes) in SETS.items():
        audio = root / name if name in ("train", "dev") else root / "test" / name
        lines = []
        for index, kind in enumerate([0] * real + classes):
            original = ORIGINALS[index % 4].format(index)
            label = "fake" if kind else "real"
            prefix = f"F{kind:02d}_" if kind and name[0] != "A" else ""
            speech.write(audio / f"{prefix}{original}.wav", "spoof" if kind else "bonafide", index)
            lines.append(f"{prefix}{original}.wav {label} {kind}{' ' if prefix else ''}\n")
        (root / f"label/{name}.txt").write_text("".join(lines))
    speech.write(root / "dev/SSB99990001.wav", "bonafide", 0)
