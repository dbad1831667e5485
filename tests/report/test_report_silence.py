"""Share of silence against F1 over the models of a test set: both by hand, and their correlation against scipy's."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import pearsonr, spearmanr

from spooftrace.common.errors import InputError
from spooftrace.datadir import DataDir
from spooftrace.evaluation.attribution import evaluate_attribution
from spooftrace.report.silence import correlation, f1_by_model, report_silence, silence_by_model

CLASSES = ("real", "mvq", "svq", "sq")
# model -> class of its spoofs, seconds of a clip, seconds of it without silence
MODELS = {"VALLE": ("mvq", 4.0, 3.0), "TI1G1R": ("svq", 2.0, 1.0), "NS2": ("mvq", 5.0, 4.5), "SIMPLE": ("sq", 8.0, 2.0)}
CLIPS = 4  # of each model; the first two are bona fide


def made_up(folder, models=MODELS):
    """``cosg_all`` and its trimmed copy, as data directories."""
    rows = [
        (f"{model}/{number}", model, kind if number >= CLIPS // 2 else "real", *seconds)
        for model, (kind, *seconds) in models.items()
        for number in range(CLIPS)
    ]
    common = {
        "utt2spk": {row[0]: "-" for row in rows},
        "utt2label": {row[0]: "bonafide" if row[2] == "real" else "spoof" for row in rows},
        "utt2attack": {row[0]: "-" if row[2] == "real" else row[1] for row in rows},
        "utt2model": {row[0]: row[1] for row in rows},
        "utt2vq": {row[0]: row[2] for row in rows},
    }
    for name, column in (("cosg_all", 3), ("cosg_all_trim", 4)):
        durations = {"utt2dur": {row[0]: str(row[column]) for row in rows}}
        DataDir.write(folder / name, common | durations)
    return folder / "cosg_all"


def decide(exp, data, wrong=(), table="utt2vq", classes=CLASSES, name="scores.txt"):
    """A system that knows the class of each clip but of ``wrong``, evaluated."""
    truth = DataDir.read(data).table(table)
    lines = ["\t".join(["utt", *classes])]
    for utt, label in truth.items():
        said = classes[(classes.index(label) + 1) % len(classes)] if utt in wrong else label
        lines.append("\t".join([utt, *("2.5" if one == said else "-1" for one in classes)]))
    scores = exp / data.name / name
    scores.parent.mkdir(parents=True, exist_ok=True)
    scores.write_text("\n".join(lines) + "\n")
    metrics = "metrics.json" if name == "scores.txt" else name.replace("scores", "metrics").replace(".txt", ".json")
    (scores.parent / metrics).write_text(json.dumps(evaluate_attribution(data, scores, table)))
    return scores


def read_tsv(path):
    header, *rows = [line.split("\t") for line in path.read_text().splitlines()]
    return [dict(zip(header, row, strict=True)) for row in rows]


def test_share_of_silence_is_that_of_all_clips_of_a_model(tmp_path):
    data = made_up(tmp_path)
    for name, seconds in (("cosg_all", "12.0"), ("cosg_all_trim", "1.0")):
        tables = DataDir.read(tmp_path / name).tables
        DataDir.write(tmp_path / name, tables | {"utt2dur": tables["utt2dur"] | {"VALLE/0": seconds}})
    trimmed = tmp_path / "cosg_all_trim"
    (trimmed / "no_speech.txt").write_text("NS2/1\nNS2/3\n")
    found = silence_by_model(data, trimmed)
    assert {model: one.share for model, one in found.items()} == pytest.approx(
        {"VALLE": 1 - 10 / 24, "TI1G1R": 0.5, "NS2": 0.1, "SIMPLE": 0.75}
    )
    assert (found["NS2"].clips, found["NS2"].seconds) == (CLIPS, 20)
    assert {model: one.without_speech for model, one in found.items() if one.without_speech} == {"NS2": 2}


def test_f1_of_a_model_is_of_its_own_clips_bona_fide_ones_too(tmp_path):
    data = made_up(tmp_path)
    # One of two bona fide clips is taken for mvq: recall of real 1/2, F1 2/3; precision of mvq 2/3, F1 4/5.
    found = f1_by_model(data, decide(tmp_path / "exp", data, wrong=["VALLE/0"]), "utt2vq")
    assert found == pytest.approx({"VALLE": (2 / 3 + 4 / 5) / 2, "TI1G1R": 1, "NS2": 1, "SIMPLE": 1})
    # Its spoofs are taken for svq, all of them.
    found = f1_by_model(data, decide(tmp_path / "exp", data, wrong=["NS2/2", "NS2/3"]), "utt2vq")
    assert found == pytest.approx({"VALLE": 1, "TI1G1R": 1, "NS2": 1 / 2, "SIMPLE": 1})


def test_clips_of_a_class_that_the_system_does_not_know_are_left_out(tmp_path):
    data = made_up(tmp_path)
    scores = decide(tmp_path / "exp", data)
    lines = [line.rsplit("\t", 1)[0] for line in scores.read_text().splitlines()]  # without sq
    scores.write_text("\n".join(lines) + "\n")
    assert f1_by_model(data, scores, "utt2vq") == {"VALLE": 1, "TI1G1R": 1, "NS2": 1, "SIMPLE": 1}


POINTS = st.lists(st.tuples(*[st.integers(0, 6)] * 2), min_size=2, max_size=9)


@settings(max_examples=20)
@given(points=POINTS)
def test_correlation(points):
    x, y = np.array(points, float).T
    found = correlation(x, y)
    if len(x) < 3 or len(set(x)) == 1 or len(set(y)) == 1:
        assert np.isnan(found.pearson) and np.isnan(found.spearman_p) and "no correlation" in str(found)
        return
    assert found.pearson == pytest.approx(pearsonr(x, y).statistic, abs=1e-9)
    assert found.spearman == pytest.approx(spearmanr(x, y).statistic, abs=1e-9)
    assert all(0 < p <= 1 for p in (found.pearson_p, found.spearman_p))
    turned = correlation(x, -y)
    assert (turned.pearson, turned.spearman) == pytest.approx((-found.pearson, -found.spearman))


def test_p_values_are_of_random_pairings():
    x = np.arange(5.0)
    assert correlation(x, x**3).spearman_p == pytest.approx(2 / 120)  # the pairing itself and its reverse, of 5!
    rng = np.random.default_rng(2)
    many = [correlation(rng.random(12), rng.random(12)).pearson_p for _ in range(20)]
    assert 0.3 < np.mean(many) < 0.7  # where there is nothing they are uniform
    assert correlation(np.arange(17), np.arange(17) + rng.random(17)).pearson_p < 0.001


def test_points_without_an_f1_are_left_out():
    assert correlation([1, 2, 3, 4], [1, np.nan, 3, 5]) == correlation([1, 3, 4], [1, 3, 5])
    with pytest.raises(ValueError, match="3 and 2 values"):
        correlation([1, 2, 3], [1, 2])


def test_report(tmp_path):
    data, exp, figures = made_up(tmp_path), tmp_path / "an exp", tmp_path / "figures"
    for seed, wrong in ((1, ["SIMPLE/2", "SIMPLE/3"]), (2, ["SIMPLE/2", "SIMPLE/3", "TI1G1R/2", "TI1G1R/3"])):
        folder = exp / f"s_vq_s{seed}"
        decide(folder, data, wrong)
        (folder / "run.json").write_text(json.dumps({"system": "s_vq", "seed": seed}))
        (folder / "config.yaml").write_text(f"seed_everything: {seed}\n")
    decide(exp / "perfect_s1", data)
    lines = report_silence(data, exp, figures)
    assert "10.0% to 75.0% of 4 models" in lines[0] and "0 clips without detected speech" in lines[0]
    assert lines[1].startswith("perfect_s1: silence against weighted F1, 4 models, no correlation")
    assert lines[2].startswith("s_vq: silence against weighted F1, 4 models, Pearson -0.9")
    rows = read_tsv(figures / "silence_share.tsv")
    assert [row["model"] for row in rows] == ["NS2", "VALLE", "TI1G1R", "SIMPLE"]
    assert [row["silence"] for row in rows] == ["0.1000", "0.2500", "0.5000", "0.7500"]
    assert [row["weighted_f1 s_vq"] for row in rows] == ["1.0000", "1.0000", "0.7500", "0.3333"]  # mean of the seeds
    (_, found) = read_tsv(figures / "silence_correlation.tsv")
    expected = pearsonr([0.1, 0.25, 0.5, 0.75], [1, 1, 0.75, 1 / 3]).statistic
    assert (found["system"], float(found["pearson"])) == ("s_vq", pytest.approx(expected, abs=1e-4))
    first = (figures / "silence_share.png").read_bytes()
    assert first.startswith(b"\x89PNG")
    assert report_silence(data, exp, figures) == lines
    assert (figures / "silence_share.png").read_bytes() == first


def test_each_head_of_a_system_has_its_own_scores(tmp_path):
    data, exp = made_up(tmp_path), tmp_path / "exp"
    tables = DataDir.read(data).tables
    other = {utt: "real" if label == "real" else "time" for utt, label in tables["utt2vq"].items()}
    for name in ("cosg_all", "cosg_all_trim"):
        DataDir.write(tmp_path / name, DataDir.read(tmp_path / name).tables | {"utt2dec": other})
    decide(exp / "m1_s1", data, ["NS2/0"], name="scores_vq.txt")
    decide(exp / "m1_s1", data, ["VALLE/0"], "utt2dec", ("real", "time", "freq"), name="scores_dec.txt")
    report_silence(data, exp, tmp_path)
    rows = {row["model"]: row for row in read_tsv(tmp_path / "silence_share.tsv")}
    assert float(rows["NS2"]["weighted_f1 m1_s1 utt2vq"]) < 1 == float(rows["NS2"]["weighted_f1 m1_s1 utt2dec"])
    assert float(rows["VALLE"]["weighted_f1 m1_s1 utt2dec"]) < 1 == float(rows["VALLE"]["weighted_f1 m1_s1 utt2vq"])


def test_without_source_tracers_there_is_one_line_more(tmp_path):
    data, exp = made_up(tmp_path), tmp_path / "exp"
    elsewhere = made_up(tmp_path / "other").rename(tmp_path / "test_vq")
    decide(exp / "s_vq_s1", elsewhere)
    lines = report_silence(data, exp, tmp_path / "figures")
    assert len(lines) == 2 and "no attribution system was evaluated on cosg_all" in lines[1]
    assert not (tmp_path / "figures").exists()


def test_bad_input(tmp_path):
    data = made_up(tmp_path)
    trimmed = tmp_path / "cosg_all_trim"
    with pytest.raises(InputError, match="no such data directory"):
        silence_by_model(data, tmp_path / "none")
    (data / "utt2model").rename(tmp_path / "utt2model")
    with pytest.raises(InputError, match="utt2model: no such file"):
        silence_by_model(data, trimmed)
    (tmp_path / "utt2model").rename(data / "utt2model")
    made_up(tmp_path / "less", {name: MODELS[name] for name in ("VALLE", "NS2", "SIMPLE")})
    with pytest.raises(InputError, match=r"not a copy of .*'TI1G1R/0' is in only one of them; run stage 2 again"):
        silence_by_model(data, tmp_path / "less/cosg_all_trim")
