"""In-the-Wild in miniature."""

from __future__ import annotations

from pathlib import Path

from miniature.speech import Speech

SPEAKERS = ["Bernie Sanders", "Calvin Coolidge", "Donald Trump", "Arnold Schwarzenegger", "John F. Kennedy"]


def lay_out(speech: Speech, root: Path) -> None:
    """Write ``release_in_the_wild`` below ``root``: ``meta.csv`` among the audio files."""
    folder = root / "release_in_the_wild"
    lines = ["file,speaker,label\n"]
    for index in range(28):
        label = "bona-fide" if index % 7 < 3 else "spoof"
        speech.write(folder / f"{index}.wav", label.replace("-", ""), index)
        lines.append(f"{index}.wav,{SPEAKERS[index % len(SPEAKERS)]},{label}\n")
    (folder / "meta.csv").write_text("".join(lines))
