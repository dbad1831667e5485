"""``spooftrace.load_experiment``: from the folder of an experiment to its trained system."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch

import spooftrace
from spooftrace.common.errors import InputError
from spooftrace.system.system import StreamShape
from spooftrace.system.weights import load_weights, save_weights

BATCH = {"utt": ["u"], "wave": torch.linspace(-1, 1, 3200)[None], "wave_len": torch.tensor([3200])}


def test_the_system_has_the_trained_weights_and_is_in_eval_mode(recipe, make_exp):
    exp = make_exp()
    system = spooftrace.load_experiment(exp).system
    assert not system.training
    for name, value in load_weights(exp / "model.safetensors").items():
        assert torch.equal(system.state_dict()[name], value)


def test_cached_streams_have_no_front_end_but_give_the_same_outputs(recipe, make_exp):
    experiment = spooftrace.load_experiment(make_exp())
    features, lengths = experiment.system.frontends["lfcc"](BATCH["wave"], BATCH["wave_len"])
    cached = experiment.with_cached({"lfcc": StreamShape("frames", 60)})
    assert len(cached.system.frontends) == 0
    batch = {"utt": ["u"], "lfcc": features, "lfcc_len": lengths}
    assert torch.equal(cached.system(batch), experiment.system(BATCH))


def test_overrides_change_the_configuration(recipe, make_exp):
    exp = make_exp()
    changed = spooftrace.load_experiment(exp, ["--data.eval_crop", "windows"])
    assert changed.config.data.eval_crop == "windows"
    assert spooftrace.load_experiment(exp).config.data.eval_crop == "full"


def test_the_task_has_its_trained_state_without_the_front_ends(recipe, make_exp):
    streams = {"ssl": {"class_path": "LFCC"}}
    backend = {"class_path": "LinearProbe", "init_args": {"input_dim": 60, "num_outputs": 3}}
    exp = make_exp(streams=streams, backend=backend, task={"class_path": "Parsing"}, trainer={"monitor": "dev_rmse"})
    weights = load_weights(exp / "model.safetensors")
    weights["task.deviation"] = torch.tensor([2.0, 3.0, 4.0], dtype=weights["task.deviation"].dtype)
    save_weights(weights, exp / "model.safetensors")
    experiment = spooftrace.load_experiment(exp)
    np.testing.assert_array_equal(experiment.task.deviation, [2.0, 3.0, 4.0])
    assert "system" not in vars(experiment)  # not built
    save_weights(
        {name: value for name, value in weights.items() if name != "task.deviation"}, exp / "model.safetensors"
    )
    with pytest.raises(InputError, match=r"model\.safetensors: has no weights of Parsing"):
        _ = spooftrace.load_experiment(exp).task


def test_what_is_missing_or_replaced_is_named(recipe, make_exp):
    exp = make_exp()
    with pytest.raises(InputError, match=r"exp/none/model\.safetensors: no trained model there; run stage 4"):
        spooftrace.load_experiment("exp/none")
    (exp / "run.json").write_text(json.dumps({"model_sha256": "0" * 64}), encoding="utf-8")
    with pytest.raises(InputError, match=r"model\.safetensors: not the file that run\.json beside it describes"):
        _ = spooftrace.load_experiment(exp).system
    (exp / "run.json").unlink()
    other = make_exp("other", backend={"class_path": "LSTMProbe", "init_args": {"input_dim": 60}})
    shutil.copy(other / "model.safetensors", exp / "model.safetensors")
    with pytest.raises(InputError, match=r"do not fit config\.yaml beside it.* they are weights of .*LSTMProbe"):
        _ = spooftrace.load_experiment(exp).system


def test_the_package_is_imported_without_torch():
    code = "import spooftrace, sys; print('torch' in sys.modules, callable(spooftrace.load_experiment))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]
    with pytest.raises(AttributeError, match="has no attribute 'load_system'"):
        _ = spooftrace.load_system
