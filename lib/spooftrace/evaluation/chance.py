"""What attribution reaches without listening: decisions at random, or always the most frequent class.

Both are computed from how many utterances each class has, so that they are the same at every run. The figure for random
decisions is the expectation over all of them, not that of one draw, and not F1 of expected counts, which is higher: F1
is no linear function of the counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

Array = np.ndarray

CHANCE_CONVENTION = (
    "random: every utterance gets one of the model's classes, all equally likely; the expectation over all such "
    "decisions, exactly. majority: every utterance gets the class that most of those have which are judged together."
)


def chance(utterances: Mapping[str, int], choices: int) -> dict[str, dict[str, Any]]:
    """Accuracy, macro F1 and weighted F1 of both, under ``random`` and ``majority``.

    Args:
        utterances: how many each true class has, above zero; N in all.
        choices: how many classes random decisions are between; those that are no true class count too.

    Raises:
        ValueError: no class, a class without utterances, or no choice.

    >>> found = chance({"dac": 1, "snac": 1}, choices=2)
    >>> found["random"]["accuracy"], round(found["random"]["macro_f1"], 6)  # decided: 1/4 none, 1/2 one, 1/4 both
    (0.5, 0.416667)
    >>> found["majority"]["class"], round(found["majority"]["macro_f1"], 6)
    ('dac', 0.333333)
    """
    support = np.array(list(utterances.values()), dtype=np.float64)  # (C,)
    if not support.size or (support < 1).any() or choices < 1:
        raise ValueError(f"{choices} choices between classes of {', '.join(map(str, utterances.values()))} utterances")
    total = int(support.sum())
    # Of a class with n utterances m are decided, TP of them right: F1 = 2 TP / (n + m), and TP is m n / N on average.
    decided = np.arange(total + 1)
    likely = _binomial(total, 1 / choices)
    f1 = np.array([likely @ (2 * decided * n / (total * (n + decided))) for n in support])
    largest = int(support.argmax())
    always = np.where(np.arange(support.size) == largest, 2 * support / (support + total), 0)
    weights = support / total
    return {
        "random": {"choices": choices, "accuracy": 1 / choices, **_means(f1, weights)},
        "majority": {
            "class": list(utterances)[largest], "accuracy": float(weights[largest]), **_means(always, weights),
        },
    }  # fmt: skip


def _means(f1: Array, weights: Array) -> dict[str, float]:
    return {"macro_f1": float(f1.mean()), "weighted_f1": float(f1 @ weights)}


def _binomial(count: int, p: float) -> Array:
    """Probabilities of 0 to ``count`` successes, (count + 1,)."""
    from scipy.special import gammaln, xlog1py, xlogy  # takes its time, and the report imports this module

    k = np.arange(count + 1)
    log = gammaln(count + 1) - gammaln(k + 1) - gammaln(count - k + 1) + xlogy(k, p) + xlog1py(count - k, -p)
    likely = np.exp(log - log.max())
    return likely / likely.sum()
