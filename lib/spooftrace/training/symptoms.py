"""Signs that a training does not learn, said after the epoch that shows them and recorded in ``run.json``."""

from __future__ import annotations

import math
import sys

import numpy as np

EQUAL_SCORES, LOSS_NOT_FINITE = "equal_dev_scores", "train_loss_not_finite"  # in run.json, each with its epochs
SAYS = {
    EQUAL_SCORES: (
        "all dev scores are equal, so the model does not look at its input. Likely causes: a learning rate at which "
        "units died (lower optimizer.init_args.lr and train anew), features or audio that are all the same (look at "
        "stage 3), or data.crop shorter than what differs"
    ),
    LOSS_NOT_FINITE: (
        "the loss of a training batch was not a finite number. Likely causes: a learning rate that is too high (lower "
        "optimizer.init_args.lr or set trainer.gradient_clip_val), or the range of trainer.precision"
    ),
}


def all_equal(scores: np.ndarray) -> bool:
    """Whether scores (N,) or (N, S) of two utterances or more differ by no more than rounding does.

    The same numbers in batches of other sizes differ by some units in the last place of the largest.
    """
    if len(scores) < 2:
        return False
    rows = np.asarray(scores, np.float64).reshape(len(scores), -1)
    tolerance = 16 * float(np.finfo(np.float32).eps) * np.abs(rows).max(initial=0.0)
    return bool((np.ptp(rows, axis=0) <= tolerance).all())


class Symptoms:
    """Symptom -> the epochs that had it, counted from 1."""

    def __init__(self) -> None:
        self.epochs: dict[str, list[int]] = {}

    def see(self, epoch: int, train_loss: float, equal: bool, say: bool) -> None:
        """Record what an epoch shows; ``say`` it on stderr, too."""
        for symptom, shown in ((EQUAL_SCORES, equal), (LOSS_NOT_FINITE, not math.isfinite(train_loss))):
            if shown:
                self.epochs.setdefault(symptom, []).append(epoch)
                if say:
                    print(f"spooftrace train: warning: epoch {epoch}: {SAYS[symptom]}", file=sys.stderr, flush=True)
