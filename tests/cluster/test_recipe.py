"""A whole recipe on a cluster: egs/mini with its jobs in SLURM's queue."""

from __future__ import annotations

import json

import pytest
from recipes.checkouts import checkout, run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]  # half a minute to minutes of computing


def test_mini_recipe_on_slurm(slurm, tmp_path):
    recipe = checkout(tmp_path / "a checkout", "mini")
    options = ["--system", "lfcc_linear", "--train_args", "--trainer.max_epochs 1", "--nj", "2"]
    result = run(recipe, *options, cmd_backend="slurm", **slurm)
    assert result.returncode == 0, result.stderr
    exp = recipe / "exp/lfcc_linear_s1234"
    metrics = json.loads((exp / "eval/metrics.json").read_text(encoding="utf-8"))
    assert 0 < metrics["eer"] < 0.5, "a trained detector is better than chance"
    assert (recipe / "RESULTS.md").exists()
    # Every stage that computes went through the queue, and its logs are where they are without one.
    for log in ("data/log/spoof.2.log", "dump/log/lfcc_linear.2.log", f"{exp}/train.log", f"{exp}/score.log"):
        assert "# Running on " in (recipe / log).read_text(encoding="utf-8")


def test_unknown_back_end(tmp_path):
    recipe = checkout(tmp_path / "a checkout", "mini")
    result = run(recipe, "--stage", "7", cmd_backend="slrum")
    assert result.returncode == 1
    assert result.stderr == "cmd.sh: unknown cmd_backend 'slrum': it is local, slurm or sge\n"
