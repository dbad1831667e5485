"""A training that learns nothing reports this after the first epoch that shows it."""

from pathlib import Path

import numpy as np
import pytest
import torch

from spooftrace.training.symptoms import Symptoms, all_equal

SETTINGS = {"max_epochs": 2, "monitor": "dev_loss"}


def test_equal_dev_scores_are_said_and_recorded(live, capsys):
    """All recordings of the dev set are identical, and every score is the same, as with a dead system."""
    scp = Path("data/dev/wav.scp")
    (first, *_) = lines = scp.read_text(encoding="utf-8").splitlines()
    scp.write_text("".join(f"{line.split()[0]} {first.split()[1]}\n" for line in lines), encoding="utf-8")
    run = live("a", SETTINGS)
    error = capsys.readouterr().err
    assert error.count("warning: epoch 1: all dev scores are equal") == 1
    assert error.count("warning: epoch 2: all dev scores are equal") == 1
    assert "lower optimizer.init_args.lr" in error
    assert run["symptoms"] == {"equal_dev_scores": [1, 2]}
    run = live("a", SETTINGS | {"max_epochs": 3})
    assert run["symptoms"] == {"equal_dev_scores": [1, 2, 3]}


def test_dead_units_are_said(live, capsys, monkeypatch):
    """Make the output of the back-end independent of its input."""
    from spooftrace.backends import LinearProbe

    forward = LinearProbe.forward
    monkeypatch.setattr(LinearProbe, "forward", lambda self, x: torch.relu(-1 - forward(self, x).square()))
    live("a", SETTINGS | {"max_epochs": 1})
    assert "warning: epoch 1: all dev scores are equal" in capsys.readouterr().err


def test_healthy_training_says_nothing(live, capsys):
    assert live("a", SETTINGS)["symptoms"] == {}
    assert "warning" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("scores", "equal"),
    [
        ([0.693, 0.693, 0.693], True),
        ([0.693, np.nextafter(np.float32(0.693), np.float32(1)), 0.693], True),  # rounding of another batch size
        ([0.0, 0.0], True),
        ([0.693, 0.6931], False),
        ([1e-30, 2e-30], False),
        ([0.5], False),  # a single utterance shows nothing
        ([[1.0, 2.0], [1.0, 2.0]], True),
        ([[1.0, 2.0], [1.0, 3.0]], False),
        ([[[1.0], [2.0]], [[1.0], [2.0]]], True),
    ],
)
def test_scores_are_equal_up_to_rounding(scores, equal):
    assert all_equal(np.array(scores, np.float32)) is equal


def test_loss_that_is_not_finite_is_said(capsys):
    symptoms = Symptoms()
    symptoms.see(1, 0.5, False, say=True)
    assert (symptoms.epochs, capsys.readouterr().err) == ({}, "")
    for loss in (float("nan"), float("inf")):
        symptoms.see(2, loss, False, say=True)
        assert "epoch 2: the loss of a training batch was not a finite number" in capsys.readouterr().err
    symptoms.see(3, float("nan"), True, say=False)
    assert symptoms.epochs == {"train_loss_not_finite": [2, 2, 3], "equal_dev_scores": [3]}
    assert capsys.readouterr().err == ""
