"""Fixtures for tests of training."""

import json
from pathlib import Path

import pytest

from spooftrace.cli.main import main


@pytest.fixture
def live(make_data, write_config):
    """Return a function that trains a small system including its front-end, and returns run.json."""
    for number, name in enumerate(("train", "dev")):
        make_data(name, 14, seed=number)

    def train(
        exp: str, trainer: dict, status: int = 0, lr: float = 0.01, schedule=None, num_gpus: int = 0, **data
    ) -> dict:
        config = write_config(
            f"{exp}.yaml",
            streams={"tiny": {"class_path": "miniature.frontend.Projection"}},
            backend={"class_path": "LinearProbe", "init_args": {"input_dim": 8, "num_outputs": 2}},
            data={"crop": 3200, "batch_size": 4, "num_workers": 0, **data},
            optimizer={"class_path": "torch.optim.Adam", "init_args": {"lr": lr}},
            schedule=schedule or {"kind": "constant"},
            trainer=trainer,
        )
        command = ["train", "--config", str(config), "--train", "data/train", "--dev", "data/dev", "--exp", exp]
        assert main([*command, "--ngpu", str(num_gpus)]) == status
        return json.loads(Path(exp, "run.json").read_text(encoding="utf-8")) if status == 0 else {}

    return train
