"""Results on part of a set say so: from the data directory through metrics.json to every table and figure."""

import csv
import json

import numpy as np
import pytest
import soundfile

from spooftrace.cli.main import main
from spooftrace.common.errors import InputError
from spooftrace.corpora.corpus import Corpus, Expected
from spooftrace.corpora.protocol import Trials
from spooftrace.datadir import DataDir
from spooftrace.datadir.edit import combine, fix, subset
from spooftrace.datadir.incomplete import AUDIO, REPAIRED, TRIALS, UNUSABLE, WHOLE_SET, Gap, read_gaps, write_gaps
from spooftrace.derive import durations
from spooftrace.derive.trim import collect as collect_trimmed
from spooftrace.derive.trim import trim_shard
from spooftrace.report.runs import METRICS_KEYS

UTTS = {"u1": "bonafide", "u2": "bonafide", "u3": "spoof", "u4": "spoof"}
GAP = Gap("eval", AUDIO, 12, 71237)


def make_data(folder, utts=tuple(UTTS), audio="x"):
    tables = {
        "utt2spk": dict.fromkeys(utts, "s"),
        "utt2label": {utt: UTTS[utt] for utt in utts},
        "wav.scp": {utt: f"{folder}/{audio}/{utt}.wav" for utt in utts},
    }
    return DataDir.write(folder, tables)


def prepared(tmp_path, present, listed=tuple(UTTS)):
    audio = tmp_path / "corpus" / "flac"
    audio.mkdir(parents=True, exist_ok=True)
    for file in audio.iterdir():
        file.unlink()
    for utt in present:
        (audio / f"{utt}.flac").write_bytes(b"x")
    trials = Trials()
    for utt in listed:
        trials.add(("protocol", 1), utt, speaker="-", label=UTTS[utt])
    corpus = Corpus("Some corpus", tmp_path / "corpus", tmp_path / "data", True)
    with corpus.preparing("eval"):
        corpus.write("eval", trials, Expected(2, 2), corpus.find("flac"))
    return tmp_path / "data" / "eval"


def test_a_partial_corpus_is_noted_until_it_is_whole(tmp_path):
    assert read_gaps(prepared(tmp_path, ["u1", "u3"])) == [Gap("eval", AUDIO, 2, 4)]
    data = prepared(tmp_path, ["u1", "u3"], listed=["u1", "u2", "u3"])
    assert read_gaps(data) == [Gap("eval", TRIALS, 1, 4), Gap("eval", AUDIO, 1, 3)]
    assert read_gaps(prepared(tmp_path, UTTS)) == []
    assert not (data / "incomplete.json").exists()


def test_sets_of_other_counts_are_noted(tmp_path):
    trials = Trials()
    for utt in UTTS:
        trials.add(("protocol", 1), utt, speaker="-", label="spoof")
    prepared(tmp_path, UTTS)
    corpus = Corpus("Some corpus", tmp_path / "corpus", tmp_path / "data", True)
    corpus.write("eval", trials, Expected(2, 2), corpus.find("flac"))
    assert [str(gap) for gap in read_gaps(tmp_path / "data" / "eval")] == [
        "eval: other counts than the release has among 4 trials"
    ]


def test_sets_that_are_left_out_are_missed_in_what_is_combined(tmp_path):
    left_out = prepared(tmp_path, [])
    assert read_gaps(left_out) == [Gap("eval", WHOLE_SET, 1, 1)]
    other = make_data(tmp_path / "other", ["u1", "u3"])
    both, _ = combine(tmp_path / "both", [other.path, left_out])
    assert both.utts == ["u1", "u3"]
    assert read_gaps(tmp_path / "both") == [Gap("eval", WHOLE_SET, 1, 1)]
    with pytest.raises(InputError, match="none of its sources"):
        combine(tmp_path / "none", [left_out])


def test_skipped_audio_is_noted_and_carried_over(tmp_path):
    data = make_data(tmp_path / "dev", audio="wav")
    (tmp_path / "dev" / "wav").mkdir()
    wave = np.sin(np.arange(16000) / 9).astype(np.float32) / 4
    for utt in ("u1", "u3", "u4"):
        soundfile.write(tmp_path / "dev" / "wav" / f"{utt}.wav", wave, 16000)
    (tmp_path / "dev" / "wav" / "u2.wav").write_bytes(b"RIFF no sound")
    for collect in (False, True):
        durations.measure([data.path], collect_only=collect, skip=True)
    gap = Gap("dev", UNUSABLE, 1, 4)
    assert read_gaps(data.path) == [gap]
    part = subset(DataDir.read(data.path), ["u1", "u3"], tmp_path / "part")
    settings = {"method": "energy", "remove": "ends"}
    trim_shard(part.path, tmp_path / "part_trim", settings)
    collect_trimmed(part.path, tmp_path / "part_trim", settings)
    assert read_gaps(tmp_path / "part_trim") == [gap]
    combine(tmp_path / "all", [part.path, data.path])
    assert read_gaps(tmp_path / "all") == [gap]


def test_utterances_that_repair_leaves_out_are_noted_each_time(tmp_path):
    data = make_data(tmp_path / "data")
    for left in (3, 2):
        lines = (data.path / "wav.scp").read_text().splitlines(keepends=True)
        (data.path / "wav.scp").write_text("".join(lines[:left]))
        fix(data.path)
        assert read_gaps(data.path) == [Gap("data", REPAIRED, 4 - left, 4)]


