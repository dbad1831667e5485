"""Attribution: which known source (codec, quantizer class, attack ...) made an utterance, and is it a known one at all.

The output file has either the logits of the model's classes, or its decisions::

    utt  mimi  snac  encodec          utt  predicted
    u1   4.1   -0.3  1.2              u1   mimi

Logits are natural logarithms of unnormalised probabilities, higher = more likely; the decision is the highest one (the
first of equals). The truth is a table of the data directory. A class of the truth that the model has no column for is
unknown: its utterances take no part in the closed-set figures, and the open-set ones tell how well they are rejected.
A file of decisions has no classes that it could lack, so all of its utterances are closed-set ones.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from spooftrace.archive import ArchiveReader
from spooftrace.common.errors import InputError
from spooftrace.common.records import SCORES_RECORD, read_scores_record
from spooftrace.common.text_table import text_table
from spooftrace.datadir.tables import current_name, table_path
from spooftrace.evaluation.breakdown import AXIS_NAMES, Table
from spooftrace.evaluation.chance import CHANCE_CONVENTION, chance
from spooftrace.evaluation.layout import as_text
from spooftrace.evaluation.outputs import NOTHING, Outputs, judged, read_outputs, truth_table
from spooftrace.evaluation.parts import AXES, PART_CONVENTION, parts_of
from spooftrace.metrics.attribution import TracingReport, tracing_report

Array = np.ndarray

DECISIONS = "predicted"
NEIGHBOURS = 50  # as in OpenOOD
BLOCK = 8192  # embeddings scored at a time
F1_CONVENTION = (
    "F1, precision and recall over the classes that occur in the truth (num_classes), never over classes that are only "
    "predicted; macro: every class counts the same; weighted: every class counts as often as it has utterances."
)
OPEN_SET_CONVENTION = (
    "Rejection scores are high for utterances that look known. fpr95_ood_positive: known utterances rejected where 95 "
    "% of the unknown ones are (OpenOOD); fpr95_id_positive: unknown utterances accepted where 95 % of the known ones "
    "are (ST-Codecfake); eer: ASVspoof tie rule; oscr: area under correct classification over false acceptance."
)
FIGURES = {"macro_f1": "macro F1", "weighted_f1": "weighted F1", "accuracy": "accuracy"}
OPEN_SET_COLUMNS = {
    "auroc": "AUROC",
    "fpr95_ood_positive": "FPR95 (unknown pos.)",
    "fpr95_id_positive": "FPR95 (known pos.)",
    "eer": "EER",
    "oscr": "OSCR",
}


@dataclass(frozen=True)
class Embeddings:
    """Vectors behind the decisions, for detectors of unknown classes that look at them: one vector an utterance.

    Attributes:
        test: ``feats.scp`` of the test set.
        train: ``feats.scp`` of the training set.
        train_data: its data directory, which has the label table too.
    """

    test: Path
    train: Path
    train_data: Path


def evaluate_attribution(
    data: str | Path, outputs: str | Path, label_table: str = "utt2vq", embeddings: Embeddings | None = None
) -> dict[str, Any]:
    """Attribution metrics of an output file, as written to ``metrics.json``. Rates are fractions.

    Args:
        data: data directory of the test set.
        outputs: the output file.
        label_table: the table of the data directory with the true classes.
        embeddings: with them, the open-set figures of two more rejection scores are there.

    Raises:
        InputError: as for :func:`read_outputs`, :func:`judged` and :func:`parts_of`; no utterance of a class that the
            model knows; or embeddings that are missing or do not fit.
    """
    data, found, label_table = Path(data), read_outputs(outputs), current_name(label_table)
    table = table_path(data, label_table)
    truth = truth_table(data, label_table)
    utts = judged(found, truth, table)
    labels = np.array([truth[utt] for utt in utts])
    logits = None if found.columns == (DECISIONS,) else _logits(found, utts)
    predicted = np.array(found.words(utts)) if logits is None else np.array(found.columns)[logits.argmax(axis=1)]
    _check_spelling(found.columns if logits is not None else sorted(set(predicted.tolist())), labels, found, table)
    is_known = np.ones(len(utts), bool) if logits is None else _known(labels, found, table)

    report = tracing_report(labels[is_known], predicted[is_known])
    choices = report.num_classes if logits is None else len(found.columns)
    metrics: dict[str, Any] = {
        "task": "attribution",
        "set": data.resolve().name,
        "data": data.as_posix(),
        "label_table": label_table,
        "trials": len(utts),
        "not_judged": len(truth) - len(utts),
        "known_trials": int(is_known.sum()),
        "model_classes": None if logits is None else list(found.columns),
        **_figures(report),
        "balanced_accuracy": report.balanced_accuracy,
        "f1_convention": F1_CONVENTION,
        "chance": _chance(report, choices),
        "chance_convention": CHANCE_CONVENTION,
        "by_class": _by_class(report),
        "confusion": _counts(labels[is_known], predicted[is_known], report.columns.tolist()),
    }
    for part in parts_of(data, utts):
        judged_here = part.judged & is_known
        cell = {"trials": int(part.judged.sum()), "known_trials": int(judged_here.sum())} | dict.fromkeys(FIGURES)
        if (part.own & is_known).any():
            here = tracing_report(labels[judged_here], predicted[judged_here])
            cell |= _figures(here) | ({"chance": _chance(here, choices)} if part.axis == "subset" else {})
        metrics.setdefault(f"by_{part.axis}", {})[part.name] = cell
        metrics["part_convention"] = PART_CONVENTION
    if logits is not None and not is_known.all():
        correct = (labels == predicted)[is_known]
        metrics |= {
            "unknown_classes": dict(sorted(Counter(labels[~is_known].tolist()).items())),
            "unknown_decided_as": _counts(labels[~is_known], predicted[~is_known], list(found.columns)),
            "open_set": _open_set(_rejection_scores(logits, utts, embeddings, label_table, found), is_known, correct),
            "open_set_convention": OPEN_SET_CONVENTION,
        }
    return metrics


def tables(metrics: Mapping[str, Any]) -> dict[str, Table]:
    """The confusions and the figures by class and by rejection score, by name."""
    name, by_class = metrics["set"], metrics["by_class"]
    figures = ("precision", "recall", "f1")
    found = {
        "by_class": Table(
            f"{name}: precision, recall and F1 (%) by class of {metrics['label_table']}",
            "class",
            tuple(by_class),
            figures,
            np.array([[by_class[row][column] for column in figures] for row in by_class]),
            percent=True,
            decimals=2,
        ),
        "confusion": _count_table(
            metrics["confusion"], f"{name}: utterances by true class (rows) and decision (columns)"
        ),
    }
    for axis in AXES:
        if cells := metrics.get(f"by_{axis}"):
            found[f"by_{axis}"] = Table(
                f"{name}: {', '.join(FIGURES.values())} (%) by {AXIS_NAMES.get(axis, axis)}",
                AXIS_NAMES.get(axis, axis),
                tuple(cells),
                tuple(FIGURES.values()),
                np.array([[cell[figure] for figure in FIGURES] for cell in cells.values()], dtype=float),
                percent=True,
                decimals=2,
            )
    if "open_set" in metrics:
        found["open_set"] = Table(
            f"{name}: rejection of unknown classes (%)",
            "score",
            tuple(metrics["open_set"]),
            tuple(OPEN_SET_COLUMNS.values()),
            np.array([[cell[key] for key in OPEN_SET_COLUMNS] for cell in metrics["open_set"].values()]),
            percent=True,
            decimals=2,
        )
        found["unknown_decided_as"] = _count_table(
            metrics["unknown_decided_as"], f"{name}: utterances of unknown classes (rows) by decision (columns)"
        )
    return found


def format_text(metrics: Mapping[str, Any]) -> str:
    """The metrics as plain text."""
    classes = [
        [name, str(cell["utterances"]), *(f"{100 * cell[key]:.2f}" for key in ("precision", "recall", "f1"))]
        for name, cell in metrics["by_class"].items()
    ]
    at_random, majority = metrics["chance"]["random"], metrics["chance"]["majority"]
    lines = [
        f"{metrics['set']}: {metrics['label_table']}, {metrics['known_trials']} utterances of {metrics['num_classes']} "
        f"classes known to the model, {metrics['trials'] - metrics['known_trials']} of unknown ones, "
        f"{metrics['not_judged']} without a class",
        text_table(["class", "utterances", "precision %", "recall %", "F1 %"], classes) + "\n",
        f"accuracy {100 * metrics['accuracy']:.2f} %, balanced accuracy {100 * metrics['balanced_accuracy']:.2f} %, "
        f"macro F1 {100 * metrics['macro_f1']:.2f} %, weighted F1 {100 * metrics['weighted_f1']:.2f} % "
        f"(over the {metrics['num_classes']} classes in the truth)",
        f"without listening: random macro F1 {100 * at_random['macro_f1']:.2f} %, weighted F1 "
        f"{100 * at_random['weighted_f1']:.2f} %; always {majority['class']} {100 * majority['macro_f1']:.2f} % and "
        f"{100 * majority['weighted_f1']:.2f} %",
    ]
    found = tables(metrics)
    lines += [as_text(found[name]) for name in ("by_subset", "by_attack") if name in found]
    if "open_set" in metrics:
        rows = [
            [score, *(f"{100 * cell[key]:.2f}" for key in OPEN_SET_COLUMNS)]
            for score, cell in metrics["open_set"].items()
        ]
        unknown = ", ".join(f"{name} ({count})" for name, count in metrics["unknown_classes"].items())
        lines += [f"unknown classes: {unknown}", text_table(["rejection by, %", *OPEN_SET_COLUMNS.values()], rows)]
    return "\n".join(lines)


def _logits(outputs: Outputs, utts: Sequence[str]) -> Array:
    if len(outputs.columns) < 2:
        raise InputError(
            f"{outputs.path}:1: a single column '{outputs.columns[0]}'; give a column of logits for each class, or one "
            f"column '{DECISIONS}' of decisions"
        )
    return outputs.numbers(utts)


def _check_spelling(names: Iterable[str], labels: Array, outputs: Outputs, table: Path) -> None:
    """Refuse a class that is written in another case than in the truth: it would count as another class."""
    truth = {label.lower(): label for label in labels.tolist()}
    for name in names:
        label = truth.get(name.lower(), name)
        if label != name:
            raise InputError(f"{outputs.path}: class '{name}' is called '{label}' in {table}; rename it")


def _known(labels: Array, outputs: Outputs, table: Path) -> Array:
    """Which utterances are of a class of the model."""
    is_known = np.isin(labels, outputs.columns)
    if not is_known.any():
        raise InputError(
            f"{outputs.path}:1: no utterance of {table} is of one of the classes {', '.join(outputs.columns)}; "
            "is it another label table?"
        )
    return is_known


def _rejection_scores(
    logits: Array, utts: Sequence[str], embeddings: Embeddings | None, label_table: str, outputs: Outputs
) -> dict[str, Array]:
    """Rejection scores of the utterances by name of the detector, each (N,)."""
    from spooftrace.metrics.openset import Mahalanobis, NearestNeighbour, energy, max_softmax

    scores = {"max_softmax": max_softmax(logits), "energy": energy(logits)}
    if embeddings is None:
        return scores
    truth = truth_table(embeddings.train_data, label_table)
    train = [utt for utt, label in truth.items() if label != NOTHING]
    unlearnt = sorted({truth[utt] for utt in train} - set(outputs.columns))
    if unlearnt:
        raise InputError(
            f"{embeddings.train_data / label_table}: class '{unlearnt[0]}' is not one of the model's, "
            f"{', '.join(outputs.columns)}; give the data that the model was trained on"
        )
    vectors = np.concatenate(list(_blocks(embeddings.train, train)))
    try:
        detectors: dict[str, Callable[[Array], Array]] = {
            "mahalanobis": Mahalanobis().fit(vectors, [truth[utt] for utt in train]).score,
            f"nearest_neighbour_{NEIGHBOURS}": NearestNeighbour(NEIGHBOURS).fit(vectors).score,
        }
    except ValueError as error:
        raise InputError(f"{embeddings.train}: {error}") from None
    try:
        parts = [[score(block) for score in detectors.values()] for block in _blocks(embeddings.test, utts)]
    except ValueError as error:
        raise InputError(f"{embeddings.test}: {error}") from None
    return scores | dict(zip(detectors, map(np.concatenate, zip(*parts, strict=True)), strict=True))


def _blocks(scp: Path, utts: Sequence[str]) -> Iterator[Array]:
    """The embeddings of these utterances, (BLOCK, D) at a time, float32 or as they are stored."""
    ours = read_scores_record(scp.with_name(SCORES_RECORD)).get("embeddings", False)
    with ArchiveReader(scp, beside=ours) as reader:
        missing = [utt for utt in utts if utt not in reader]
        if missing:
            raise InputError(f"{scp}: no embedding for {len(missing)} of {len(utts)} utterances, such as {missing[0]}")
        for start in range(0, len(utts), BLOCK):
            block = [reader[utt] for utt in utts[start : start + BLOCK]]
            odd = [index for index, vector in enumerate(block) if vector.ndim != 1 or vector.shape != block[0].shape]
            if odd:
                raise InputError(
                    f"{scp}: {utts[start + odd[0]]} has an array of shape {block[odd[0]].shape}, "
                    f"{utts[start]} one of {block[0].shape}; embeddings are vectors of one length"
                )
            yield np.stack(block)


def _open_set(scores: Mapping[str, Array], is_known: Array, correct: Array) -> dict[str, dict[str, float]]:
    from spooftrace.metrics.openset import open_set_report

    return {name: open_set_report(values[is_known], correct, values[~is_known]) for name, values in scores.items()}


def _figures(report: TracingReport) -> dict[str, Any]:
    return {"num_classes": report.num_classes} | {name: getattr(report, name) for name in FIGURES}


def _chance(report: TracingReport, choices: int) -> dict[str, dict[str, Any]]:
    return chance(dict(zip(report.labels.tolist(), report.support.tolist(), strict=True)), choices)


def _by_class(report: TracingReport) -> dict[str, dict[str, float]]:
    columns = {"precision": report.precision, "recall": report.recall, "f1": report.f1}
    return {
        str(label): {"utterances": int(report.support[row])} | {name: float(v[row]) for name, v in columns.items()}
        for row, label in enumerate(report.labels)
    }


def _counts(truth: Array, predicted: Array, columns: list[str]) -> dict[str, Any]:
    """Utterances by true class and decision."""
    pairs = Counter(zip(truth.tolist(), predicted.tolist(), strict=True))
    rows = sorted(set(truth.tolist()))
    return {"rows": rows, "columns": columns, "counts": [[pairs[row, column] for column in columns] for row in rows]}


def _count_table(counts: Mapping[str, Any], title: str) -> Table:
    values = np.array(counts["counts"], dtype=np.float64)
    return Table(title, "class", tuple(counts["rows"]), tuple(counts["columns"]), values, decimals=0)
