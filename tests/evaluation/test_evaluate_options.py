"""Options of the evaluate command: keys and subsets, ASV scores, tables, export, intervals, the other tasks."""

import json

import numpy as np
import pytest
from helpers.commands import run_command

from spooftrace import evaluation
from spooftrace.common.errors import InputError
from spooftrace.evaluation.uncertainty import UNITS
from spooftrace.metrics import AsvErrorRates, eer, legacy_weights, min_tdcf, revised_weights
from spooftrace.metrics.intervals import bootstrap_interval, paired_difference

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


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "my data" / "eval"
    folder.mkdir(parents=True)
    for name, column in (("utt2label", 0), ("utt2attack", 1)):
        (folder / name).write_text("".join(f"{utt} {trial[column]}\n" for utt, trial in TRIALS.items()))
    return folder


@pytest.fixture
def scores(tmp_path):
    path = tmp_path / "scores.txt"
    path.write_text("".join(f"{utt} {score}\n" for utt, (_, _, score) in TRIALS.items()))
    return path


def run(*words):
    run_command("evaluate", *words)


def evaluate(data, scores, out, *words):
    run("--data", data, "--scores", scores, "--out", out, *words)
    return json.loads(out.read_text(encoding="utf-8"))


def test_official_key_and_subset(tmp_path, capsys):
    subsets = ["eval", "progress", "eval"]
    lines = [
        f"LA_0001 LA_E_{1000000 + 10 * index + part} alaw ita_tx {attack} {label} notrim {subset}"
        for index, (label, attack, _) in enumerate(TRIALS.values())
        for part, subset in enumerate(subsets)
    ]
    key, scores, out = tmp_path / "trial_metadata.txt", tmp_path / "scores.txt", tmp_path / "metrics.json"
    key.write_text("\n".join(lines))
    scores.write_text("".join(f"{line.split()[1]} {index * 37 % 21}\n" for index, line in enumerate(lines)))
    words = ["--key", key, "--format", "asvspoof2021", "--scores", scores, "--out", out]
    for chosen, count in (
        ([], 14),
        (["--subset", "eval"], 14),
        (["--subset", "progress"], 7),
        (["--subset", "all"], 21),
    ):
        run(*words, *chosen)
        metrics = json.loads(out.read_text())
        assert metrics["trials"] == count
        assert metrics["convention"] == "asvspoof2021"
        assert metrics.get("subset") == {14: "eval", 7: "progress", 21: None}[count]
        trials = evaluation.read_trials(key, scores, metrics.get("subset"), "asvspoof2021")
        assert eer(trials.bonafide, trials.spoof)[0] == metrics["eer"]
    run(*words, "--export", f"asvspoof2021:{tmp_path / 'exported.txt'}")  # the challenge wants every subset
    assert len(evaluation.read_scores(tmp_path / "exported.txt")) == 21


def test_convention_of_the_data_directory(data, scores, tmp_path):
    (data / "convention").write_text("asvspoof5\n")
    assert evaluate(data, scores, tmp_path / "metrics.json")["convention"] == "asvspoof5"
    assert evaluate(data, scores, tmp_path / "metrics.json", "--format", "plain")["convention"] == "plain"


def test_asv_scores_give_the_tdcf(data, scores, tmp_path):
    (tmp_path / "asv.txt").write_text(
        "bonafide target 5\nbonafide target 7\nbonafide nontarget 1\nbonafide nontarget 6\nA07 spoof 6\nA08 spoof 2\n"
    )
    out, asv = tmp_path / "metrics.json", ["--asv-scores", tmp_path / "asv.txt"]
    rates = AsvErrorRates(miss=0.0, false_accept=0.5, spoof_accept=0.5)
    bonafide = [score for label, _, score in TRIALS.values() if label == "bonafide"]
    spoof = [score for label, _, score in TRIALS.values() if label == "spoof"]
    for form, weights in (("asvspoof2019", legacy_weights(rates)), ("plain", revised_weights(rates))):
        metrics = evaluate(data, scores, out, "--format", form, *asv)
        assert metrics["min_tdcf"] == min_tdcf(bonafide, spoof, weights)[0]
    assert "min_tdcf" not in evaluate(data, scores, out)


def test_tables_and_export(data, scores, tmp_path, capsys):
    folder, exported = tmp_path / "my tables", tmp_path / "for submission.tsv"
    metrics = evaluate(data, scores, tmp_path / "a.json", "--tables", folder, "--export", f"asvspoof5:{exported}")
    printed = capsys.readouterr().out
    assert {path.suffix for path in folder.iterdir()} == {".txt", ".csv", ".tex"}
    assert f"{100 * metrics['eer']:.2f}" in (folder / "eer_by_attack.txt").read_text()
    assert f"wrote {len(list(folder.iterdir())) // 3} tables to {folder}" in printed
    assert f"wrote {exported} (asvspoof5, 7 trials)" in printed
    assert exported.read_text().startswith("filename\tcm-score\nb1\t2.0\n")
    assert evaluate(data, exported, tmp_path / "b.json") == metrics


