"""How well numbers tell classes apart: one cue at a time, and all of them in a small classifier. Arrays in and out.

Detection is judged by the equal error rate of the cue as a score, in the better direction: 0.5 says that it tells
nothing. A threshold misses a class whose values are all the same, or lie in the middle (every copy normalised to one
peak, say), so there are also the decisions of a histogram, which serve any number of classes.

What is trained is judged by cross-validation over speakers, so that no voice is both learnt from and judged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from spooftrace.metrics.detection import eer
from spooftrace.metrics.intervals import bootstrap_interval

Array = np.ndarray
FOLDS = 5
BINS = 10
DRAWS, LEVEL = 300, 0.95
MIN_SPEAKERS = 10  # the interval from resampling fewer of them would be too narrow: utterances then


@dataclass(frozen=True)
class Estimate:
    """A measure of how well classes are told apart: an error rate or an F1, as a fraction.

    Attributes:
        value: on all utterances.
        low: lower end of its 95 % bootstrap interval, by speaker where there are at least 10 of each class.
        high: upper end.
        chance: its mean for a cue without information.
        spread: its standard deviation for such a cue, utterances taken as independent.
        perfect: its value without any error, 0 or 1.
    """

    value: float
    low: float
    high: float
    chance: float
    spread: float
    perfect: float

    @property
    def skill(self) -> float:
        """0 at chance, 1 without error: 1 - 2 EER, or the share of the way from chance to an F1 of 1."""
        return (self.value - self.chance) / (self.perfect - self.chance)

    def beyond_luck(self, deviations: float) -> bool:
        """Is it further from chance, on the better side, than so many standard deviations?"""
        return self.skill * abs(self.perfect - self.chance) > deviations * self.spread


def equal_error(bonafide: Array, spoof: Array, speakers: tuple[Array, Array]) -> Estimate:
    """EER of a cue as a score, in the direction in which it is smaller.

    Equal values of both classes are taken in turn, as if lots were drawn, so that a cue that is constant has 0.5.

    Args:
        bonafide: (Nb,).
        spoof: (Ns,).
        speakers: of the two classes, (Nb,) and (Ns,).
    """
    scores = _ranks(bonafide, spoof)
    if eer(*scores)[0] > eer(-scores[0], -scores[1])[0]:
        scores = -scores[0], -scores[1]
    how: dict = {"scheme": "stratified"}
    if min(np.unique(one).size for one in speakers) >= MIN_SPEAKERS:
        how = {"scheme": "groups", "bonafide_groups": speakers[0], "spoof_groups": speakers[1]}
    found = bootstrap_interval(*scores, draws=DRAWS, level=LEVEL, **how)
    # Near 0.5 the EER is the mean of two shares, each of independent trials and 0.5 itself.
    spread = 0.25 * np.sqrt(1 / len(bonafide) + 1 / len(spoof))
    return Estimate(found.point, found.low, found.high, 0.5, float(spread), 0.0)


def balanced_error(classes: Array, decided: Array, speakers: Array) -> Estimate:
    """Mean error rate of two classes, 0 and 1; arguments as for :func:`f1_scores`."""
    drawn = _resampled_confusions(classes, decided, 2, speakers)  # (draws + 1, 2, 2)
    errors = drawn[:, [0, 1], [1, 0]] / drawn.sum(axis=2)  # (draws + 1, 2)
    truth, given = drawn[0].sum(axis=1), drawn[0].sum(axis=0)
    spread = np.sqrt(_lottery_variance(truth, given)[0]) / 2 * (1 / truth).sum()
    return _estimate(errors.mean(axis=1), 0.5, float(spread), 0.0)


def f1_scores(classes: Array, decided: Array, number: int, speakers: Array) -> tuple[Estimate, list[Estimate]]:
    """Macro-F1, and the F1 of each class.

    Chance is what the same decisions reach when they are dealt out to the utterances by lot.

    Args:
        classes: true class of each utterance, 0 to ``number`` - 1, each of which occurs, (N,).
        decided: class decided on, (N,).
        number: of classes.
        speakers: (N,).
    """
    drawn = _resampled_confusions(classes, decided, number, speakers)  # (draws + 1, C, C)
    truth, given = drawn[0].sum(axis=1), drawn[0].sum(axis=0)  # (C,)
    both = drawn.sum(axis=1) + drawn.sum(axis=2)  # (draws + 1, C)
    f1 = 2 * np.diagonal(drawn, axis1=1, axis2=2) / np.maximum(both, 1)  # (draws + 1, C)
    total, scale = truth.sum(), 2 / (truth + given)  # F1 = scale * number of right decisions
    expected = truth * given / total  # right decisions
    covariance = np.outer(expected, expected) / (total - 1)  # of different classes
    np.fill_diagonal(covariance, _lottery_variance(truth, given))
    spread = np.sqrt(scale @ covariance @ scale) / number
    each = [
        _estimate(f1[:, one], scale[one] * expected[one], scale[one] * covariance[one, one] ** 0.5, 1.0)
        for one in range(number)
    ]
    return _estimate(f1.mean(axis=1), float((scale * expected).mean()), float(spread), 1.0), each


def deal_folds(classes: Array, speakers: Array) -> tuple[Array, bool]:
    """The part of the cross-validation in which each utterance is judged, 0 to ``FOLDS`` - 1, (N,); whole speakers.

    The speakers of each class are dealt out in turn, so that every part but that of a lone speaker has the class. Where
    a class has one speaker only, utterances are dealt out, as nothing could be said of it otherwise.

    Returns:
        The parts, and whether speakers were kept whole.
    """
    names, of = np.unique(speakers, return_inverse=True)
    has = np.zeros((names.size, classes.max() + 1), bool)
    has[of, classes] = True
    speakers_of = has.sum(axis=0)  # (C,)
    whole = bool(speakers_of.min() > 1)
    # A speaker counts for the rarest of his classes: that is the one that could be missing somewhere.
    kind = np.where(has, speakers_of, names.size + 1).argmin(axis=1) if whole else classes
    part = np.empty(kind.size, int)
    part[np.argsort(kind, kind="stable")] = np.arange(kind.size) % FOLDS
    return (part[of] if whole else part), whole


def histogram_decisions(values: Array, classes: Array, folds: Array) -> Array:
    """The class of each utterance by a histogram of one cue, all classes taken as equally likely.

    Args:
        values: (N,); the bins hold equal shares of them.
        classes: 0, 1 ..., (N,).
        folds: (N,); an utterance is judged by the counts of the other parts.
    """
    edges = np.unique(np.quantile(values, np.linspace(0, 1, BINS + 1)[1:-1]))
    bins = np.searchsorted(edges, values, side="right")
    shape = FOLDS, edges.size + 1, int(classes.max()) + 1
    counts = np.bincount(np.ravel_multi_index((folds, bins, classes), shape), minlength=int(np.prod(shape)))
    counts = counts.reshape(shape)  # (F, B, C)
    others = counts.sum(axis=0) - counts
    shares = (others + 1) / (others.sum(axis=1, keepdims=True) + shape[1])  # of each class in each bin
    return shares.argmax(axis=2)[folds, bins]


def joint_decisions(values: Array, classes: Array, folds: Array) -> tuple[Array, Array]:
    """Decisions of a logistic regression on all cues, their ranks and squared ranks, all classes equally likely.

    Args:
        values: (N, K).
        classes: 0, 1 ..., (N,).
        folds: (N,); an utterance is judged by the regression of the other parts.

    Returns:
        The class of each utterance, (N,), and for two classes a score that is higher for class 0, (N,).
    """
    from sklearn.linear_model import LogisticRegression  # takes half a second
    from threadpoolctl import threadpool_limits  # scikit-learn needs it, too

    ranks = np.column_stack([_mid_ranks(column) for column in values.T])  # (N, K)
    inputs = np.hstack([ranks, ranks**2 - 1 / 3])  # (N, K) -> (N, 2 K)
    decided, scores = np.empty(len(classes), int), np.zeros(len(classes))
    for fold in np.unique(folds):
        here = folds == fold
        model = LogisticRegression(class_weight="balanced", max_iter=1000)
        with threadpool_limits(1):  # for so few columns, threads only wait for each other
            model.fit(inputs[~here], classes[~here])
        decided[here] = model.predict(inputs[here])
        if classes.max() == 1:
            scores[here] = -model.decision_function(inputs[here])
    return decided, scores


def _ranks(*values: Array) -> tuple[Array, Array]:
    """Ranks of all values, back in their two classes; equal ones of the classes lie evenly between each other."""
    together = np.concatenate(values)
    order = np.lexsort((np.concatenate(list(map(_place_among_equals, values))), together))
    ranks = np.empty(together.size)
    ranks[order] = np.arange(together.size)
    return ranks[: len(values[0])], ranks[len(values[0]) :]


def _place_among_equals(values: Array) -> Array:
    """For n equal values 0.5 / n, 1.5 / n ... (n - 0.5) / n: (N,)."""
    order = np.argsort(values, kind="stable")
    _, first, count = np.unique(values[order], return_index=True, return_counts=True)
    place = np.empty(values.size)
    place[order] = (np.arange(values.size) - np.repeat(first, count) + 0.5) / np.repeat(count, count)
    return place


def _mid_ranks(values: Array) -> Array:
    """Ranks from -1 to 1, equal values in the middle of theirs: (N,)."""
    _, of, count = np.unique(values, return_inverse=True, return_counts=True)
    return (2 * np.cumsum(count) - count)[of] / values.size - 1


def _resampled_confusions(classes: Array, decided: Array, number: int, speakers: Array) -> Array:
    """Confusions, true class by decided class: of all utterances, then of the draws, (DRAWS + 1, C, C)."""
    cells = classes * number + decided
    counts = np.bincount(cells, minlength=number**2)
    rng = np.random.default_rng(0)
    names, of = np.unique(speakers, return_inverse=True)
    if min(np.unique(of[classes == one]).size for one in range(number)) < MIN_SPEAKERS:
        drawn = rng.multinomial(counts.sum(), counts / counts.sum(), DRAWS)
    else:
        times = rng.multinomial(names.size, np.full(names.size, 1 / names.size), DRAWS)  # (draws, speakers)
        drawn = np.array([np.bincount(cells, one[of], number**2) for one in times])
    kept = drawn.reshape(-1, number, number)
    kept = kept[kept.sum(axis=2).all(axis=1)]  # without draws that lack a class
    return np.concatenate([counts.reshape(1, number, number), kept])


def _lottery_variance(truth: Array, given: Array) -> Array:
    """Variance of the right decisions of each class when decisions are dealt out by lot (hypergeometric): (C,)."""
    total = truth.sum()
    return truth * given * (total - truth) * (total - given) / (total**2 * (total - 1.0))


def _estimate(values: Sequence[float] | Array, chance: float, spread: float, perfect: float) -> Estimate:
    """The first of ``values`` is that of all utterances, the others are those of the draws."""
    low, high = np.quantile(values[1:] if len(values) > 1 else values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(float(values[0]), float(low), float(high), float(chance), float(spread), perfect)
