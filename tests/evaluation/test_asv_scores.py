"""ASV scores -> the error rates behind the t-DCF, by attack and condition."""

import numpy as np
import pytest

from spooftrace.common.errors import InputError
from spooftrace.evaluation.asv import read_asv
from spooftrace.metrics import ASVSPOOF5_ASV, AsvErrorRates, asv_error_rates


def written(folder, text, name="scores.txt"):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


RNG = np.random.default_rng(3)
ASV_2021 = [
    (f"LA_{index % 7:04d}-{codec}-tx", f"LA_E_{index}-{codec}-tx", codec, attack, kind, subset, float(RNG.normal()))
    for index, (codec, (attack, kind), subset) in enumerate(
        (codec, attack, subset)
        for codec in ("alaw", "none")
        for attack in (("bonafide", "target"), ("bonafide", "nontarget"), ("A07", "spoof"), ("A08", "spoof"))
        for subset in ("eval", "progress", "eval", "eval", "eval", "progress")
    )
]


@pytest.fixture
def asv_2021(tmp_path):
    folder = tmp_path / "keys" / "LA" / "ASV"
    metadata = "".join(
        f"{speaker} {trial} {codec} tx {attack} {kind} notrim {subset}\n"
        for speaker, trial, codec, attack, kind, subset, _ in ASV_2021
    )
    written(folder, metadata, "trial_metadata.txt")
    scores = "".join(f"{speaker} {trial} {score!r}\n" for speaker, trial, *_, score in reversed(ASV_2021))
    return written(folder / "ASVTorch_Kaldi", scores, "score.txt")


def picked(kind, attack=None, codec=None):
    return [
        score
        for _, _, its_codec, its_attack, its_kind, subset, score in ASV_2021
        if subset == "eval" and its_kind == kind and attack in (None, its_attack) and codec in (None, its_codec)
    ]


def test_asv_rates_of_asvspoof2021_by_attack_and_codec(asv_2021):
    cells = read_asv(asv_2021, "asvspoof2021", "eval")
    for attack, of_attack in (("pooled", None), ("A07", "A07"), ("A08", "A08")):
        for codec, of_codec in (("pooled", None), ("alaw", "alaw"), ("none", "none")):
            bonafide = picked("target", codec=of_codec), picked("nontarget", codec=of_codec)
            expected = asv_error_rates(*bonafide, picked("spoof", of_attack, of_codec))[0]
            assert cells[attack, codec] == expected
    assert cells != read_asv(asv_2021, "asvspoof2021", None)


def test_asv_rates_of_asvspoof2019(tmp_path):
    bonafide = "bonafide target 5\nbonafide target 7\nbonafide nontarget 1\nbonafide nontarget 6\n"
    cells = read_asv(written(tmp_path, bonafide + "A07 spoof 6.5\nA08 spoof 2\n"), "asvspoof2019")
    assert cells == {
        ("pooled", "pooled"): AsvErrorRates(miss=0.0, false_accept=0.5, spoof_accept=0.5),
        ("A07", "pooled"): AsvErrorRates(miss=0.0, false_accept=0.5, spoof_accept=1.0),
        ("A08", "pooled"): AsvErrorRates(miss=0.0, false_accept=0.5, spoof_accept=0.0),
    }


def test_asv_rates_of_the_other_challenges(tmp_path):
    assert read_asv(None, "asvspoof5") == ASVSPOOF5_ASV
    assert isinstance(ASVSPOOF5_ASV, AsvErrorRates)
    assert read_asv(None, "asvspoof2021") is None
    with pytest.raises(InputError, match="ASVspoof 5 fixes the rates"):
        read_asv(tmp_path / "scores.txt", "asvspoof5")


def test_bad_asv_scores(tmp_path, asv_2021):
    for text, message in (
        ("bonafide target 5\nbonafide nontarget 1\n", "no spoof trials"),
        ("bonafide genuine 5\n", r":1: .*'genuine'"),
        ("bonafide target 5\nA07 spoof nan\n", r":2: score 'nan' is not a finite number"),
        ("bonafide target\n", r":1: 2 columns, expected 3"),
    ):
        with pytest.raises(InputError, match=message):
            read_asv(written(tmp_path, text), "asvspoof2019")
    lines = asv_2021.read_text().splitlines(keepends=True)
    for changed, message in (
        (lines[1:], "1 of the 48 trials of .* have no score .*, and 0 scores have no trial"),
        ([*lines, "LA_0001 LA_E_99 1\n"], "0 of the 48 .* and 1 scores have no trial"),
        ([*lines, lines[3]], r"score.txt:49: the trial 'LA_"),
    ):
        asv_2021.write_text("".join(changed))
        with pytest.raises(InputError, match=message):
            read_asv(asv_2021, "asvspoof2021", "eval")
    (asv_2021.parent.parent / "trial_metadata.txt").unlink()
    with pytest.raises(InputError, match=r"no trial_metadata.txt in its folder or the one above"):
        read_asv(asv_2021, "asvspoof2021", "eval")