def test_damaged_notes_are_refused_by_name(tmp_path):
    for content in ("{", "[1]", '[{"set": "a"}]', '[{"set": "a", "what": "b", "missing": "c", "of": 1}]'):
        (tmp_path / "incomplete.json").write_text(content)
        with pytest.raises(InputError, match=r"incomplete\.json: not a list of what is missing"):
            read_gaps(tmp_path)


@pytest.fixture
def experiment(tmp_path, monkeypatch):
    """Scores of two systems on an incomplete test set; a function that evaluates them."""
    monkeypatch.chdir(tmp_path)
    data = make_data(tmp_path / "data" / "eval")
    (data.path / "utt2attack").write_text("u1 -\nu2 -\nu3 A07\nu4 A08\n")
    for system in ("a_1", "b_1"):
        folder = tmp_path / "exp" / system / "eval"
        folder.mkdir(parents=True)
        (folder / "scores.txt").write_text("u1 2\nu2 0.5\nu3 1\nu4 -1\n")

    def evaluate():
        for scores in sorted(tmp_path.glob("exp/*/eval/scores.txt")):
            out = scores.with_name("metrics.json")
            words = ["evaluate", "--scores", scores, "--data", data.path, "--out", out]
            assert main([*map(str, words), "--tables", str(scores.with_name("tables"))]) == 0

    return data.path, evaluate


def report(tmp_path):
    words = ["report", "--exp", "exp", "--out", "RESULTS.md", "--figures", "figures"]
    assert main(words) == 0
    return (tmp_path / "RESULTS.md").read_text()


def test_metrics_tables_and_report_are_marked(experiment, tmp_path, capsys):
    data, evaluate = experiment
    evaluate()
    assert "INCOMPLETE" not in report(tmp_path) + capsys.readouterr().out
    write_gaps(data, [GAP])
    evaluate()
    gap = "eval: 12 of 71,237 audio files missing from the corpus"
    assert gap in capsys.readouterr().out
    metrics = json.loads((tmp_path / "exp/a_1/eval/metrics.json").read_text())
    assert metrics["incomplete"] == [
        {"set": "eval", "what": "audio files missing from the corpus", "missing": 12, "of": 71237}
    ]
    written = [path.read_text() for path in (tmp_path / "exp/a_1/eval/tables").iterdir()]
    assert len(written) == 3 and all("12 of 71,237" in text for text in written)
    page = report(tmp_path)
    assert "| a_1 *" in page and "| b_1 *" in page
    assert f"\\* INCOMPLETE, not comparable with figures on the whole set: test set, {gap} (a_1, b_1)." in page


def test_what_the_scores_were_made_of_counts_too(experiment, tmp_path, monkeypatch):
    _, evaluate = experiment
    record = {"incomplete": [{"set": "eval", "what": UNUSABLE, "missing": 1, "of": 5}], "policy": {}}
    (tmp_path / "exp/b_1/eval/scores.json").write_text(json.dumps(record))
    evaluate()
    assert "incomplete" not in json.loads((tmp_path / "exp/a_1/eval/metrics.json").read_text())
    assert json.loads((tmp_path / "exp/b_1/eval/metrics.json").read_text())["incomplete"] == record["incomplete"]
    drawn = []
    monkeypatch.setattr(
        "spooftrace.report.det.draw_det", lambda curves, *_: drawn.extend(curve.name for curve in curves)
    )
    page = report(tmp_path)
    assert "| a_1 " in page and "| a_1 *" not in page and "| b_1 *" in page
    assert drawn == ["a_1", "b_1 *"]


def test_systems_trained_on_part_of_a_set_are_marked_everywhere(experiment, tmp_path):
    _, evaluate = experiment
    evaluate()
    run = {"system": "a", "seed": 1, "incomplete": {"train": [{"set": "train", "what": AUDIO, "missing": 3, "of": 9}]}}
    (tmp_path / "exp/a_1/run.json").write_text(json.dumps(run))
    page = report(tmp_path)
    assert "training set, train: 3 of 9 audio files missing from the corpus (a_1)." in page
    marked = [line for line in page.splitlines() if line.startswith(("| a", "| a_1"))]
    assert len(marked) >= 3  # error rates, costs, runs
    assert all(" *" in line.split("|")[1] for line in marked)
    assert not any("*" in line for line in page.splitlines() if line.startswith("| b"))


def test_the_matrix_marks_cells_and_names_what_is_missing(tmp_path):
    paths = []
    for system, gaps in (("x_1", []), ("y_1", [{"set": "eval", "what": TRIALS, "missing": 1, "of": 5}])):
        path = tmp_path / "exp" / system / "matrix" / "mini" / "eval" / "metrics.json"
        path.parent.mkdir(parents=True)
        figures = dict.fromkeys(METRICS_KEYS["detection"], 1) | {
            "task": "detection",
            "eer": 0.125,
            "eer_convention": "",
        }
        path.write_text(json.dumps(figures | ({"incomplete": gaps} if gaps else {})))
        paths.append(str(path))
    assert main(["matrix", *paths, "--out", str(tmp_path / "out")]) == 0
    page = (tmp_path / "out" / "matrix.md").read_text()
    assert "12.50 *" in page and "1 of 5 trials missing from the protocol" in page
    with open(tmp_path / "out" / "matrix.csv", newline="") as file:
        rows = list(csv.reader(file))
    assert [row[1] for row in rows[1:]] == ["12.50", "12.50"]
    assert [row[-1] for row in rows] == ["incomplete", "", "mini/eval: 1 of 5 trials missing from the protocol"]
