"""The evaluate command: pairing by utterance, messages for bad input, what it writes and prints, its options."""

import json
import subprocess
import sys

import pytest
from helpers.commands import run_command

from spooftrace import evaluation
from spooftrace.common.errors import InputError
from spooftrace.datadir import DataDir
from spooftrace.metrics import (
    act_dcf,
    cllr,
    eer,
    min_cllr,
    min_dcf,
)

# utterance -> (label, attack, score); one tie across the classes (b2, s1).
TRIALS = {
    "b1": ("bonafide", "bonafide", 2.0),
    "b2": ("bonafide", "bonafide", 0.5),
    "b3": ("bonafide", "bonafide", 3.0),
    "s1": ("spoof", "A07", 0.5),
    "s2": ("spoof", "A07", -1.0),
    "s3": ("spoof", "A08", 2.5),
    "s4": ("spoof", "A08", -3.0),
}
HEAVY_ONES = "print([m for m in ('torch', 'matplotlib', 'scipy', 'sklearn') if m in sys.modules])"
LINES = [f"{utt} {score}" for utt, (_, _, score) in TRIALS.items()]


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "my data" / "eval"
    DataDir.write(
        folder,
        {
            "utt2spk": {utt: utt for utt in TRIALS},
            "wav.scp": {utt: f"{utt}.wav" for utt in TRIALS},
            "utt2label": {utt: label for utt, (label, _, _) in TRIALS.items()},
            "utt2attack": {utt: attack for utt, (_, attack, _) in TRIALS.items()},
        },
    )
    return folder


@pytest.fixture
def scores(tmp_path):
    path = tmp_path / "scores.txt"
    path.write_text("\n".join(LINES) + "\n")
    return path


def run(*words):
    run_command("evaluate", *words)


def evaluate(data, scores, out, *words):
    run("--data", data, "--scores", scores, "--out", out, *words)
    return json.loads(out.read_text(encoding="utf-8"))


def test_metrics_file(data, scores, tmp_path, capsys):
    metrics = evaluate(data, scores, tmp_path / "exp" / "eval" / "metrics.json")
    bonafide, a07, a08 = [2.0, 0.5, 3.0], [0.5, -1.0], [2.5, -3.0]
    rate, threshold = eer(bonafide, a07 + a08)
    cells = {"A07": eer(bonafide, a07)[0], "A08": eer(bonafide, a08)[0]}
    expected = {
        "task": "detection",
        "convention": "plain",
        "set": "eval",
        "data": data.as_posix(),
        "trials": 7,
        "bonafide": 3,
        "spoof": 4,
        "eer": rate,
        "eer_threshold": threshold,
        "eer_convention": evaluation.EER_CONVENTION,
        "min_dcf": min_dcf(bonafide, a07 + a08)[0],
        "act_dcf": act_dcf(bonafide, a07 + a08)[0],
        "cllr": cllr(bonafide, a07 + a08),
        "min_cllr": min_cllr(bonafide, a07 + a08),
        "cost_convention": evaluation.COST_CONVENTION,
        "pooled": True,
        "ties_across_classes": 2,
        "by_attack": {
            name: {"trials": 5, "bonafide": 3, "spoof": 2, "eer": value} for name, value in cells.items()
        },
        "mean_over_attacks": pytest.approx(sum(cells.values()) / 2),
    }  # fmt: skip
    assert {name: metrics.get(name) for name in expected} == expected
    assert "subset" not in metrics
    printed = capsys.readouterr().out
    assert f"{100 * rate:.3f}" in printed.splitlines()[3]
    assert "A08" in printed
    assert f"minDCF {min_dcf(bonafide, a07 + a08)[0]:.4f}, actDCF" in printed
    assert "2 trials have the same score as a trial of the other class" in printed


def test_order_spacing_and_line_ends_do_not_matter(data, scores, tmp_path):
    expected = evaluate(data, scores, tmp_path / "a.json")
    reordered = [line.replace(" ", "\t") for line in reversed(LINES)]
    scores.write_text("\n\n" + "\r\n".join(reordered), newline="")
    assert evaluate(data, scores, tmp_path / "b.json") == expected


def test_output_bytes_are_the_same_each_time(data, scores, tmp_path):
    evaluate(data, scores, tmp_path / "a.json")
    evaluate(data, scores, tmp_path / "b.json")
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


def test_without_attacks_there_is_only_the_pooled_eer(data, scores, tmp_path):
    (data / "utt2attack").unlink()
    metrics = evaluate(data, scores, tmp_path / "metrics.json")
    assert metrics["by_attack"] == {}
    assert metrics["mean_over_attacks"] is None


def test_flipped_scores_are_reported_and_not_flipped(data, scores, tmp_path, capsys):
    scores.write_text("".join(f"{utt} {-score}\n" for utt, (_, _, score) in TRIALS.items()))
    metrics = evaluate(data, scores, tmp_path / "metrics.json")
    assert metrics["eer"] > 0.5
    assert "nothing was flipped" in metrics["score_sign_warning"]
    assert "WARNING" in capsys.readouterr().err


