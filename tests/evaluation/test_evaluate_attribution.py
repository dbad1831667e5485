"""Attribution: output files, closed-set and open-set figures, messages for bad input."""

import json

import numpy as np
import pytest

from spooftrace.archive import ArchiveWriter
from spooftrace.common.errors import InputError
from spooftrace.datadir import write_table
from spooftrace.evaluation.attribution import evaluate_attribution
from spooftrace.evaluation.attribution_text import format_text, tables
from spooftrace.evaluation.open_set import Embeddings
from spooftrace.evaluation.tables import as_text
from spooftrace.metrics.attribution import tracing_report
from spooftrace.metrics.openset import Mahalanobis, NearestNeighbour, energy, max_softmax, open_set_report

TRUTH = {"u1": "mvq", "u2": "mvq", "u3": "svq", "u4": "sq", "u5": "-"}


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "my data" / "eval"
    write_table(folder / "utt2vq", TRUTH)
    return folder


def outputs_of(data, lines, name="outputs.tsv"):
    path = data.parent / name
    path.write_text("".join("\t".join(map(str, line)) + "\n" for line in lines), encoding="utf-8")
    return path


DECIDED = [("utt", "predicted"), ("u3", "sq"), ("u1", "mvq"), ("u2", "svq"), ("u4", "sq")]
LOGITS = [("utt", "svq", "mvq"), ("u1", 0.0, 2.0), ("u2", 1.5, 1.0), ("u3", 0.5, 0.0), ("u4", 0.2, 0.1), ("u5", 9, 9)]


def test_decisions(data):
    metrics = evaluate_attribution(data, outputs_of(data, DECIDED))
    report = tracing_report(["mvq", "mvq", "svq", "sq"], ["mvq", "svq", "sq", "sq"])
    assert {name: metrics[name] for name in ("task", "set", "label_table", "trials", "not_judged", "num_classes")} == {
        "task": "attribution",
        "set": "eval",
        "label_table": "utt2vq",
        "trials": 4,
        "not_judged": 1,
        "num_classes": 3,
    }
    for name in ("accuracy", "balanced_accuracy", "macro_f1", "weighted_f1"):
        assert metrics[name] == getattr(report, name)
    assert metrics["by_class"]["sq"] == {"utterances": 1, "precision": 0.5, "recall": 1.0, "f1": pytest.approx(2 / 3)}
    assert metrics["confusion"] == {
        "rows": ["mvq", "sq", "svq"],
        "columns": ["mvq", "sq", "svq"],
        "counts": [[1, 0, 1], [0, 1, 0], [0, 1, 0]],
    }
    assert "open_set" not in metrics and metrics["model_classes"] is None
    assert "macro F1 44.44 %, weighted F1 50.00 % (over the 3 classes in the truth)" in format_text(metrics)
    json.dumps(metrics, allow_nan=False)


def test_a_class_that_is_only_predicted_does_not_join_the_mean(data):
    lines = [*DECIDED[:-1], ("u4", "other")]
    metrics = evaluate_attribution(data, outputs_of(data, lines))
    assert metrics["num_classes"] == 3
    assert metrics["confusion"]["columns"] == ["mvq", "sq", "svq", "other"]
    assert metrics["macro_f1"] == pytest.approx((2 / 3 + 0 + 0) / 3)


def test_byte_order_mark_and_windows_line_ends(data):
    path = outputs_of(data, LOGITS)
    expected = evaluate_attribution(data, path)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert evaluate_attribution(data, path) == expected


def test_logits_with_a_class_that_the_model_does_not_know(data):
    metrics = evaluate_attribution(data, outputs_of(data, LOGITS))
    assert metrics["model_classes"] == ["svq", "mvq"]
    assert (metrics["trials"], metrics["known_trials"], metrics["num_classes"]) == (4, 3, 2)
    assert metrics["accuracy"] == pytest.approx(2 / 3)
    assert metrics["unknown_classes"] == {"sq": 1}
    assert metrics["unknown_decided_as"] == {"rows": ["sq"], "columns": ["svq", "mvq"], "counts": [[1, 0]]}
    logits = np.array([line[1:] for line in LOGITS[1:5]], dtype=float)
    correct = np.array([True, False, True])
    for name, score in (("max_softmax", max_softmax(logits)), ("energy", energy(logits))):
        assert metrics["open_set"][name] == open_set_report(score[:3], correct, score[3:])
    text = format_text(metrics)
    assert "unknown classes: sq (1)" in text
    assert "FPR95 (unknown pos.)" in text and "FPR95 (known pos.)" in text
    json.dumps(metrics, allow_nan=False)


