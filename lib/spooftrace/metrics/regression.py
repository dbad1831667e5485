"""Codec parsing (NACSP): the sampling rate, bit rate and number of quantizers of the codec behind an utterance.

Everywhere the three targets stand in the order of :data:`TARGETS` and in natural units: kHz, kbit/s, quantizers. A
value that is not known for a codec (a bit rate its authors never give, say) is NaN in the truth or the table, and takes
no part.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

Array = np.ndarray

TARGETS = ("sampling_rate_khz", "bitrate_kbps", "quantizers")


@dataclass(frozen=True)
class TargetErrors:
    """Errors per target, each of shape (3,); NaN for a target known of no utterance."""

    count: Array  # utterances whose true value is known
    rmse: Array  # root of the mean squared error
    mae: Array  # mean absolute error


def target_errors(truth: ArrayLike, predicted: ArrayLike) -> TargetErrors:
    """RMSE and MAE of each target over all utterances.

    Args:
        truth: True values, shape (N, 3), NaN where unknown.
        predicted: Predicted values, shape (N, 3).

    Raises:
        ValueError: No utterances, wrong or unequal shapes, an infinite value, or a prediction that is NaN.

    >>> errors = target_errors([[24, 6, 8], [16, float("nan"), 8]], [[24, 7, 5], [22, 1, 12]])
    >>> errors.count.tolist(), errors.mae.tolist(), errors.rmse.round(3).tolist()
    ([2, 1, 2], [3.0, 1.0, 3.5], [4.243, 1.0, 3.536])
    """
    truth, predicted = _checked_pair(truth, predicted)
    return _errors(truth, predicted)


def target_errors_per_codec(truth: ArrayLike, predicted: ArrayLike, codecs: Sequence[str]) -> dict[str, TargetErrors]:
    """:func:`target_errors` over the utterances of each codec, by name in sorted order.

    ``codecs`` names the codec of each of the N utterances; also ValueError where there are not N names.
    """
    truth, predicted = _checked_pair(truth, predicted)
    names, rows = _codec_rows(codecs, len(truth))
    return {str(name): _errors(truth[rows == row], predicted[rows == row]) for row, name in enumerate(names)}


def nearest_codec(predictions: ArrayLike, table: Mapping[str, ArrayLike], scale: ArrayLike) -> Array:
    """The codec of the table whose parameters are nearest to each prediction.

    The distance is the root mean square, over the targets known for that codec, of the difference divided by the scale.
    (The mean, not the sum: with the sum, the fewer numbers are known of a codec the nearer it would be to everything.
    For a complete table it orders codecs as the Euclidean distance does.) Of equally near codecs the first by name is
    returned, so of codecs with the same three numbers always that one.

    Args:
        predictions: Predicted values, shape (N, 3).
        table: Codec name -> its three values, NaN where unknown.
        scale: What a difference in each target is divided by, shape (3,), above zero, such as the standard deviation
            of the target over the training set.

    Returns:
        Names, an array of strings of shape (N,).

    Raises:
        ValueError: A wrong shape, a NaN or infinite value where none may be, an empty table, or a codec of which the
            table knows no value.

    >>> table = {"encodec": [24, 6, 8], "snac": [24, 0.98, 3], "soundstream": [16, float("nan"), float("nan")]}
    >>> nearest_codec([[23, 1.5, 3.4], [15, 6, 8]], table, scale=[8, 4, 8]).tolist()
    ['snac', 'soundstream']
    """
    predictions = _checked(predictions, "predictions", unknown_allowed=False)
    scale = np.asarray(scale, dtype=np.float64)
    if scale.shape != (len(TARGETS),) or not np.isfinite(scale).all() or (scale <= 0).any():
        raise ValueError(f"scale must be {len(TARGETS)} numbers above zero, not {scale.tolist()}")
    if not table:
        raise ValueError("the table has no codecs")
    names = sorted(table)
    values = _checked([table[name] for name in names], "table")  # (K, 3)
    known = ~np.isnan(values)
    if not known.any(axis=1).all():
        raise ValueError(f"the table knows no value of codec {names[int(np.argmin(known.any(axis=1)))]}")

    difference = (predictions[:, None] - values) / scale  # (N, 1, 3) - (K, 3) -> (N, K, 3)
    distance = np.where(known, difference**2, 0).sum(axis=2) / known.sum(axis=1)  # (N, K, 3) -> (N, K), mean square
    return np.array(names)[distance.argmin(axis=1)]  # argmin takes the first of equals


def nearest_codec_accuracy(
    predictions: ArrayLike, codecs: Sequence[str], table: Mapping[str, ArrayLike], scale: ArrayLike
) -> float:
    """Fraction of utterances for which :func:`nearest_codec` names the true codec.

    ``codecs`` names the codec of each of the N utterances. Errors as for :func:`nearest_codec`; also ValueError where
    there are not N names, or one is not in the table.
    """
    decided = nearest_codec(predictions, table, scale)
    names, _ = _codec_rows(codecs, len(decided))
    missing = sorted(set(names.tolist()) - set(table))
    if missing:
        raise ValueError(f"codecs that are not in the table: {', '.join(missing)}")
    return float((decided == np.asarray(codecs)).mean())


def _errors(truth: Array, predicted: Array) -> TargetErrors:
    known = ~np.isnan(truth)
    count = known.sum(axis=0)
    error = np.where(known, predicted - truth, 0)
    divisor = np.where(count, count, np.nan)
    return TargetErrors(
        count=count,
        rmse=np.sqrt((error**2).sum(axis=0) / divisor),
        mae=np.abs(error).sum(axis=0) / divisor,
    )


def _checked_pair(truth: ArrayLike, predicted: ArrayLike) -> tuple[Array, Array]:
    true, output = _checked(truth, "truth"), _checked(predicted, "predictions", unknown_allowed=False)
    if len(true) != len(output):
        raise ValueError(f"{len(true)} utterances in the truth but {len(output)} in the predictions")
    return true, output


def _codec_rows(codecs: Sequence[str], count: int) -> tuple[Array, Array]:
    """The codecs that occur, sorted, and the number of each utterance's among them."""
    names = np.asarray(codecs, dtype=str)
    if names.shape != (count,):
        raise ValueError(f"{count} utterances but codec names of shape {names.shape}")
    return np.unique(names, return_inverse=True)


def _checked(values: ArrayLike, name: str, unknown_allowed: bool = True) -> Array:
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 2 or values.shape[0] == 0 or values.shape[1] != len(TARGETS):
        raise ValueError(f"{name} must be of shape (N, {len(TARGETS)}) with N above 0, not {values.shape}")
    if np.isinf(values).any() or (np.isnan(values).any() and not unknown_allowed):
        raise ValueError(f"{name} must not hold infinite values{'' if unknown_allowed else ' or NaN'}")
    return values
