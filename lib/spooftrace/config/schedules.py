"""Learning-rate schedules: the factor on the optimizer's learning rate as a function of the step, and of nothing else.

So a resumed run has the rate that it would have had.
"""

from __future__ import annotations

import math

from spooftrace.config.settings import NEEDED, Schedule


def learning_rate_factor(schedule: Schedule, lr: float, step: int, steps_per_epoch: int, max_epochs: int) -> float:
    """What ``lr`` is multiplied by in training step ``step``, counted from 0.

    Args:
        schedule: The section ``schedule`` of a configuration.
        lr: The optimizer's learning rate.
        step: The step.
        steps_per_epoch: Steps of one epoch.
        max_epochs: Epochs of the whole run.

    >>> staircase = Schedule("staircase", epochs=2, factor=0.5)
    >>> [learning_rate_factor(staircase, 1.0, step, steps_per_epoch=10, max_epochs=9) for step in (0, 19, 20, 40)]
    [1.0, 1.0, 0.5, 0.25]
    """
    epoch = step // steps_per_epoch
    period, factor = schedule.epochs or 1, schedule.factor or 0.0  # set for the kinds below that use them
    match schedule.kind:
        case "constant":
            return 1.0
        case "cosine":
            return _half_cosine(min(1.0, step / (max_epochs * steps_per_epoch)), schedule.final_lr / lr)
        case "cosine_waves":
            return _half_cosine(epoch / period, schedule.final_lr / lr)
        case "warmup_decay":
            return (epoch + 1) / period if epoch < period else factor ** (epoch - period)
        case "staircase":
            return factor ** (epoch // period)
    raise ValueError(f"no schedule '{schedule.kind}'; there are {', '.join(NEEDED)}")


def _half_cosine(progress: float, lowest: float) -> float:
    """From 1 at progress 0 to ``lowest`` at 1, and on along the cosine."""
    return lowest + (1 - lowest) * 0.5 * (1 + math.cos(math.pi * progress))