BAD_SCORES = {
    "missing scores": (LINES[:2] + LINES[6:], r"scores.txt: no score for 4 of the 7 trials .*first: b3, s1, s2\)"),
    "one missing": (LINES[1:], r"no score for 1 of the 7 trials of .*eval \(b1\)"),
    "extra scores": ([*LINES, "x1 0.1", "x2 0.2"], r"scores.txt:8: 2 scored utterances are not trials .*\(x1, x2\)"),
    "duplicate": ([*LINES, "b2 0.5"], r"scores.txt:8: b2 has a score on line 2 already"),
    "not a number": ([*LINES[:3], "s1 high"], r"scores.txt:4: score 'high' of s1 is not a finite number"),
    "digit separator": (["b1 1_0"], r"scores.txt:1: score '1_0' of b1 is not a finite number"),
    "NaN": ([LINES[0], "", "b2 nan"], r"scores.txt:3: score 'nan' of b2 is not a finite number"),
    "infinite": (["b1 -inf"], r"scores.txt:1: score '-inf' of b1 is not a finite number"),
    "too large": (["b1 1e999"], r"scores.txt:1: score '1e999' of b1 is not a finite number"),
    "another class": (
        ["b1 A07 spoof 2.0"] + [f"{utt} - spoof 1" for utt in list(TRIALS)[1:]],
        r"b1 is spoof here, but bo",
    ),
    "too few columns": ([*LINES[:2], "b3"], r"scores.txt:3: expected 2 columns 'utt score', found 1"),
    "too many columns": ([*LINES[:2], "b3 - bonafide 2.0"], r"scores.txt:3: expected 2 columns 'utt score', found 4"),
    "another header": (["speaker score", *LINES], r"scores.txt:1: score 'score' of speaker is not a finite number"),
    "empty": ([], r"no score for 7 of the 7 trials"),
}


@pytest.mark.parametrize("case", BAD_SCORES)
def test_bad_score_files(data, scores, tmp_path, case):
    lines, message = BAD_SCORES[case]
    scores.write_text("".join(f"{line}\n" for line in lines))
    with pytest.raises(InputError, match=message) as error:
        evaluate(data, scores, tmp_path / "metrics.json")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "metrics.json").exists()


def test_score_file_that_is_not_text(data, scores, tmp_path):
    scores.write_bytes(b"b1 0.5\nb2 \xff\xfe\n")
    with pytest.raises(InputError, match=r"scores.txt:2: not UTF-8 text"):
        evaluate(data, scores, tmp_path / "metrics.json")


def test_missing_files(data, scores, tmp_path):
    with pytest.raises(InputError, match=r"nowhere.txt: no such score file"):
        evaluate(data, tmp_path / "nowhere.txt", tmp_path / "metrics.json")
    with pytest.raises(InputError, match=r"dev/utt2label: no such file"):
        evaluate(data.parent / "dev", scores, tmp_path / "metrics.json")


BAD_TABLES = {
    "unknown label": ("utt2label", "s2 spoof", "s2 deepfake", r"utt2label:5: label 'deepfake' of s2 is neither"),
    "no bona fide": ("utt2label", " bonafide", " spoof", r"utt2label: no bona fide trial"),
    "no spoof": ("utt2label", " spoof", " bonafide", r"utt2label: no spoof trial"),
    "attack missing": ("utt2attack", "s2 A07\n", "", r"utt2attack: no attack for 1 spoof trials \(s2\)"),
    "duplicate trial": ("utt2label", "s2 spoof\n", "s2 spoof\ns2 spoof\n", r"utt2label:6: .*s2"),
}


@pytest.mark.parametrize("case", BAD_TABLES)
def test_bad_data_directories(data, scores, tmp_path, case):
    name, old, new, message = BAD_TABLES[case]
    text = (data / name).read_text()
    assert old in text
    (data / name).write_text(text.replace(old, new))
    with pytest.raises(InputError, match=message):
        evaluate(data, scores, tmp_path / "metrics.json")


def test_every_layout_gives_the_same_metrics(data, scores, tmp_path):
    expected = evaluate(data, scores, tmp_path / "expected.json")
    layouts = {
        "asvspoof2019": [f"{utt} {attack} {label} {score}" for utt, (label, attack, score) in TRIALS.items()],
        "asvspoof5": ["filename\tcm-score", *(line.replace(" ", "\t") for line in LINES)],
        "with endings": [line.replace(" ", ".flac ") for line in LINES],
    }
    for lines in layouts.values():
        scores.write_text("\n".join(lines))
        assert evaluate(data, scores, tmp_path / "metrics.json") == expected
    scores.write_text("\n".join(layouts["asvspoof2019"]))
    run("--scores", scores, "--out", tmp_path / "metrics.json", "--format", "plain")
    own_key = json.loads((tmp_path / "metrics.json").read_text())
    assert own_key | {"data": None, "set": None} == expected | {"data": None, "set": None}


def test_without_an_output_file_the_figures_are_printed(data, scores, capsys):
    run("--data", data, "--scores", scores)
    assert capsys.readouterr().out.startswith("eval: 7 trials (3 bona fide, 4 spoof)\n")


@pytest.mark.parametrize("words", [[], ["--format", "asvspoof5", "--tables", "{folder}"]])
def test_the_whole_command_goes_without_heavy_modules(data, scores, tmp_path, words):
    words = [
        "evaluate",
        "--data",
        str(data),
        "--scores",
        str(scores),
        *(word.format(folder=tmp_path) for word in words),
    ]
    code = f"import sys; from spooftrace.cli.main import main; assert main({words!r}) == 0\n{HEAVY_ONES}"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("module", ["spooftrace.evaluation", "spooftrace.evaluation.calibrate", "spooftrace.report"])
def test_importing_the_stage_loads_nothing_heavy(module):
    code = f"import sys, {module}\n{HEAVY_ONES}"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
