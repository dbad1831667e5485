"""ASVspoof 5 in miniature: Track 1, the lists of Track 2, and enrolment speech that is in no Track 1 protocol."""

from __future__ import annotations

from pathlib import Path

from miniature.speech import Speech

# set -> protocol, audio folder, bona fide utterances, spoofed ones, first attack, last one
SETS = {
    "train": ("train", "flac_T", 8, 16, 1, 8),
    "dev": ("dev.track_1", "flac_D", 6, 8, 9, 16),
    "eval": ("eval.track_1", "flac_E_eval", 8, 16, 17, 32),
}
# CODEC, CODEC_Q of the eval utterances in turn
CODINGS = [("-", "0"), ("C01", "3"), ("C04", "5"), ("C07", "2"), ("C11", "8")]
# As in the release: unpadded ids, misspelt names, blanks at the end, ranges, a second table, no newline at the end.
CODEC_CONFIG = """ID,CODEC,CODEC_Q,Bitrate(kbps)
C1,opus_wb,3,18
C2,arm_wb,1,6.6
C4,encodec_wb,5,24
C5,mp3_wb,1,45-85
C7,mp3_encodec_wb,1,See combination below
C7,mp3_encodec_wb,2,See combination below
C9,arm_nb,1,4.75
C11,MST ,1,-
C11,SGS23U_bluetooth ,8,-
,,,
C7 CODEC_Q,MP3 quality,encodec quality,
1,1,1,
2,1,2,
2,2,1,"""


def lay_out(speech: Speech, root: Path) -> None:
    """Write audio folders and ``ASVspoof5_protocols`` below ``root``."""
    protocols = root / "ASVspoof5_protocols"
    protocols.mkdir(parents=True)
    for name, (protocol, folder, bonafide, spoof, first, last) in SETS.items():
        letter, lines, trials = name[0].upper(), [], []
        if name == "eval":
            letter = "E"
        for index in range(bonafide + spoof):
            label = "bonafide" if index < bonafide else "spoof"
            attack = "bonafide" if index < bonafide else f"A{first + index % (last - first + 1):02d}"
            tag = "-" if index < bonafide else f"AC{1 + index % 3}"
            utt, speaker, gender = f"{letter}_{11 * index:010d}", f"{letter}_{4000 + index % 4}", "FM"[index % 2]
            codec, quality = CODINGS[index % len(CODINGS)] if name == "eval" else ("-", "-")
            seed = "-" if codec == "-" else f"{letter}_{11 * (index - index % len(CODINGS)):010d}"
            speech.write(root / folder / f"{utt}.flac", label, index)
            lines.append(f"{speaker} {utt} {gender} {codec} {quality} {seed} {tag} {attack} {label} -\n")
            key = "spoof" if label == "spoof" else "target"
            trials.append(f"{speaker} {utt} {gender} {attack} {key}\n")
            if label == "bonafide":
                trials.append(f"{letter}_{4000 + (index + 1) % 4} {utt} {gender} {attack} nontarget\n")
        (protocols / f"ASVspoof5.{protocol}.tsv").write_text("".join(lines))
        if name == "train":
            continue
        enroll = []
        for speaker in range(4):
            utts = [f"{letter}_A{10 * speaker + part:09d}" for part in range(3 if speaker == 1 else 1)]
            enroll.append(f"{letter}_{4000 + speaker} {','.join(utts)}\n")
            for utt in utts:
                speech.write(root / folder / f"{utt}.flac", "bonafide", speaker)
        (protocols / f"ASVspoof5.{name}.track_2.trial.tsv").write_text("".join(trials))
        (protocols / f"ASVspoof5.{name}.track_2.enroll.tsv").write_text("".join(enroll))
    (protocols / "ASVspoof5.codec.config.csv").write_text(CODEC_CONFIG)
