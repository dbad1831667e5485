"""Chance level of attribution: random decisions, and always the most frequent class.

Both are computed in closed form from the class counts, so they do not depend on a seed. The value for random decisions
is the expected F1, which is lower than the F1 of the expected counts because F1 is not linear in the counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

Array = np.ndarray

CHANCE_CONVENTION = (
    "random: each utterance is assigned one of the model's classes, all equally likely; the exact expected value. "
    "majority: each utterance is assigned the most frequent class of the utterances that are evaluated together."
)


def chance(utterances: Mapping[str, int], choices: int) -> dict[str, dict[str, Any]]:
    """Accuracy, macro F1 and weighted F1 of random decisions and of the majority class.

    Args:
        utterances: True class -> number of utterances, above zero; N in total.
        choices: Number of classes that random decisions are drawn from, including classes without utterances.

    Returns:
        Metrics as fractions under the keys ``random`` and ``majority``.

    Raises:
        ValueError: There is no class, a class without utterances, or no choice.

    >>> level = chance({"dac": 1, "snac": 1}, choices=2)
    >>> level["random"]["accuracy"], round(level["random"]["macro_f1"], 6)  # 1/4 none right, 1/2 one, 1/4 both
    (0.5, 0.416667)
    >>> level["majority"]["class"], round(level["majority"]["macro_f1"], 6)
    ('dac', 0.333333)
    """
    support = np.array(list(utterances.values()), dtype=np.float64)  # (C,)
    if not support.size or (support < 1).any() or choices < 1:
        raise ValueError(f"{choices} choices between classes of {', '.join(map(str, utterances.values()))} utterances")
    total = int(support.sum())
    # A class has n utterances and is predicted m times, TP of them correctly: F1 = 2 TP / (n + m), E[TP] = m n / N.
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
    from scipy.special import gammaln, xlog1py, xlogy  # slow to import, and the report imports this module

    k = np.arange(count + 1)
    log = gammaln(count + 1) - gammaln(k + 1) - gammaln(count - k + 1) + xlogy(k, p) + xlog1py(count - k, -p)
    likely = np.exp(log - log.max())
    return likely / likely.sum()
