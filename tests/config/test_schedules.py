"""Learning-rate schedules against torch's own and the published formulas."""

import math

import pytest
import torch

from spooftrace.config.schedules import learning_rate_factor
from spooftrace.config.settings import NEEDED, Schedule

LR, STEPS = 2e-4, 7  # steps of an epoch


def rates(kind: str, run: int, **settings) -> list[float]:
    """Learning rate in the first step of each epoch of a run; the same in all others, unless it moves by step."""
    schedule = Schedule(kind, **settings)
    factors = [learning_rate_factor(schedule, LR, step, STEPS, max_epochs=run) for step in range(STEPS * run)]
    if kind != "cosine":
        assert all(factors[step] == factors[step - step % STEPS] for step in range(len(factors)))
    return [LR * factor for factor in factors[::STEPS]]


def test_waves_are_torchs_cosine_annealing_stepped_beyond_its_end():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=LR)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=5, eta_min=1e-9)
    expected = []
    for _ in range(27):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    found = rates("cosine_waves", 27, epochs=5, final_lr=1e-9)
    assert found == pytest.approx(expected, rel=1e-6)
    assert found[5] == pytest.approx(1e-9)
    assert found[20] == pytest.approx(LR)  # the period is 10 epochs


def test_cosine_ends_at_its_final_rate():
    schedule = Schedule("cosine", final_lr=5e-6)
    steps = [learning_rate_factor(schedule, LR, step, STEPS, max_epochs=4) * LR for step in range(4 * STEPS + 1)]
    assert steps[0] == LR
    assert steps[14] == pytest.approx((LR + 5e-6) / 2)
    assert steps[-1] == pytest.approx(5e-6)
    assert steps == sorted(steps, reverse=True)


def test_warm_up_and_decay():
    found = rates("warmup_decay", 8, epochs=5, factor=0.8)
    assert found == pytest.approx([LR * part for part in (0.2, 0.4, 0.6, 0.8, 1.0, 1.0, 0.8, 0.64)])


def test_staircase():
    assert rates("staircase", 5, epochs=2, factor=0.5) == pytest.approx([LR, LR, LR / 2, LR / 2, LR / 4])


def test_every_kind_is_known():
    for kind, needed in NEEDED.items():
        assert all(math.isfinite(rate) for rate in rates(kind, 3, **dict.fromkeys(needed, 1)))
    with pytest.raises(ValueError, match="no schedule 'triangle'"):
        rates("triangle", 1)