def test_another_label_table(data):
    write_table(data / "utt2codec", dict.fromkeys(TRUTH, "mimi"))
    lines = [("utt", "predicted"), *((utt, "mimi") for utt in TRUTH)]
    metrics = evaluate_attribution(data, outputs_of(data, lines), "utt2codec")
    assert (metrics["accuracy"], metrics["num_classes"], metrics["not_judged"]) == (1.0, 1, 0)


def test_tables(data):
    found = tables(evaluate_attribution(data, outputs_of(data, LOGITS)))
    assert list(found) == ["by_class", "confusion", "open_set", "unknown_decided_as"]
    assert as_text(found["confusion"]).splitlines()[-2:] == ["mvq      1    1", "svq      0    1"]
    assert found["open_set"].rows == ("max_softmax", "energy")
    assert list(tables(evaluate_attribution(data, outputs_of(data, DECIDED)))) == ["by_class", "confusion"]


@pytest.fixture
def embedded(tmp_path):
    """60 training and 40 test embeddings; half of the test set is of a class that the model has not learnt."""
    rng = np.random.default_rng(0)
    names = {"train": ["mvq", "svq"] * 30, "eval": ["mvq", "sq", "svq", "sq"] * 10}
    centre = {"mvq": 0.0, "svq": 4.0, "sq": 9.0}
    vectors = {}
    for part, classes in names.items():
        folder = tmp_path / part
        truth = {f"{part}{index:03d}": name for index, name in enumerate(classes)}
        write_table(folder / "utt2vq", truth)
        vectors[part] = {utt: rng.normal(centre[name], 1, 5).astype(np.float32) for utt, name in truth.items()}
        with ArchiveWriter(folder / "feats.ark", folder / "feats.scp") as writer:
            for utt, vector in vectors[part].items():
                writer.write(utt, vector)
    lines = [("utt", "mvq", "svq"), *((utt, *vector[:2]) for utt, vector in vectors["eval"].items())]
    paths = Embeddings(tmp_path / "eval" / "feats.scp", tmp_path / "train" / "feats.scp", tmp_path / "train")
    return tmp_path / "eval", outputs_of(tmp_path / "eval", lines), paths, names, vectors


def test_detectors_on_embeddings(embedded, monkeypatch):
    data, outputs, paths, names, vectors = embedded
    monkeypatch.setattr("spooftrace.evaluation.open_set.BLOCK", 7)  # not a divisor of 40
    metrics = evaluate_attribution(data, outputs, embeddings=paths)
    train, test = (np.stack(list(vectors[part].values())) for part in ("train", "eval"))
    known = np.array(names["eval"]) != "sq"
    correct = test[known, :2].argmax(axis=1) == np.arange(20) % 2
    expected = {
        "mahalanobis": Mahalanobis().fit(train, names["train"]).score(test),
        "nearest_neighbour_50": NearestNeighbour(50).fit(train).score(test),
    }
    for name, score in expected.items():
        assert metrics["open_set"][name] == pytest.approx(open_set_report(score[known], correct, score[~known]))
    assert metrics["open_set"]["mahalanobis"]["auroc"] > 0.95


