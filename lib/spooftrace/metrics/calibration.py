"""Scores to log-likelihood ratios (LLR): what Cllr, actDCF and decisions at a fixed threshold need.

Everywhere: LLR = ln p(score | bona fide) - ln p(score | spoof), natural logarithm, higher = more bona fide.

Calibration and fusion are the prior-weighted logistic regression of the speaker recognition field (Bruemmer and
du Preez, "Application-independent evaluation of speaker detection", 2006; the FoCal and BOSARIS toolkits), fitted on
development scores, never on those to be evaluated. They do not change the order of the trials of a single system, so
they leave its EER alone, unless the fitted scale is negative: then the scores pointed the wrong way, which is never
corrected in silence (``flipped`` and a ``SignFlipWarning``).
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

Array = np.ndarray

# Of the fit, in which scores have a standard deviation of 1.
ITERATIONS = 50
SMALLEST_STEP = 1e-9
LARGEST_CONDITION = 1e12  # of the Hessian


class SignFlipWarning(UserWarning):
    """A fitted weight is negative: a higher score of that system was taken as less bona fide."""


@dataclass(frozen=True)
class Calibration:
    """LLR = scale * score + offset. ``flipped`` if the scale is negative."""

    scale: float
    offset: float

    @property
    def flipped(self) -> bool:
        """Whether the map reverses the order of the scores."""
        return self.scale < 0

    def apply(self, scores: ArrayLike) -> Array:
        """LLRs, shape (N,), of scores, shape (N,). ValueError if there is a NaN or infinite one."""
        return self.scale * _checked(scores, "", 1) + self.offset


@dataclass(frozen=True)
class Fusion:
    """LLR = sum of weight * score over the systems + offset. ``flipped`` if a weight is negative."""

    weights: tuple[float, ...]
    offset: float

    @property
    def flipped(self) -> bool:
        """Whether a weight reverses the order of a system's scores."""
        return min(self.weights) < 0

    def apply(self, scores: ArrayLike) -> Array:
        """LLRs, shape (N,), of the scores of all systems, shape (N, systems); ValueError as for fitting."""
        scores = _checked(scores, "", 2)
        if scores.shape[1] != len(self.weights):
            raise ValueError(f"scores of {scores.shape[1]} systems given to a fusion of {len(self.weights)}")
        return scores @ np.array(self.weights) + self.offset  # (N, systems) -> (N,)


def logits_to_llr(logits: ArrayLike, bonafide_prior: float) -> Array:
    """LLRs out of the logits of a classifier trained with cross-entropy.

    A softmax gives posteriors under the class shares seen in training; taking away their log odds leaves the LLR.

    Args:
        logits: Shape (N, 2) with columns spoof, bona fide (the class indices), or (N,) log odds of bona fide.
        bonafide_prior: Share of bona fide in the training loss, between 0 and 1: of the trials or, if the loss weighs
            the classes, of the summed weights (0.5 for weights that balance the classes).

    Returns:
        LLRs, shape (N,).

    Raises:
        ValueError: Another shape, NaN or infinite logits, a prior that is not between 0 and 1.

    >>> logits_to_llr([[0.0, 0.0], [1.0, 3.0]], 0.5).tolist()
    [0.0, 2.0]
    >>> logits_to_llr([0.0], 0.1).round(4).tolist()  # as likely as not, though bona fide are rare
    [2.1972]
    """
    values = _checked(logits, "", np.ndim(logits) if np.ndim(logits) in (1, 2) else 2)
    if values.ndim == 2:
        if values.shape[1] != 2:
            raise ValueError(f"logits have {values.shape[1]} columns; they need 2 (spoof, bona fide)")
        values = values[:, 1] - values[:, 0]  # (N, 2) -> (N,)
    return values - _log_odds(bonafide_prior)


def calibrate_fit(bonafide: ArrayLike, spoof: ArrayLike, prior: float = 0.5) -> Calibration:
    """Affine map of one system's scores to LLRs, from its scores on a development set.

    Args:
        bonafide: Scores of the bona fide development trials, shape (Nb,).
        spoof: Scores of the spoof development trials, shape (Ns,).
        prior: Probability of bona fide the fit aims at, whatever the numbers of trials; with 0.5 it minimises Cllr.

    Raises:
        ValueError: A class is empty, a score NaN or infinite, all scores are equal, or a threshold separates the
            classes without error (the likelihood then rises for ever with the scale).

    Warns:
        SignFlipWarning: the scale is negative.
    """
    bonafide, spoof = _checked(bonafide, "bona fide", 1), _checked(spoof, "spoof", 1)
    (scale,), offset = _fit(bonafide[:, None], spoof[:, None], prior)
    if scale < 0:
        warnings.warn(
            f"the calibration scale is negative ({scale:.4g}): on the development set higher scores are less bona "
            "fide; check the sign of the scores and the labels",
            SignFlipWarning,
            stacklevel=2,
        )
    return Calibration(scale, offset)


