"""CodecFake+ in miniature: as it lies on Hugging Face, or as its authors have it, and their lists."""

from __future__ import annotations

from pathlib import Path

from miniature.speech import Speech

# Every utterance has a copy of each class of each task: the first is mvq and sem, the second svq, the third sq.
TRIOS = [
    ("SemantiCodec_0.35kbps_16k", "ticodec_1g1r", "sqcodec50dim9"),
    ("xocdec_hubert_general_audio", "ticodec_1g1r", "spectralcodecs"),
]
CLASSES = {
    "SemantiCodec_0.35kbps_16k": "SEM FREQ MVQ",
    "xocdec_hubert_general_audio": "SEM TIME MVQ",
    "ticodec_1g1r": "Disent TIME SVQ",
    "sqcodec50dim9": "Trad TIME SQ",
    "spectralcodecs": "Trad FREQ SQ",
}
# split -> its utterances; numbers on both sides of 250
UTTS = {
    "train": "p225_001 p225_300 p230_002 p230_301 p231_003 p231_250 s5_005 s5_400".split(),
    "dev": "p226_001 p226_251 p229_002 p229_300".split(),
    "test": "p227_001 p227_251 p228_002 p228_300".split(),
}
# model -> its classes on Hugging Face, columns in CoSG_ALL.txt, and in CoSG_SEEN.txt or not
MODELS = {
    "CLAMTTS": ("Mvq None Freq", 4, True),
    "NS3": ("Mvq Disent Time", 5, True),
    "SIMPLESPEECH1": ("Scq None Time", 5, True),
    "TI1G1R": ("Svq Disent Time", 5, True),
    "USLM": ("Mvq Sem Time", 5, True),
    "MASKGCT": ("Mvq None Freq", 5, False),
}
# The task whose classes take turns -> the end of the list's name, and which copy of a trio each utterance gets.
LISTS = {"_bal_vq": (0, 1, 2), "": (2, 0, 1), "_bal_dec": (0, 1)}


def lay_out(speech: Speech, root: Path) -> None:
    """Write the release of Hugging Face, unpacked, and beside it the authors' repository with their lists."""
    _write_cors(speech, root / "CoRS")
    labels = []
    for index, (model, (classes, _, _)) in enumerate(MODELS.items()):
        for number, line in ((1, f"{classes} Spoof"), (2, "Real Real Real bonafide")):
            speech.write(root / f"CoSG/{model}_{number}.wav", line.split()[-1].lower(), index)
            labels.append(f"{model} {model}_{number} {line}\n")
    (root / "CoSG_labels.txt").write_text("".join(labels))
    lines = []
    for utts in UTTS.values():
        for utt in utts:
            speaker = utt.split("_")[0]
            lines.append(f"{speaker} {utt}.wav bonafide\n")
            lines += [f"{speaker} {utt}_{codec}.wav spoof\n" for codec in _trio(utt)]
    (root / "CoRS_labels.txt").write_text("".join(lines))
    write_lists(root / "CodecFake-Source-Tracing/SAST_Net/metadata")


def lay_out_as_authors(speech: Speech, root: Path) -> None:
    """Write the tree that the authors' repository describes, without label files, and the repository's lists."""
    _write_cors(speech, root / "CodecFake+/all_data_16k")
    for index, model in enumerate(MODELS):
        speech.write(root / f"CodecFake+/SLMdemos_16k/{model}/0_ours.wav", "spoof", index)
        speech.write(root / f"CodecFake+/SLMdemos_16k/{model}/0_ref.wav", "bonafide", index)
    write_lists(root / "CodecFake-Source-Tracing/SAST_Net/metadata")


def write_lists(metadata: Path) -> None:
    """Write the twelve lists: pairs of lines in the balanced ones, no newline at the end of two others."""
    (metadata / "training").mkdir(parents=True)
    (metadata / "evaluation").mkdir()
    for split, utts in UTTS.items():
        for ending, turns in LISTS.items():
            lines = []
            for index, utt in enumerate(reversed(utts)):
                codec = _trio(utt)[turns[index % len(turns)]]
                speaker = utt.split("_")[0]
                lines.append(f"{speaker} {utt} - REAL REAL REAL bonafide\n")
                lines.append(f"{speaker} {utt}_{codec} - {CLASSES[codec]} spoof\n")
            (metadata / f"training/{split}_mult_learn{ending}.txt").write_text("".join(lines))
    lines = []
    for utt in UTTS["test"]:
        lines.append(f"{utt[:4]} {utt} - - bonafide")
        lines += [f"{utt[:4]} {utt}_{codec} - - spoof" for codec in _trio(utt)]
    lines[1] += "s"  # as in line 7554 of the original
    (metadata / "evaluation/CoRS_ALL.txt").write_text("\n".join(lines))
    every, seen = [], []
    for model, (classes, columns, known) in MODELS.items():
        for clip, vq, label in (("0_ours", classes.split()[0].upper(), "spoof"), ("0_ref", "REAL", "bonafide")):
            every.append(f"{model} {clip} {'- ' * (columns - 3)}{label}")
            seen += [f"{model} {clip} - {vq.replace('SCQ', 'SQ')} {label}\n"] * known
    (metadata / "evaluation/CoSG_ALL.txt").write_text("\n".join(every))
    (metadata / "evaluation/CoSG_SEEN.txt").write_text("".join(seen))


def _trio(utt: str) -> tuple[str, str, str]:
    return TRIOS[int(utt.split("_")[1]) % 2]


def _write_cors(speech: Speech, folder: Path) -> None:
    for index, utt in enumerate(utt for utts in UTTS.values() for utt in utts):
        speech.write(folder / f"{utt}.wav", "bonafide", index)
        for codec in _trio(utt):
            speech.write(folder / f"{utt}_{codec}.wav", "spoof", index)
