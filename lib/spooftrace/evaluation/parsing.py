"""Codec parsing (NACSP): sampling rate, bit rate and number of quantizers of the codec behind an utterance.

The output file has the predictions in natural units, its columns in any order::

    utt  khz   kbps  quantizers
    u1   23.1  5.7   7.6

The truth is ``utt2nac`` of the data directory, in which ``-`` is an unknown value; ``utt2codec`` names the
codecs. A codec whose name stands for several settings counts as several, such as ``encodec (24 6 8)``.

Closed set are the codecs that the model was trained on, open set the others. The nearest-codec decision takes the codec
whose three values are nearest to the predicted ones.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from spooftrace.common.errors import InputError
from spooftrace.common.text_table import text_table
from spooftrace.datadir import read_list
from spooftrace.evaluation.breakdown import AXIS_NAMES, POOLED, Table
from spooftrace.evaluation.outputs import NOTHING, judged, read_outputs, truth_table
from spooftrace.evaluation.parts import AXES, PART_CONVENTION, parts_of
from spooftrace.evaluation.score_files import finite
from spooftrace.metrics.regression import TARGETS, TargetErrors, nearest_codec, target_errors, target_errors_per_codec

Array = np.ndarray
Values = tuple[float | None, ...]  # in the order of TARGETS, None where unknown
Setting = tuple[str, Values]  # a codec and its values

COLUMNS = ("khz", "kbps", "quantizers")
UNITS = dict(zip(TARGETS, ("kHz", "kbit/s", "quantizers"), strict=True))
NAMES = {"closed_set": "closed set", "open_set": "open set"}
NEAREST_CONVENTION = (
    "Nearest codec by the root mean square of the differences over the targets known of it, each divided by 'scale'; "
    "of codecs with the same values the first by name, so that 'same_values' cannot be told apart."
)
TRAINING_MEAN_CONVENTION = (
    "training_mean: the same three values for every utterance, the means over the training set; what a model has to "
    "beat."
)
QUANTILES = {"p05": 0.05, "median": 0.5, "p95": 0.95}


def evaluate_parsing(
    data: str | Path, outputs: str | Path, known: str | Path | None = None, codec_data: Sequence[str | Path] = ()
) -> dict[str, Any]:
    """Parsing metrics of an output file, as written to ``metrics.json``. Errors are in kHz, kbit/s and quantizers.

    Args:
        data: data directory of the test set, with ``utt2nac`` and ``utt2codec``.
        outputs: the output file.
        known: data directory of the training set, or a file that lists the names of its codecs, one a line; without it
            the closed and the open set are not told apart.
        codec_data: further data directories whose codecs the nearest-codec decision may choose.

    Raises:
        InputError: as for :func:`read_outputs`, :func:`judged` and :func:`parts_of`; other columns; a value in
            ``utt2nac`` that is not a number; no codec in ``utt2codec`` for an utterance with values.
    """
    data, found = Path(data), read_outputs(outputs)
    known = Path(known) if known is not None else None
    training = known if known is not None and known.is_dir() else None
    if sorted(found.columns) != sorted(COLUMNS):
        raise InputError(f"{found.path}:1: columns {', '.join(found.columns)}; expected utt, {', '.join(COLUMNS)}")
    nac = truth_table(data, "utt2nac")
    utts = judged(found, nac, data / "utt2nac")
    settings = {
        folder: _settings(folder) for folder in dict.fromkeys([data, training, *map(Path, codec_data)]) if folder
    }
    name_of = _names(settings.values())
    truth = np.array([settings[data][utt][1] for utt in utts], dtype=np.float64)  # None becomes NaN
    predicted = found.numbers(utts)[:, [found.columns.index(column) for column in COLUMNS]]
    codecs = np.array([name_of[settings[data][utt]] for utt in utts])

    candidates = {name: values for (_, values), name in name_of.items()}
    trained_on = [values for _, values in settings[training].values()] if training else []
    scale = _scale(np.array(trained_on or list(candidates.values()), dtype=np.float64))
    table = {name: np.array(values, dtype=np.float64) for name, values in candidates.items()}
    everyone = np.ones(len(utts), bool)
    right = nearest_codec(predicted, table, scale) == codecs
    learnt = np.array(trained_on, dtype=np.float64)
    constant = _mean(learnt) if trained_on and not np.isnan(learnt).all(axis=0).any() else None

    def figures(part: Array) -> dict[str, Any]:
        """Of some utterances, and what the means of the training set would make of them."""
        cell = {"trials": int(part.sum())} | _figures(truth[part], predicted[part], right[part])
        if constant is not None:
            guess = np.tile(constant, (int(part.sum()), 1))
            always = nearest_codec(constant[None], table, scale)[0]
            cell["training_mean"] = _figures(truth[part], guess, codecs[part] == always)
        return cell

    metrics: dict[str, Any] = {
        "task": "parsing",
        "set": data.resolve().name,
        "data": data.as_posix(),
        "not_judged": len(nac) - len(utts),
        "units": UNITS,
        **figures(everyone),
        "by_codec": {
            name: {
                "utterances": int((codecs == name).sum()),
                "true": dict(zip(TARGETS, candidates[name], strict=True)),
                "predicted": _spread(predicted[codecs == name]),
                "nearest_codec_accuracy": float(right[codecs == name].mean()),
                **_errors(errors),
            }
            for name, errors in target_errors_per_codec(truth, predicted, codecs.tolist()).items()
        },
        "nearest_codec": {
            "convention": NEAREST_CONVENTION,
            "candidates": sorted(candidates),
            "scale": scale.tolist(),
            "scale_from": "standard deviation over the " + ("training set" if trained_on else "candidates"),
            "same_values": _same_values(candidates),
        },
    }
    if constant is not None:
        metrics["training_mean_convention"] = TRAINING_MEAN_CONVENTION
    if known is not None:
        names = {codec for codec, _ in settings[training].values()} if training else set(read_list(known))
        is_known = np.array([settings[data][utt][0] in names for utt in utts])
        for name, of_set in zip(NAMES, (is_known, ~is_known), strict=True):
            cell = {"codecs": np.unique(codecs[of_set]).tolist(), **figures(of_set)} if of_set.any() else None
            metrics[name] = cell
    for part in parts_of(data, utts):
        metrics.setdefault(f"by_{part.axis}", {})[part.name] = figures(part.judged)
        metrics["part_convention"] = PART_CONVENTION
    return metrics


def tables(metrics: Mapping[str, Any]) -> dict[str, Table]:
    """RMSE and MAE by codec, and pooled over all, over the closed and over the open set, by name."""
    rows = dict(metrics["by_codec"])
    rows |= {f"{POOLED}, {NAMES[part]}": metrics[part] for part in NAMES if metrics.get(part)}
    rows[POOLED] = metrics
    found = {"codec": rows} | {axis: metrics[f"by_{axis}"] for axis in AXES if metrics.get(f"by_{axis}")}
    return {
        f"{measure}_by_{axis}": Table(
            f"{metrics['set']}: {measure.upper()} by {AXIS_NAMES.get(axis, axis)}",
            AXIS_NAMES.get(axis, axis),
            tuple(cells),
            tuple(UNITS.values()),
            np.array([[cell["targets"][target][measure] for target in TARGETS] for cell in cells.values()], float),
            decimals=3,
        )
        for axis, cells in found.items()
        for measure in ("rmse", "mae")
    }


def format_text(metrics: Mapping[str, Any]) -> str:
    """The metrics as plain text."""
    rows = {
        POOLED: metrics,
        **{NAMES[part]: metrics[part] for part in NAMES if metrics.get(part)},
        **{f"subset {name}": cell for name, cell in metrics.get("by_subset", {}).items()},
        **metrics["by_codec"],
    }
    if mean := metrics.get("training_mean"):
        rows["mean of the training set"] = {"trials": metrics["trials"]} | mean
    header = [f"{measure} {unit}" for measure in ("RMSE", "MAE") for unit in UNITS.values()]
    grid = []
    for name, row in rows.items():
        errors = [row["targets"][target][measure] for measure in ("rmse", "mae") for target in TARGETS]
        accuracy = f"{100 * row['nearest_codec_accuracy']:.2f}" if "nearest_codec_accuracy" in row else ""
        count = row["trials"] if "trials" in row else row["utterances"]
        grid.append([name, str(count), *("n/a" if error is None else f"{error:.3f}" for error in errors), accuracy])
    nearest = metrics["nearest_codec"]
    lines = [
        f"{metrics['set']}: {metrics['trials']} utterances, {metrics['not_judged']} without codec parameters",
        text_table(["codec", "utterances", *header, "nearest codec right %"], grid) + "\n",
        f"nearest codec out of {len(nearest['candidates'])}, differences divided by the {nearest['scale_from']}: "
        + ", ".join(f"{value:.3g} {unit}" for value, unit in zip(nearest["scale"], UNITS.values(), strict=True)),
    ]
    lines += [f"cannot be told apart by these values: {', '.join(names)}" for names in nearest["same_values"]]
    return "\n".join(lines)


def _settings(folder: Path) -> dict[str, Setting]:
    """The codec and its values of each utterance that any value is known of."""
    nac, codec_of = truth_table(folder, "utt2nac"), truth_table(folder, "utt2codec")
    settings = {}
    for number, (utt, value) in enumerate(nac.items(), start=1):
        fields = value.split()
        if set(fields) == {NOTHING}:
            continue
        try:
            values = tuple(None if field == NOTHING else finite(field) for field in fields)
        except ValueError:
            values = ()
        if len(values) != len(TARGETS):
            raise InputError(
                f"{folder / 'utt2nac'}:{number}: '{value}' of {utt} is not kHz, kbit/s, quantizers ('-' where unknown)"
            )
        if codec_of.get(utt, NOTHING) == NOTHING:
            raise InputError(f"{folder / 'utt2codec'}: no codec of {utt}, of which {folder / 'utt2nac'} has parameters")
        settings[utt] = (codec_of[utt], values)
    return settings


def _names(settings: Iterable[Mapping[str, Setting]]) -> dict[Setting, str]:
    """A name for each setting: that of the codec, and its values too if the codec has several."""
    found = {setting for folder in settings for setting in folder.values()}
    several = Counter(codec for codec, _ in found)
    return {
        (codec, values): codec if several[codec] == 1 else f"{codec} ({' '.join(map(_text, values))})"
        for codec, values in found
    }


def _text(value: float | None) -> str:
    return NOTHING if value is None else f"{value:g}"


def _scale(values: Array) -> Array:
    """The spread of each target, 1 for one that does not vary or is not known."""
    known = ~np.isnan(values)
    squares = np.where(known, values - _mean(values), 0) ** 2
    spread = np.sqrt(squares.sum(axis=0) / np.maximum(known.sum(axis=0), 1))
    return np.where(spread > 0, spread, 1)


def _mean(values: Array) -> Array:
    """The mean of what is known of each target, 0 where nothing is."""
    known = ~np.isnan(values)
    return np.where(known, values, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)


def _same_values(candidates: Mapping[str, Values]) -> list[list[str]]:
    names: dict[Values, list[str]] = defaultdict(list)
    for name in sorted(candidates):
        names[candidates[name]].append(name)
    return [group for group in names.values() if len(group) > 1]


def _figures(truth: Array, predicted: Array, right: Array) -> dict[str, Any]:
    return _errors(target_errors(truth, predicted)) | {"nearest_codec_accuracy": float(right.mean())}


def _spread(predicted: Array) -> dict[str, dict[str, float]]:
    """The quantiles of the predictions (N, 3) of each target."""
    values = np.quantile(predicted, list(QUANTILES.values()), axis=0)  # (N, 3) -> (quantiles, 3)
    return {
        target: dict(zip(QUANTILES, values[:, index].tolist(), strict=True)) for index, target in enumerate(TARGETS)
    }


def _errors(errors: TargetErrors) -> dict[str, Any]:
    """By target; None instead of NaN, which JSON has not."""
    return {
        "targets": {
            target: {
                "count": int(errors.count[index]),
                "rmse": float(errors.rmse[index]) if errors.count[index] else None,
                "mae": float(errors.mae[index]) if errors.count[index] else None,
            }
            for index, target in enumerate(TARGETS)
        }
    }
