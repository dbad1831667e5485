"""A training that goes on after a whole epoch sees the batches of the next one."""

from pathlib import Path

import pytest

from spooftrace.cli import main


def test_resumed_between_epochs(make_data, write_config, monkeypatch):
    from spooftrace.learner import Learner

    config = write_config()
    for number, name in enumerate(("train", "dev")):
        data = str(make_data(name, 14, seed=number))
        assert main(["extract", "--config", str(config), "--data", data]) == 0
        assert main(["extract", "--config", str(config), "--data", data, "--collect"]) == 0
    command = ["train", "--config", str(config), "--train", "data/train", "--dev", "data/dev", "--exp"]
    assert main([*command, "exp/whole"]) == 0

    begin = Learner.on_train_epoch_start

    def stop(learner):
        begin(learner)
        if learner.current_epoch == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Learner, "on_train_epoch_start", stop)
        assert main([*command, "exp/stopped"]) == 130
    assert main([*command, "exp/stopped"]) == 0
    whole, stopped = (
        Path(f"exp/{name}/epochs.tsv").read_text(encoding="utf-8").split()[4:] for name in ("whole", "stopped")
    )
    assert len(whole) == 12
    assert list(map(float, stopped)) == pytest.approx(list(map(float, whole)), rel=1e-4)
