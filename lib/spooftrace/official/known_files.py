"""Official files that are identified by their SHA-256, with information that the files lack.

They are in the GitHub repositories at the commits below. Shapes do not determine the training data: the baseline of
ASVspoof 5 has the shapes of AASIST. The training data of files that are not in this table are unknown.
"""

from __future__ import annotations

from dataclasses import dataclass

ASVSPOOF2019 = "ASVspoof 2019 LA"


@dataclass(frozen=True)
class KnownFile:
    """An official file.

    Attributes:
        system: Name as in ``conf/systems``; None if spooftrace does not have the system.
        title: Title in reports.
        repository: Repository on GitHub, with the commit.
        path: Path in the repository.
        trained_on: Training data.
    """

    system: str | None
    title: str
    repository: str
    path: str
    trained_on: str


_CLOVAAI = "clovaai/aasist @a04c9863f63d"
_CODECFAKE = "xieyuankun/Codecfake @72c32e2840ee"
_CTRSVDD = "SVDDChallenge/CtrSVDD2024_Baseline @d8ac95660d91"


def _codecfake(system: str | None, folder: str, title: str, trained_on: str) -> KnownFile:
    path = f"pretrained_model/{folder}/anti-spoofing_feat_model.pt"
    return KnownFile(system, f"{title} of Codecfake", _CODECFAKE, path, trained_on)


KNOWN_FILES = {
    "51d2d9cf0738172f61e2a384ec50a54a55363240f67c971ed55a92435bc1a1c0": KnownFile(
        "aasist", "AASIST", _CLOVAAI, "models/weights/AASIST.pth", ASVSPOOF2019
    ),
    "814331d088032bb4c3fa61cc014789eadeed464209dd094ab3a2dd6ffbdce27a": KnownFile(
        "aasist_l", "AASIST-L", _CLOVAAI, "models/weights/AASIST-L.pth", ASVSPOOF2019
    ),
    "8f10fe1d1ce3ac62c19f00b86dfaf79f86f464301d23e08726b16b02edbb601c": KnownFile(
        "aasist",
        "AASIST, baseline of ASVspoof 5",
        "asvspoof-challenge/asvspoof5 @fe23d3053a08",
        "Baseline-AASIST/models/weights/AASIST/best.pth",
        "ASVspoof 5",
    ),
    "5a606d1fbd578dbd214471cead283c236f4204c54d602e945924b3594f8c25a3": _codecfake(
        "w2v2_aasist", "codec_w2v2aasist", "W2V2-AASIST, codec-trained,", "Codecfake"
    ),
    "86876e2c0eb98d6e60ecf2f1139112206adf47b1562aee72530d0c22e04c644a": _codecfake(
        "w2v2_aasist", "cotrain_w2v2aasist_CSAM", "W2V2-AASIST, co-trained with CSAM,", f"Codecfake and {ASVSPOOF2019}"
    ),
    "02a002ff2c9162d164316aa372feb57525cbd572f1689735500320ceff1f3caa": _codecfake(
        "w2v2_aasist", "vocoder_w2v2aasist", "W2V2-AASIST, vocoder-trained,", ASVSPOOF2019
    ),
    "d8b240a5d50782cf39780bb0ed4c75652cc405fb7aa0aeb1b433bf38faba5f43": _codecfake(
        None, "codec_mellcnn", "Mel-LCNN, codec-trained,", "Codecfake"
    ),
    "330c1993860c4141d0aa9a2818718d238240908e324b5cdda9756f0122011431": _codecfake(
        None, "vocoder_mellcnn", "Mel-LCNN, vocoder-trained,", ASVSPOOF2019
    ),
    "d0cefa459b32fa5aa16731b2255c61f2392993d4bdc9302040526f072d009a47": KnownFile(
        None, "raw-waveform baseline of CtrSVDD", _CTRSVDD, "weights/raw_model_weights.pt", "CtrSVDD, labels flipped"
    ),
    "ff01466af970816ca36bfbccc8faaff60e05304fbb758bc2a4fdcef162d85fa0": KnownFile(
        None, "LFCC baseline of CtrSVDD", _CTRSVDD, "weights/lfcc_model_weights.pt", "CtrSVDD, labels flipped"
    ),
}
