"""ASVspoof 2021 LA and DF in miniature."""

from __future__ import annotations

from pathlib import Path

from miniature.speech import Speech

LA_CODECS = ["none", "alaw", "pstn", "g722", "ulaw", "gsm", "opus"]
DF_CODECS = "nocodec low_mp3 high_mp3 low_m4a high_m4a low_ogg high_ogg mp3m4a oggm4a".split()
SUBSETS = ["eval", "eval", "eval", "progress", "hidden"]
# source, attack, vocoder, the columns about the Voice Conversion Challenge
DF_SPOOFS = [
    ("asvspoof", "A14", "traditional_vocoder", "- - - -"),
    ("vcc2018", "N08", "waveform_concatenation", "HUB N08 MF E"),
    ("vcc2020", "Task1-team20", "neural_vocoder_nonautoregressive", "Task1 team20 FF E"),
    ("vcc2020", "Task2-team12", "neural_vocoder_autoregressive", "Task2 team12 FF G"),
]


def la_lines(bonafide: int = 10, spoof: int = 20) -> list[tuple[str, str, str]]:
    """(utterance, label, line of the key) of each trial."""
    trials = []
    for index in range(bonafide + spoof):
        label = "bonafide" if index < bonafide else "spoof"
        attack = "bonafide" if index < bonafide else f"A{7 + index % 13:02d}"
        subset = SUBSETS[index % len(SUBSETS)]
        sent = ["ita_tx", "sin_tx", "loc_tx", "mad_tx"][index % 4]
        utt, codec = f"LA_E_{9332881 - 53 * index}", LA_CODECS[index % len(LA_CODECS)]
        trim = "trim" if subset == "hidden" else "notrim"
        trials.append((utt, label, f"LA_{index % 6:04d} {utt} {codec} {sent} {attack} {label} {trim} {subset}\n"))
    return trials


def df_lines(bonafide: int = 10, spoof: int = 20) -> list[tuple[str, str, str]]:
    """(utterance, label, line of the key) of each trial."""
    trials = []
    for index in range(bonafide + spoof):
        label = "bonafide" if index < bonafide else "spoof"
        source, attack, vocoder, vcc = DF_SPOOFS[index % len(DF_SPOOFS)]
        if label == "bonafide":
            attack, vocoder = "bonafide", "bonafide"
        subset = SUBSETS[index % len(SUBSETS)]
        speaker = f"LA_{index % 6:04d}" if source == "asvspoof" else f"TEF{index % 3 + 1}"
        utt, codec = f"DF_E_{2000011 + 13 * index}", DF_CODECS[index % len(DF_CODECS)]
        trim = "trim" if subset == "hidden" else "notrim"
        line = f"{speaker} {utt} {codec} {source} {attack} {label} {trim} {subset} {vocoder} {vcc}\n"
        trials.append((utt, label, line))
    return trials


def lay_out(speech: Speech, root: Path) -> None:
    """Write both evaluation sets and their keys below ``root``, and the list of ids that each set comes with."""
    for track, trials in (("LA", la_lines()), ("DF", df_lines())):
        folder = root / f"ASVspoof2021_{track}_eval"
        for index, (utt, label, _) in enumerate(trials):
            speech.write(folder / f"flac/{utt}.flac", label, index)
        (folder / f"ASVspoof2021.{track}.cm.eval.trl.txt").write_text("".join(f"{utt}\n" for utt, _, _ in trials))
        key = root / f"keys/{track}/CM/trial_metadata.txt"
        key.parent.mkdir(parents=True)
        key.write_text("".join(line for _, _, line in trials))
