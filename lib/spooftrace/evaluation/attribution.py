"""Attribution: which source (codec, quantizer class, attack ...) made an utterance, and does the model know it at all?

The output file holds either the logits of the model's classes, or the predicted classes::

    utt  mimi  snac  encodec          utt  predicted
    u1   4.1   -0.3  1.2              u1   mimi

Logits are natural logarithms of unnormalised probabilities, higher = more likely; the class with the highest logit is
predicted (the first of equal ones). The true classes are a table of the data directory, the label table. A true class
without a column of logits is unknown to the model: its utterances are left out of the closed-set metrics, and the
open-set metrics say how well they are rejected. With predicted classes only, all utterances count as closed-set.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from spooftrace.common.errors import InputError
from spooftrace.evaluation.chance import CHANCE_CONVENTION, chance
from spooftrace.evaluation.open_set import OPEN_SET_CONVENTION, Embeddings, open_set_metrics, rejection_scores
from spooftrace.evaluation.outputs import Outputs, judged, read_outputs, truth_table
from spooftrace.evaluation.subsets import SUBSET_CONVENTION, subsets_of
from spooftrace.metrics.attribution import TracingReport, tracing_report

Array = np.ndarray

PREDICTED = "predicted"  # column of an output file without logits
F1_CONVENTION = (
    "F1, precision and recall over the classes that occur in the truth (num_classes), not over classes that are only "
    "predicted; macro: all classes have the same weight; weighted: classes are weighted by their number of utterances."
)
METRIC_NAMES = {"macro_f1": "macro F1", "weighted_f1": "weighted F1", "accuracy": "accuracy"}


def evaluate_attribution(
    data: str | Path, outputs: str | Path, label_table: str = "utt2vq", embeddings: Embeddings | None = None
) -> dict[str, Any]:
    """Attribution metrics of an output file, as written to ``metrics.json``. Rates are fractions.

    Args:
        data: Data directory of the test set.
        outputs: The output file.
        label_table: Table of the data directory with the true classes.
        embeddings: Embeddings for two more rejection scores among the open-set metrics.

    Raises:
        InputError: As for :func:`read_outputs`, :func:`judged`, :func:`subsets_of` and :func:`rejection_scores`; or the
            model knows the class of no utterance.
    """
    data, file = Path(data), read_outputs(outputs)
    table = data / label_table
    truth = truth_table(data, label_table)
    utts = judged(file, truth, table)
    labels = np.array([truth[utt] for utt in utts])
    logits = None if file.columns == (PREDICTED,) else _logits(file, utts)
    predicted = np.array(file.words(utts)) if logits is None else np.array(file.columns)[logits.argmax(axis=1)]
    _check_spelling(file.columns if logits is not None else sorted(set(predicted.tolist())), labels, file, table)
    is_known = np.ones(len(utts), bool) if logits is None else _known(labels, file, table)

    report = tracing_report(labels[is_known], predicted[is_known])
    choices = report.num_classes if logits is None else len(file.columns)
    metrics: dict[str, Any] = {
        "task": "attribution",
        "set": data.resolve().name,
        "data": data.as_posix(),
        "label_table": label_table,
        "trials": len(utts),
        "not_judged": len(truth) - len(utts),
        "known_trials": int(is_known.sum()),
        "model_classes": None if logits is None else list(file.columns),
        **_closed_set_metrics(report),
        "balanced_accuracy": report.balanced_accuracy,
        "f1_convention": F1_CONVENTION,
        "chance": _chance(report, choices),
        "chance_convention": CHANCE_CONVENTION,
        "by_class": _by_class(report),
        "confusion": _counts(labels[is_known], predicted[is_known], report.columns.tolist()),
        **_by_subset(data, utts, labels, predicted, is_known, choices),
    }
    if logits is not None and not is_known.all():
        correct = (labels == predicted)[is_known]
        scores = rejection_scores(logits, utts, embeddings, label_table, file)
        metrics |= {
            "unknown_classes": dict(sorted(Counter(labels[~is_known].tolist()).items())),
            "unknown_decided_as": _counts(labels[~is_known], predicted[~is_known], list(file.columns)),
            "open_set": open_set_metrics(scores, is_known, correct),
            "open_set_convention": OPEN_SET_CONVENTION,
        }
    return metrics


def _by_subset(
    data: Path, utts: Sequence[str], labels: Array, predicted: Array, is_known: Array, choices: int
) -> dict[str, Any]:
    """``by_subset`` and ``by_attack``, each with its closed-set metrics, None if the model knows no utterance of it."""
    metrics: dict[str, Any] = {}
    for subset in subsets_of(data, utts):
        judged_here = subset.judged & is_known
        cell: dict[str, Any] = {"trials": int(subset.judged.sum()), "known_trials": int(judged_here.sum())}
        cell |= dict.fromkeys(METRIC_NAMES)
        if (subset.own & is_known).any():
            report = tracing_report(labels[judged_here], predicted[judged_here])
            cell |= _closed_set_metrics(report)
            if subset.axis == "subset":
                cell["chance"] = _chance(report, choices)
        metrics.setdefault(f"by_{subset.axis}", {})[subset.name] = cell
        metrics["subset_convention"] = SUBSET_CONVENTION
    return metrics


def _logits(outputs: Outputs, utts: Sequence[str]) -> Array:
    if len(outputs.columns) < 2:
        raise InputError(
            f"{outputs.path}:1: a single column '{outputs.columns[0]}'; give a column of logits for each class, or a "
            f"column '{PREDICTED}' of predicted classes"
        )
    return outputs.numbers(utts)


def _check_spelling(names: Iterable[str], labels: Array, outputs: Outputs, table: Path) -> None:
    """Refuse a class whose case differs from that in the truth: it would count as another class."""
    truth = {label.lower(): label for label in labels.tolist()}
    for name in names:
        label = truth.get(name.lower(), name)
        if label != name:
            raise InputError(f"{outputs.path}: class '{name}' is called '{label}' in {table}; rename it")


def _known(labels: Array, outputs: Outputs, table: Path) -> Array:
    """Utterances whose class the model knows, bool (N,)."""
    is_known = np.isin(labels, outputs.columns)
    if not is_known.any():
        raise InputError(
            f"{outputs.path}:1: no utterance of {table} has one of the classes {', '.join(outputs.columns)}; "
            "give the label table that the model was trained on"
        )
    return is_known


def _closed_set_metrics(report: TracingReport) -> dict[str, Any]:
    return {"num_classes": report.num_classes} | {name: getattr(report, name) for name in METRIC_NAMES}


def _chance(report: TracingReport, choices: int) -> dict[str, dict[str, Any]]:
    return chance(dict(zip(report.labels.tolist(), report.support.tolist(), strict=True)), choices)


def _by_class(report: TracingReport) -> dict[str, dict[str, float]]:
    columns = {"precision": report.precision, "recall": report.recall, "f1": report.f1}
    return {
        str(label): {"utterances": int(report.support[row])} | {name: float(v[row]) for name, v in columns.items()}
        for row, label in enumerate(report.labels)
    }


def _counts(truth: Array, predicted: Array, columns: list[str]) -> dict[str, Any]:
    """Numbers of utterances by true class (rows) and predicted class (columns)."""
    pairs = Counter(zip(truth.tolist(), predicted.tolist(), strict=True))
    rows = sorted(set(truth.tolist()))
    return {"rows": rows, "columns": columns, "counts": [[pairs[row, column] for column in columns] for row in rows]}
