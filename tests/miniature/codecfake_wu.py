"""CodecFake (Wu et al.) in miniature: unpacked zips and the list."""

from __future__ import annotations

from pathlib import Path

from miniature.speech import Speech

# codec -> its sampling rate
CODECS = {
    "encodec_24khz": 24000,
    "descript-audio-codec-44khz": 44100,
    "funcodec-funcodec_en_libritts-16k-nq32ds320": 16000,
}
UTTS = "p225_001 p225_002 p230_003 p230_004 p231_005 p231_006 s5_007 s5_008 p226_001 p229_002 p227_001 p228_002".split()


def lay_out(speech: Speech, root: Path) -> None:
    """Write a folder for each codec, one for genuine speech, and ``datalist.csv``, which has a demo clip too."""
    rows = []
    for codec, rate in {"genuine": 16000, **CODECS}.items():
        label = "bonafide" if codec == "genuine" else "spoof"
        for index, utt in enumerate(UTTS):
            speech.write(root / f"{codec}/{codec}+{utt}.wav", label, index, rate)
            rows.append(f"{codec}/{codec}+{utt}.wav,{codec},{utt.split('_')[0]},{codec}\n")
    speech.write(root / "valle/237 134500 0000.wav", "spoof", 1)
    rows.append("valle/237 134500 0000.wav,valle,237,valle\n")
    (root / "datalist.csv").write_text("wavpath,label,speaker_id,codec_name\n" + "".join(rows))