def fuse_fit(bonafide: ArrayLike, spoof: ArrayLike, prior: float = 0.5) -> Fusion:
    """Weighted sum of several systems' scores that is an LLR, from their scores on a development set.

    Args:
        bonafide: Scores of the bona fide development trials, shape (Nb, systems).
        spoof: Scores of the spoof development trials, shape (Ns, systems).
        prior: As for :func:`calibrate_fit`.

    Raises:
        ValueError: As for :func:`calibrate_fit`; the numbers of systems differ, or the scores of one system are a
            linear function of the others'.

    Warns:
        SignFlipWarning: a weight is negative. Among systems that err alike it may be right (one corrects the other);
            of a system that is flipped when calibrated alone, it is not.
    """
    bonafide, spoof = _checked(bonafide, "bona fide", 2), _checked(spoof, "spoof", 2)
    if bonafide.shape[1] != spoof.shape[1]:
        raise ValueError(f"bona fide scores of {bonafide.shape[1]} systems, spoof scores of {spoof.shape[1]}")
    weights, offset = _fit(bonafide, spoof, prior)
    negative = {index: round(weight, 4) for index, weight in enumerate(weights) if weight < 0}
    if negative:
        warnings.warn(
            f"fusion weights are negative (system: weight, counted from 0): {negative}; calibrate these systems alone "
            "to see whether their scores have the wrong sign",
            SignFlipWarning,
            stacklevel=2,
        )
    return Fusion(weights, offset)


def _fit(bonafide: Array, spoof: Array, prior: float) -> tuple[tuple[float, ...], float]:
    """Weights and offset of the prior-weighted logistic regression, by Newton's method with step halving."""
    scores = np.concatenate((bonafide, spoof))  # (N, systems)
    with np.errstate(over="ignore"):
        mean, spread = scores.mean(axis=0), scores.std(axis=0)
    if not np.isfinite(spread).all():
        raise ValueError(f"scores of up to {np.abs(scores).max():.3g} are too large to calibrate")
    # Relative to the size of the scores: the mean of equal numbers is not always exactly that number.
    constant = np.flatnonzero(spread <= 1e-12 * np.abs(scores).max(axis=0))
    if constant.size:
        raise ValueError(f"all development scores are equal (system {constant[0]}); there is nothing to calibrate")
    design = np.column_stack(((scores - mean) / spread, np.ones(len(scores))))  # (N, systems + 1)
    if np.linalg.matrix_rank(design) < design.shape[1]:
        raise ValueError("the scores of a system are a linear function of the others' (the same system twice?)")

    sign = np.repeat([1.0, -1.0], [len(bonafide), len(spoof)])
    weight = np.repeat([prior / len(bonafide), (1 - prior) / len(spoof)], [len(bonafide), len(spoof)])
    prior_log_odds = _log_odds(prior)

    def loss(parameters: Array) -> float:
        return float(weight @ np.logaddexp(0, -sign * (design @ parameters + prior_log_odds)))

    parameters = np.zeros(design.shape[1])
    for _ in range(ITERATIONS):
        projected = design[:, :-1] @ parameters[:-1]  # (N,)
        if projected[: len(bonafide)].min() > projected[len(bonafide) :].max():
            raise ValueError(
                "the development scores separate the classes without error, so no finite scale fits them best; "
                "use a development set on which the system errs"
            )
        # Posterior of the wrong class; this form keeps its precision where it is almost 0.
        wrong = np.exp(-np.logaddexp(0, sign * (design @ parameters + prior_log_odds)))
        gradient = -design.T @ (weight * sign * wrong)
        hessian = design.T @ (design * (weight * wrong * (1 - wrong))[:, None])  # (systems + 1, systems + 1)
        if np.linalg.cond(hessian) > LARGEST_CONDITION:
            break
        step, before = np.linalg.solve(hessian, gradient), loss(parameters)
        # The step, not the gradient, tells the end: where the scale runs off to infinity the gradient fades as well.
        if np.abs(step).max() < SMALLEST_STEP * (1 + np.abs(parameters).max()):
            weights = parameters[:-1] / spread
            return tuple(weights.tolist()), float(parameters[-1] - weights @ mean)
        while loss(parameters - step) > before + 1e-14:  # more than rounding
            step = step / 2
        parameters = parameters - step
    raise ValueError("the development scores separate the classes but for ties, so no finite scale fits them best")


def _log_odds(prior: float) -> float:
    if not 0 < prior < 1:
        raise ValueError(f"the prior of bona fide is {prior}; it must be between 0 and 1")
    return float(np.log(prior) - np.log1p(-prior))


def _checked(scores: ArrayLike, name: str, dimensions: int) -> Array:
    scores, name = np.asarray(scores, dtype=np.float64), f"{name} scores".strip()
    if scores.ndim != dimensions:
        shape = ("(trials,)", "(trials, systems)")[dimensions - 1]
        raise ValueError(f"{name} must have the shape {shape}, not {scores.shape}")
    if scores.size == 0:
        raise ValueError(f"there are no {name}")
    bad = int(np.count_nonzero(~np.isfinite(scores)))
    if bad:
        raise ValueError(f"{bad} of {scores.size} {name} are NaN or infinite")
    return scores
