"""Source-tracing metrics against what scikit-learn and the code of OpenOOD print, on the reference decisions."""

import json
from pathlib import Path

import numpy as np
import pytest

from spooftrace.metrics.attribution import tracing_report
from spooftrace.metrics.openset import max_softmax, open_set_report

FOLDER = Path(__file__).resolve().parents[2].parent / "shared" / "parity" / "metrics"
FIGURES = FOLDER / "source_tracing_openset_bootstrap_segment.json"
AVAILABLE = FIGURES.is_file()
SETS = json.loads(FIGURES.read_text(encoding="utf-8")) if AVAILABLE else {"closed_set": {}, "open_set": {}}

pytestmark = pytest.mark.skipif(not AVAILABLE, reason="no reference material beside the repository (../shared)")


@pytest.fixture(scope="module")
def arrays():
    with np.load(FOLDER / "source_tracing_openset_segment_scores.npz") as stored:
        return dict(stored)


def close(expected):
    return pytest.approx(expected, abs=1e-12, rel=0)


@pytest.mark.parametrize("name", SETS["closed_set"])
def test_closed_set_figures(arrays, name):
    reference = SETS["closed_set"][name]
    report = tracing_report(arrays[f"cs__{name}__true"], arrays[f"cs__{name}__pred"])
    assert report.accuracy == close(reference["acc"])
    assert report.accuracy == close(reference["f1_micro"])
    assert report.balanced_accuracy == close(reference["bal_acc"])
    assert report.macro_f1 == close(reference["f1_macro_only_labels_in_y_true"])
    assert report.weighted_f1 == close(reference["f1_weighted"])

    # The reference numbers all classes 0 to K - 1, also those without an utterance.
    for ours, key in ((report.precision, "p"), (report.recall, "r"), (report.f1, "f"), (report.support, "n")):
        assert ours == close(np.array(reference["per_class"][key])[report.labels])
    confusion = np.zeros_like(reference["confusion"])
    confusion[np.ix_(report.labels, report.columns)] = report.confusion
    np.testing.assert_array_equal(confusion, reference["confusion"])


def test_label_rule_is_what_sets_macro_f1_apart_from_scikit_learn():
    differing = {
        name
        for name, reference in SETS["closed_set"].items()
        if abs(reference["f1_macro"] - reference["f1_macro_only_labels_in_y_true"]) > 0.1
    }
    assert differing == {"class3_absent_in_truth_but_predicted"}


@pytest.mark.parametrize("name", SETS["open_set"])
def test_open_set_figures(arrays, name):
    reference = SETS["open_set"][name]
    truth, logits = arrays[f"os__{name}__true"], arrays[f"os__{name}__logits"]
    scores = max_softmax(logits)
    if name.endswith("_ties"):
        scores = scores.round(2)
    decided, known = logits.argmax(axis=1), truth >= 0
    report = open_set_report(scores[known], (decided == truth)[known], scores[~known])

    assert report == close(
        {
            "auroc": reference["openood_auroc"],
            "aupr_in": reference["openood_aupr_in"],
            "aupr_out": reference["openood_aupr_out"],
            "fpr95_ood_positive": reference["openood_fpr95_OODpositive"],
            "fpr95_id_positive": reference["fpr95_IDpositive"],
            "eer": reference["ood_eer_official"],
            "oscr": reference["oscr_[trapezoid,right,left]"][0],
            "id_accuracy": reference["openood_id_acc"],
            **{f"ccr_at_fpr_{fpr}": rate for fpr, rate in reference["ccr_at_fpr"].items()},
        }
    )

    # Rejecting below 0.5, with unknown as one more class.
    open_report = tracing_report(truth, np.where(scores >= 0.5, decided, -1))
    assert open_report.macro_f1 == close(reference["open_macro_f1_thr0.5_(K+1 classes, unknown=-1)"])
    assert open_report.accuracy == close(reference["open_acc_thr0.5"])


def test_every_stored_set_is_covered(arrays):
    stored = {tuple(name.split("__")[:2]) for name in arrays if not name.startswith("seg__")}
    covered = {("cs", name) for name in SETS["closed_set"]} | {("os", name) for name in SETS["open_set"]}
    assert stored == covered
    assert (len(SETS["closed_set"]), len(SETS["open_set"])) == (8, 8)
