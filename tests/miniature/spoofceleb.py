"""SpoofCeleb in miniature."""

from __future__ import annotations

from pathlib import Path

from miniature.speech import Speech

# set -> attacks after the bona fide a00, each with this many utterances
SETS = {"train": (["a01", "a02"], 8), "development": (["a06"], 8), "evaluation": (["a07", "a23"], 6)}


def lay_out(speech: Speech, root: Path) -> None:
    """Write ``spoofceleb`` below ``root``; every attack speaks the same utterances."""
    metadata = root / "spoofceleb/metadata"
    metadata.mkdir(parents=True)
    for number, (name, (attacks, count)) in enumerate(SETS.items()):
        lines = ["file,speaker,attack\n"]
        for attack in ["a00", *attacks]:
            for index in range(count):
                speaker = f"id1{number}{300 + index % 4}"
                file = f"{attack}/{speaker}/YYsxcZ5s-{index:05d}-006.flac"
                label = "bonafide" if attack == "a00" else "spoof"
                speech.write(root / "spoofceleb/flac" / name / file, label, index)
                lines.append(f"{file},{speaker},{attack}\n")
        (metadata / f"{name}.csv").write_text("".join(lines))
