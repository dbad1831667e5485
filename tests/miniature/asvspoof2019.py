"""ASVspoof 2019 LA in miniature."""

from __future__ import annotations

from pathlib import Path

from miniature.speech import Speech

# set -> letter in the ids, end of the protocol's name, bona fide utterances, spoofed ones, attacks
SETS = {
    "train": ("T", "trn", 8, 16, ["A01", "A02", "A03", "A04", "A05", "A06"]),
    "dev": ("D", "trl", 6, 12, ["A01", "A02", "A03", "A04", "A05", "A06"]),
    "eval": ("E", "trl", 8, 26, [f"A{number:02d}" for number in range(7, 20)]),
}


def lay_out(speech: Speech, root: Path) -> None:
    """Write ``LA`` below ``root``: protocols, FLAC files, and enrolment speech that is in no protocol."""
    protocols = root / "LA/ASVspoof2019_LA_cm_protocols"
    protocols.mkdir(parents=True)
    for name, (letter, ending, bonafide, spoof, attacks) in SETS.items():
        audio = root / f"LA/ASVspoof2019_LA_{name}/flac"
        lines = []
        for index in range(bonafide + spoof):
            label = "bonafide" if index < bonafide else "spoof"
            attack = "-" if label == "bonafide" else attacks[index % len(attacks)]
            utt = f"LA_{letter}_{1000000 + 37 * index}"
            speech.write(audio / f"{utt}.flac", label, index)
            lines.append(f"LA_{index % 4:04d} {utt} - {attack} {label}\n")
        (protocols / f"ASVspoof2019.LA.cm.{name}.{ending}.txt").write_text("".join(lines))
    speech.write(root / "LA/ASVspoof2019_LA_dev/flac/LA_D_9999999.flac", "bonafide", 0)