def test_bad_embeddings(embedded):
    data, outputs, paths, _, vectors = embedded
    table = paths.train_data / "utt2vq"
    text = table.read_text(encoding="utf-8")
    table.write_text(text.replace("svq", "other"), encoding="utf-8")
    with pytest.raises(InputError, match=r"train/utt2vq: class 'other' is not one of the model's, mvq, svq"):
        evaluate_attribution(data, outputs, embeddings=paths)
    table.write_text("".join(text.splitlines(keepends=True)[:20]), encoding="utf-8")
    with pytest.raises(InputError, match=r"train/feats.scp: 20 training embeddings for k = 50"):
        evaluate_attribution(data, outputs, embeddings=paths)
    table.write_text(text, encoding="utf-8")
    with ArchiveWriter(data / "odd.ark", data / "odd.scp") as writer:
        for index, (utt, vector) in enumerate(vectors["eval"].items()):
            writer.write(utt, vector[: 5 - (index == 3)])
    with pytest.raises(
        InputError, match=r"odd.scp: eval003 has an array of shape \(4,\), eval000 an array of shape \(5,\)"
    ):
        evaluate_attribution(data, outputs, embeddings=Embeddings(data / "odd.scp", paths.train, paths.train_data))
    (data / "few.scp").write_text("".join((data / "odd.scp").read_text().splitlines(keepends=True)[:39]))
    with pytest.raises(InputError, match=r"few.scp: no embedding for 1 of 40 utterances, such as eval039"):
        evaluate_attribution(data, outputs, embeddings=Embeddings(data / "few.scp", paths.train, paths.train_data))


BAD_OUTPUTS = {
    "missing": (DECIDED[:-1], r"outputs.tsv: nothing for 1 of the 4 utterances of .*utt2vq \(u4\)"),
    "extra": ([*DECIDED, ("x1", "sq")], r"outputs.tsv:6: 1 utterances are not in .*utt2vq \(x1\)"),
    "duplicate": ([*DECIDED, ("u1", "sq")], r"outputs.tsv:6: u1 is there a second time"),
    "no header": (DECIDED[1:], r"outputs.tsv:1: expected a header 'utt' and the names of the columns"),
    "empty": ([], r"outputs.tsv:1: expected a header"),
    "short line": ([*LOGITS[:2], ("u2", 1.0)], r"outputs.tsv:3: 2 columns, the header has 3"),
    "column twice": ([("utt", "svq", "svq")], r"outputs.tsv:1: column 'svq' is named twice"),
    "not a number": ([*LOGITS[:3], ("u3", "high", 0), *LOGITS[4:]], r"outputs.tsv:4: 'high' in column 'svq' is not a"),
    "NaN": ([*LOGITS[:3], ("u3", 0, "nan"), *LOGITS[4:]], r"outputs.tsv:4: 'nan' in column 'mvq' is not a finite"),
    "one class": ([(utt, logit) for utt, logit, *_ in LOGITS], r"outputs.tsv:1: a single column 'svq'"),
    "other classes": ([("utt", "dac", "snac"), *LOGITS[1:]], r"outputs.tsv:1: no utterance of .*utt2vq has one of"),
    "other case": ([("utt", "SVQ", "mvq"), *LOGITS[1:]], r"outputs.tsv: class 'SVQ' is called 'svq' in .*utt2vq"),
    "decision in other case": ([*DECIDED[:-1], ("u4", "SQ")], r"class 'SQ' is called 'sq' in .*utt2vq"),
}


@pytest.mark.parametrize("case", BAD_OUTPUTS)
def test_bad_output_files(data, case):
    lines, message = BAD_OUTPUTS[case]
    with pytest.raises(InputError, match=message) as error:
        evaluate_attribution(data, outputs_of(data, lines))
    assert "\n" not in str(error.value)


def test_missing_files(data):
    with pytest.raises(InputError, match=r"nowhere.tsv: no such file"):
        evaluate_attribution(data, data / "nowhere.tsv")
    with pytest.raises(InputError, match=r"utt2aux: no such file"):
        evaluate_attribution(data, outputs_of(data, DECIDED), "utt2aux")
    write_table(data / "utt2dec", dict.fromkeys(TRUTH, "-"))
    with pytest.raises(InputError, match=r"utt2dec: '-' for every utterance"):
        evaluate_attribution(data, outputs_of(data, DECIDED), "utt2dec")


def test_blanks_line_ends_and_order_do_not_matter(data):
    expected = evaluate_attribution(data, outputs_of(data, LOGITS))
    lines = [" ".join(map(str, line)) for line in (LOGITS[0], *reversed(LOGITS[1:]))]
    path = data.parent / "blanks.tsv"
    path.write_text("\r\n\r\n".join(lines), newline="")
    assert evaluate_attribution(data, path) == expected