@pytest.fixture
def larger(tmp_path):
    """A data directory of 120 trials, 9 speakers and 3 attacks, and the score files of two systems."""
    rng = np.random.default_rng(1)
    folder, utts = tmp_path / "larger", [f"u{index:03d}" for index in range(120)]
    attacks = ["-", "A07", "A08", "A09"]
    tables = {
        "utt2label": {utt: "spoof" if index % 4 else "bonafide" for index, utt in enumerate(utts)},
        "utt2attack": {utt: attacks[index % 4] for index, utt in enumerate(utts)},
        "utt2spk": {utt: f"s{rng.integers(9)}" for utt in utts},
    }
    folder.mkdir()
    for name, table in tables.items():
        (folder / name).write_text("".join(f"{utt} {value}\n" for utt, value in table.items()))
    values = rng.normal(size=120) + 2.0 * (np.arange(120) % 4 == 0)
    for name, scores in (("first.txt", values), ("second.txt", values + rng.normal(size=120))):
        lines = [f"{utt} {score!r}\n" for utt, score in zip(utts, scores.tolist(), strict=True)]
        (tmp_path / name).write_text("".join(lines[:: 1 if name == "first.txt" else -1]))
    return folder, tmp_path / "first.txt", tmp_path / "second.txt"


@pytest.mark.parametrize("unit", UNITS)
def test_intervals(larger, tmp_path, capsys, unit):
    data, scores, _ = larger
    metrics = evaluate(data, scores, tmp_path / "metrics.json", "--bootstrap", unit)
    found = metrics["intervals"]
    assert found["unit"] == unit
    for name in ("eer", "min_dcf"):
        cell = found[name]
        assert cell["point"] == metrics[name]
        assert cell["low"] < cell["point"] < cell["high"]
        assert (cell["level"], cell["draws"]) == (0.95, 1000)
    trials = evaluation.read_trials(data, scores)
    speakers, attacks = trials.columns["spk"].codes, trials.columns["attack"].codes
    is_bonafide = trials.is_bonafide
    settings = {
        "trial": {"scheme": "stratified"},
        "speaker": {
            "scheme": "groups",
            "bonafide_groups": speakers[is_bonafide],
            "spoof_groups": speakers[~is_bonafide],
        },
        "attack": {"scheme": "groups", "spoof_groups": attacks[~is_bonafide]},
    }
    expected = bootstrap_interval(trials.bonafide, trials.spoof, **settings[unit])
    assert (found["eer"]["low"], found["eer"]["high"]) == (expected.low, expected.high)
    low, high = 100 * found["eer"]["low"], 100 * found["eer"]["high"]
    assert f"95 % interval [{low:.3f}, {high:.3f}] (1000 bootstrap draws by {unit})" in capsys.readouterr().out


def test_speakers_that_are_not_known_are_not_one_speaker(larger, tmp_path):
    data, scores, _ = larger
    table = (data / "utt2spk").read_text()
    (data / "utt2spk").write_text(table.replace(" s3", " -"))
    with pytest.raises(InputError, match=rf"larger: {table.count(' s3')} trials have no speaker \('-' in utt2spk\)"):
        evaluate(data, scores, tmp_path / "metrics.json", "--bootstrap", "speaker")


@pytest.mark.parametrize(
    ("unit", "warned"),
    [
        ("trial", ""),
        ("speaker", "9 speakers to resample"),
        ("attack", "3 attacks to resample"),
        ("system", "3 attacks to resample"),  # the word of earlier versions
    ],
)
def test_too_little_to_resample_is_said(larger, tmp_path, capsys, unit, warned):
    data, scores, _ = larger
    metrics = evaluate(data, scores, tmp_path / "metrics.json", "--bootstrap", unit)
    assert warned in metrics.get("interval_warning", "")
    assert ("interval_warning" in metrics) is bool(warned)
    assert f"only {warned}" in capsys.readouterr().err if warned else True


def test_few_bona_fide_trials_are_said(data, scores, tmp_path, capsys):
    evaluate(data, scores, tmp_path / "metrics.json", "--bootstrap", "trial")
    assert "WARNING: only 3 bona fide trials, 4 spoof trials to resample" in capsys.readouterr().err


def test_nothing_is_written_over_what_is_read(data, scores, tmp_path):
    before, words = scores.read_bytes(), ["--data", data, "--scores", scores]
    (tmp_path / "link.txt").symlink_to(scores)
    for out in (scores, tmp_path / "my data" / ".." / scores.name, tmp_path / "link.txt"):
        with pytest.raises(InputError, match=r"^--out .*: the same file is read; name another one to write"):
            run(*words, "--out", out)
    with pytest.raises(InputError, match=r"^--export .*: the same file is read"):
        run(*words, "--export", f"ctrsvdd:{scores}")
    with pytest.raises(InputError, match=r"^--export .*new: the same file is written by --out"):
        run(*words, "--out", tmp_path / "new", "--export", f"ctrsvdd:{tmp_path / 'new'}")
    for out in (tmp_path, "/dev/null"):
        with pytest.raises(InputError, match=rf"^--out {out}: is not a file; give the name of the file to write"):
            run(*words, "--out", out)
    assert scores.read_bytes() == before
    assert not (tmp_path / "new").exists()


