"""Signals that end a training: it saves, reports this, and later continues with identical results."""

import os
import signal
from pathlib import Path

import pytest
import torch

from spooftrace.cli.main import main
from spooftrace.common.signals import Stopped, StopSignals
from spooftrace.training import train as training
from spooftrace.training.learner import Learner


@pytest.fixture
def train(make_data, write_config):
    """Run ``spooftrace train`` on a small system, 3 epochs of 3 batches, and return the exit status."""
    config = write_config()
    for number, name in enumerate(("train", "dev")):
        data = str(make_data(name, 14, seed=number))
        assert main(["extract", "--config", str(config), "--data", data]) == 0
        assert main(["extract", "--config", str(config), "--data", data, "--collect"]) == 0
    command = ["train", "--config", str(config), "--train", "data/train", "--dev", "data/dev", "--exp"]
    return lambda exp: main([*command, exp])


@pytest.fixture
def threads():
    """Return a function that sets the number of PyTorch threads for the test."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("hook", "step", "signum", "status", "when"),
    [
        ("training_step", 4, signal.SIGUSR1, 75, "in epoch 2 after batch 2, which is saved"),
        ("training_step", 1, signal.SIGTERM, 143, "in epoch 1 after batch 2, which is saved"),
        ("training_step", 5, signal.SIGUSR2, 75, "after epoch 2, which is saved"),  # the last batch of an epoch
        ("validation_step", 6, signal.SIGTERM, 143, "after epoch 2, which is saved"),
    ],
)
def test_stopped_and_resumed(train, threads, monkeypatch, capsys, hook, step, signum, status, when):
    threads(1)
    assert train("whole") == 0
    before, handler = getattr(Learner, hook), signal.getsignal(signum)

    def send(learner, *arguments):
        if learner.global_step == step:
            os.kill(os.getpid(), signum)
        return before(learner, *arguments)

    capsys.readouterr()
    with monkeypatch.context() as patch:
        patch.setattr(Learner, hook, send)
        assert train("stopped") == status
    name = signal.Signals(signum).name
    assert capsys.readouterr().err == f"spooftrace train: stopped by {name} {when}; run it again to go on\n"
    assert signal.getsignal(signum) == handler
    threads(2)  # continues with another number of threads
    assert train("stopped") == 0
    for name in ("model.safetensors", "epochs.tsv"):
        assert Path("stopped", name).read_bytes() == Path("whole", name).read_bytes()


def test_stopped_before_it_began(train, monkeypatch, capsys):
    monkeypatch.setattr(training, "make_batches", lambda *_, **__: os.kill(os.getpid(), signal.SIGUSR1))
    assert train("exp") == 75
    assert "stopped by SIGUSR1 before it began" in capsys.readouterr().err


def test_the_first_signal_counts():
    with StopSignals() as signals:
        signals.wait()
        for signum in (signal.SIGUSR2, signal.SIGTERM):
            os.kill(os.getpid(), signum)
        assert signals.received == signal.SIGUSR2
    with pytest.raises(Stopped), StopSignals():
        os.kill(os.getpid(), signal.SIGTERM)
