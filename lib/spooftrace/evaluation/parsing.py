"""Codec parsing (NACSP): sampling rate, bit rate and number of quantizers of the codec that made an utterance.

The output file holds the predictions in natural units, its columns in any order::

    utt  khz   kbps  quantizers
    u1   23.1  5.7   7.6

The true values are ``utt2nac`` of the data directory, where ``-`` is an unknown value; ``utt2codec`` names the codecs.
Each setting of a codec counts as a codec of its own, such as ``encodec (24 6 8)``.

The closed set consists of the codecs that the model was trained on, the open set of all others. The nearest-codec
decision chooses the codec whose three values are nearest to the predicted ones.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from spooftrace.common.errors import InputError
from spooftrace.datadir import read_list
from spooftrace.evaluation.outputs import NO_VALUE, judged, read_outputs, truth_table
from spooftrace.evaluation.score_files import finite
from spooftrace.evaluation.subsets import SUBSET_CONVENTION, subsets_of
from spooftrace.metrics.regression import TARGETS, TargetErrors, nearest_codec, target_errors, target_errors_per_codec

Array = np.ndarray
Values = tuple[float | None, ...]  # in the order of TARGETS, None where unknown
Setting = tuple[str, Values]  # a codec and its values

COLUMNS = ("khz", "kbps", "quantizers")
UNITS = dict(zip(TARGETS, ("kHz", "kbit/s", "quantizers"), strict=True))
CODEC_SETS = {"closed_set": "closed set", "open_set": "open set"}
NEAREST_CONVENTION = (
    "Nearest codec: the least root mean square of the differences in its known targets, each divided by 'scale'. Among "
    "codecs with the same values ('same_values') the first by name is chosen."
)
TRAINING_MEAN_CONVENTION = "training_mean: baseline that predicts the means over the training set for all utterances."
QUANTILES = {"p05": 0.05, "median": 0.5, "p95": 0.95}


def evaluate_parsing(
    data: str | Path, outputs: str | Path, known: str | Path | None = None, codec_data: Sequence[str | Path] = ()
) -> dict[str, Any]:
    """Parsing metrics of an output file, as written to ``metrics.json``. Errors are in kHz, kbit/s and quantizers.

    Args:
        data: Data directory of the test set, with ``utt2nac`` and ``utt2codec``.
        outputs: The output file.
        known: Data directory of the training set, or a file with the names of its codecs, one per line; without it
            there are no closed-set and open-set metrics.
        codec_data: Further data directories with candidates for the nearest codec.

    Raises:
        InputError: As for :func:`read_outputs`, :func:`judged` and :func:`subsets_of`; the columns differ; a value in
            ``utt2nac`` is not a number; or an utterance with values has no codec in ``utt2codec``.
    """
    data, file = Path(data), read_outputs(outputs)
    known = Path(known) if known is not None else None
    training = known if known is not None and known.is_dir() else None
    if sorted(file.columns) != sorted(COLUMNS):
        raise InputError(f"{file.path}:1: columns {', '.join(file.columns)}; expected utt, {', '.join(COLUMNS)}")
    nac = truth_table(data, "utt2nac")
    utts = judged(file, nac, data / "utt2nac")
    settings = {
        folder: _settings(folder) for folder in dict.fromkeys([data, training, *map(Path, codec_data)]) if folder
    }
    name_of = _names(settings.values())
    trained_on = list(settings[training].values()) if training else []
    results = _Results(
        truth=np.array([settings[data][utt][1] for utt in utts], dtype=np.float64),  # None becomes NaN
        predicted=file.numbers(utts)[:, [file.columns.index(column) for column in COLUMNS]],
        codecs=np.array([name_of[settings[data][utt]] for utt in utts]),
        candidates={name: values for (_, values), name in name_of.items()},
        training=np.array([values for _, values in trained_on], dtype=np.float64),
    )
    metrics: dict[str, Any] = {
        "task": "parsing",
        "set": data.resolve().name,
        "data": data.as_posix(),
        "not_judged": len(nac) - len(utts),
        "units": UNITS,
        **results.metrics(np.ones(len(utts), bool)),
        "by_codec": results.by_codec(),
        "nearest_codec": {
            "convention": NEAREST_CONVENTION,
            "candidates": sorted(results.candidates),
            "scale": results.scale.tolist(),
            "scale_from": "standard deviation over the " + ("training set" if trained_on else "candidates"),
            "same_values": _same_values(results.candidates),
        },
    }
    if results.training_mean is not None:
        metrics["training_mean_convention"] = TRAINING_MEAN_CONVENTION
    if known is not None:
        names = {codec for codec, _ in trained_on} if training else set(read_list(known))
        is_known = np.array([settings[data][utt][0] in names for utt in utts])
        for key, members in zip(CODEC_SETS, (is_known, ~is_known), strict=True):
            cell = {"codecs": np.unique(results.codecs[members]).tolist(), **results.metrics(members)}
            metrics[key] = cell if members.any() else None
    for subset in subsets_of(data, utts):
        metrics.setdefault(f"by_{subset.axis}", {})[subset.name] = results.metrics(subset.judged)
        metrics["subset_convention"] = SUBSET_CONVENTION
    return metrics


@dataclass(frozen=True)
class _Results:
    """True and predicted values of N utterances, and the codecs to choose from.

    Attributes:
        truth: (N, 3), NaN where unknown.
        predicted: (N, 3).
        codecs: Name of the true codec, (N,).
        candidates: Name -> values of each codec that the nearest-codec decision may choose.
        training: Values of the training utterances, (M, 3), or (0,) if unknown.
    """

    truth: Array
    predicted: Array
    codecs: Array
    candidates: Mapping[str, Values]
    training: Array

    @cached_property
    def scale(self) -> Array:
        """Divisor of the differences of each target, (3,)."""
        return _scale(self.training if self.training.size else np.array(list(self.candidates.values()), np.float64))

    @cached_property
    def training_mean(self) -> Array | None:
        """Mean of each target over the training set, (3,); None if unknown."""
        has_all = self.training.size and not np.isnan(self.training).all(axis=0).any()
        return _mean(self.training) if has_all else None

    @cached_property
    def correct(self) -> Array:
        """Utterances whose nearest codec is the true one, bool (N,)."""
        return self._nearest(self.predicted) == self.codecs

    def metrics(self, chosen: Array) -> dict[str, Any]:
        """Metrics of some of the utterances, bool (N,), and those of predicting the mean of the training set."""
        if not chosen.any():
            return {"trials": 0}
        truth, codecs = self.truth[chosen], self.codecs[chosen]
        cell = {"trials": len(codecs)} | _metrics(truth, self.predicted[chosen], self.correct[chosen])
        if (mean := self.training_mean) is not None:
            guess = np.tile(mean, (len(codecs), 1))
            cell["training_mean"] = _metrics(truth, guess, codecs == self._nearest(mean[None])[0])
        return cell

    def by_codec(self) -> dict[str, dict[str, Any]]:
        """Codec -> its true values, quantiles of its predictions, and metrics."""
        errors_of = target_errors_per_codec(self.truth, self.predicted, self.codecs.tolist())
        return {
            name: {
                "utterances": int((self.codecs == name).sum()),
                "true": dict(zip(TARGETS, self.candidates[name], strict=True)),
                "predicted": _quantiles(self.predicted[self.codecs == name]),
                "nearest_codec_accuracy": float(self.correct[self.codecs == name].mean()),
                **_errors(errors),
            }
            for name, errors in errors_of.items()
        }

    def _nearest(self, predicted: Array) -> Array:
        table = {name: np.array(values, dtype=np.float64) for name, values in self.candidates.items()}
        return nearest_codec(predicted, table, self.scale)


def _settings(folder: Path) -> dict[str, Setting]:
    """Utterance -> codec and its values, for utterances with at least one known value."""
    nac, codec_of = truth_table(folder, "utt2nac"), truth_table(folder, "utt2codec")
    settings = {}
    for number, (utt, value) in enumerate(nac.items(), start=1):
        fields = value.split()
        if set(fields) == {NO_VALUE}:
            continue
        try:
            values = tuple(None if field == NO_VALUE else finite(field) for field in fields)
        except ValueError:
            values = ()
        if len(values) != len(TARGETS):
            raise InputError(
                f"{folder / 'utt2nac'}:{number}: '{value}' of {utt} is not kHz, kbit/s, quantizers ('-' where unknown)"
            )
        if codec_of.get(utt, NO_VALUE) == NO_VALUE:
            raise InputError(f"{folder / 'utt2codec'}: no codec of {utt}, which has values in {folder / 'utt2nac'}")
        settings[utt] = (codec_of[utt], values)
    return settings


def _names(settings: Iterable[Mapping[str, Setting]]) -> dict[Setting, str]:
    """Setting -> name: that of the codec, followed by its values if the codec has several settings."""
    distinct = {setting for folder in settings for setting in folder.values()}
    several = Counter(codec for codec, _ in distinct)
    return {
        (codec, values): codec if several[codec] == 1 else f"{codec} ({' '.join(map(_text, values))})"
        for codec, values in distinct
    }


def _text(value: float | None) -> str:
    return NO_VALUE if value is None else f"{value:g}"


def _scale(values: Array) -> Array:
    """Standard deviation of each target, 1 for a target that is constant or unknown."""
    known = ~np.isnan(values)
    squares = np.where(known, values - _mean(values), 0) ** 2
    spread = np.sqrt(squares.sum(axis=0) / np.maximum(known.sum(axis=0), 1))
    return np.where(spread > 0, spread, 1)


def _mean(values: Array) -> Array:
    """Mean of the known values of each target, 0 if all are unknown."""
    known = ~np.isnan(values)
    return np.where(known, values, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)


def _same_values(candidates: Mapping[str, Values]) -> list[list[str]]:
    """Groups of codecs that share all their values."""
    names: dict[Values, list[str]] = defaultdict(list)
    for name in sorted(candidates):
        names[candidates[name]].append(name)
    return [group for group in names.values() if len(group) > 1]


def _metrics(truth: Array, predicted: Array, correct: Array) -> dict[str, Any]:
    return _errors(target_errors(truth, predicted)) | {"nearest_codec_accuracy": float(correct.mean())}


def _quantiles(predicted: Array) -> dict[str, dict[str, float]]:
    """The quantiles of the predictions (N, 3) of each target."""
    values = np.quantile(predicted, list(QUANTILES.values()), axis=0)  # (N, 3) -> (quantiles, 3)
    return {
        target: dict(zip(QUANTILES, values[:, index].tolist(), strict=True)) for index, target in enumerate(TARGETS)
    }


def _errors(errors: TargetErrors) -> dict[str, Any]:
    """The errors by target; None instead of NaN, which JSON cannot represent."""
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