def test_sasv_scores_as_detection_scores_are_warned_of(tmp_path, capsys):
    path = tmp_path / "a_dcf.txt"
    path.write_text("s1 u1 2 target\ns1 u2 -1 nontarget\ns1 u3 0 spoof\n")
    run("--scores", path)
    assert "WARNING: these scores judge the speaker too" in capsys.readouterr().err


def test_difference_of_two_systems(larger, tmp_path, capsys):
    data, first, second = larger
    difference = evaluate(data, first, tmp_path / "metrics.json", "--against", second)["difference"]
    one, other = (evaluation.read_trials(data, path) for path in (first, second))
    assert difference["eer"]["point"] == pytest.approx(
        eer(one.bonafide, one.spoof)[0] - eer(other.bonafide, other.spoof)[0]
    )
    expected = paired_difference(*((trials.bonafide, trials.spoof) for trials in (one, other)), scheme="stratified")
    assert difference["eer"]["p_value"] == expected.p_value
    assert difference["against"] == second.as_posix()
    assert f"difference (these scores minus {second}): EER " in capsys.readouterr().out
    same = evaluate(data, first, tmp_path / "metrics.json", "--against", first)["difference"]
    assert (same["eer"]["low"], same["eer"]["high"], same["eer"]["p_value"]) == (0, 0, 1)


def test_the_other_tasks(data, tmp_path):
    outputs, out, folder = tmp_path / "outputs.tsv", tmp_path / "metrics.json", tmp_path / "tables"
    (data / "utt2vq").write_text("".join(f"{utt} {'svq' if utt < 's' else 'mvq'}\n" for utt in sorted(TRIALS)))
    outputs.write_text("utt\tpredicted\n" + "".join(f"{utt}\tmvq\n" for utt in TRIALS))
    words = ["--data", data, "--scores", outputs, "--out", out, "--tables", folder]
    run("--task", "attribution", *words)
    metrics = json.loads(out.read_text())
    assert (metrics["task"], metrics["data"], metrics["accuracy"]) == ("attribution", data.as_posix(), 4 / 7)
    assert metrics["label_table"] == "utt2vq"
    assert (folder / "confusion.csv").is_file()

    (data / "utt2codec").write_text("".join(f"{utt} encodec\n" for utt in sorted(TRIALS)))
    (data / "utt2nac").write_text("".join(f"{utt} 24 6 8\n" for utt in sorted(TRIALS)))
    outputs.write_text("utt\tkhz\tkbps\tquantizers\n" + "".join(f"{utt}\t24\t7\t8\n" for utt in TRIALS))
    run("--task", "parsing", *words, "--train-data", data, "--codec-data", data)
    metrics = json.loads(out.read_text())
    assert (metrics["task"], metrics["data"]) == ("parsing", data.as_posix())
    assert metrics["targets"]["bitrate_kbps"]["mae"] == 1.0
    assert (folder / "mae_by_codec.tex").is_file()


BAD_WORDS = {
    "key without format": (["--key", "{data}/utt2label"], "--key .*utt2label needs --format: plain, asvspoof2019"),
    "key and data": (
        ["--data", "{data}", "--key", "{data}/utt2label"],
        "--key and --data both say what the trials are",
    ),
    "no key at all": ([], r"scores.txt: holds no classes; give the key of the test set with --data or --key"),
    "unknown subset": (["--data", "{data}", "--subset", "eval"], "eval: no subset 'eval'; its key has no subsets"),
    "export": (["--data", "{data}", "--export", "x.tsv"], "--export: 'x.tsv' is not FORMAT:FILE with a format of asv"),
    "fixed ASV": (["--data", "{data}", "--format", "asvspoof5", "--asv-scores", "x"], "x: ASVspoof 5 fixes the rates"),
    "one group": (
        ["--data", "{data}", "--bootstrap", "speaker"],
        "eval: cannot resample by speaker: there is one group",
    ),
    "other trials": (["--data", "{data}", "--against", "{data}/utt2dur"], "utt2dur: no score for 6 of the 7 trials"),
    "option of another task": (["--data", "{data}", "--labels", "x"], "--labels is not an option of --task detection"),
    "attribution": (["--task", "attribution", "--subset", "x"], "--subset is not an option of --task attribution"),
    "attribution without data": (["--task", "attribution"], "--task attribution needs --data"),
    "parsing without data": (["--task", "parsing"], "--task parsing needs --data, the data directory of the test set"),
    "embeddings alone": (
        ["--task", "attribution", "--data", "{data}", "--embeddings", "x"],
        "--embeddings, --train-embeddings and --train-data go together",
    ),
}


@pytest.mark.parametrize("case", BAD_WORDS)
def test_bad_options(data, scores, tmp_path, case):
    words, message = BAD_WORDS[case]
    (data / "utt2spk").write_text("".join(f"{utt} amy\n" for utt in sorted(TRIALS)))
    (data / "utt2dur").write_text("b1 1.0\n")
    with pytest.raises(InputError, match=message) as error:
        run("--scores", scores, "--out", tmp_path / "out.json", *(word.format(data=data) for word in words))
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out.json").exists()
