"""Figures of what a HYDRA has learned."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from spooftrace.archive import ArchiveWriter
from spooftrace.common.errors import InputError
from spooftrace.common.journal import fingerprint
from spooftrace.config.loading import load_config, save_config
from spooftrace.datadir import DataDir
from spooftrace.report.balls import report_balls
from spooftrace.system.system import StreamShape, System
from spooftrace.system.weights import save_weights

STREAM = {"class_path": "XVector", "init_args": {"model": "none"}}


@pytest.fixture
def hydra(recipe):
    """An untrained HYDRA as an experiment, and stored vectors of two codecs."""
    utts = [f"u{number:02d}" for number in range(12)]
    table = {
        "wav.scp": {utt: f"{utt}.wav" for utt in utts},
        "utt2spk": dict.fromkeys(utts, "s"),
        "utt2codec": {utt: f"codec{number % 2}" for number, utt in enumerate(utts)},
    }
    DataDir.write(Path("data/eval"), table)
    system = {
        "streams": {"vector": STREAM},
        "backend": {"class_path": "HYDRA", "init_args": {"input_dim": 16, "num_outputs": 3, "hidden_dim": 8}},
        "task": {"class_path": "Parsing"},
        "data": {"cached": ["vector"]},
        "optimizer": {"class_path": "torch.optim.Adam", "init_args": {"lr": 0.001}},
        "trainer": {"monitor": "dev_rmse"},
    }
    Path("system.yaml").write_text(yaml.safe_dump(system), encoding="utf-8")
    config = load_config(["system.yaml"])
    torch.manual_seed(0)
    model = System(config, {"vector": StreamShape("vector", 16)})
    Path("exp/hydra_s1").mkdir(parents=True)
    save_config(config, "exp/hydra_s1/config.yaml")
    save_weights(model.own_state(), Path("exp/hydra_s1/model.safetensors"))
    folder = Path("dump/vector/eval")
    folder.mkdir(parents=True)
    with ArchiveWriter(folder / "feats.ark", folder / "feats.scp") as writer:
        rng = np.random.default_rng(0)
        for utt in utts:
            writer.write(utt, rng.standard_normal(16, dtype=np.float32))
    description = {"config": config.streams["vector"], "layout": "vector", "dim": 16, "frame_rate": 0.0}
    description["audio"] = fingerprint(Path("data/eval"), "wav.scp")
    (folder / "stream.json").write_text(json.dumps(description), encoding="utf-8")
    return Path("exp/hydra_s1")


def test_weights_and_balls_are_drawn(hydra):
    (line,) = report_balls(hydra, Path("data/eval"), Path("figures"))
    # the queries start at 0: even weights
    assert line.startswith("exp/hydra_s1: weights of the subspaces: kHz 0.33 0.33 0.33, kbit/s 0.33 0.33 0.33, Q 0.33")
    for what in ("attention", "balls"):
        assert Path(f"figures/hydra_s1_{what}.png").read_bytes().startswith(b"\x89PNG")


def test_other_systems_have_no_balls(hydra, write_config):
    save_config(load_config([write_config()]), hydra / "config.yaml")
    assert report_balls(hydra, Path("data/eval"), Path("figures")) == [
        "exp/hydra_s1: not a HYDRA, so there are no balls to draw"
    ]
    with pytest.raises(InputError, match=r"exp/none/model\.safetensors: no trained model there"):
        report_balls(Path("exp/none"), Path("data/eval"), Path("figures"))


def test_vectors_that_are_missing_are_named(hydra):
    scp = Path("dump/vector/eval/feats.scp")
    scp.write_text("".join(scp.read_text(encoding="utf-8").splitlines(keepends=True)[1:]), encoding="utf-8")
    with pytest.raises(InputError, match="data/eval: no 'vector' of u00; run stage 3 again"):
        report_balls(hydra, Path("data/eval"), Path("figures"))
