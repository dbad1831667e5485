"""Weights are found in the containers and under the prefixes of training scripts."""

import argparse
import collections
import datetime
import pathlib
from collections import OrderedDict

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from spooftrace.cli import main as cli
from spooftrace.common.errors import InputError
from spooftrace.pretrained.checkpoint_file import read_checkpoint
from spooftrace.pretrained.state_dict import select_weights


def model():
    torch.manual_seed(0)
    network = nn.Sequential(OrderedDict(conv=nn.Conv1d(2, 3, 3), norm=nn.BatchNorm1d(3), out=nn.Linear(3, 2)))
    for tensor in network.state_dict().values():
        if tensor.is_floating_point():
            tensor.uniform_(0.1, 1)
    return network


STATE = model().state_dict()


def prefixed(prefix, state=STATE):
    return OrderedDict((f"{prefix}{name}", tensor) for name, tensor in state.items())


def found(tmp_path, content, choice=None):
    """Save ``content`` with torch, and return the selected weights and the notes as one text."""
    torch.save(content, tmp_path / "x.pth.tar")
    weights = select_weights(read_checkpoint(tmp_path / "x.pth.tar"), tmp_path / "x.pth.tar", choice, any_prefix=True)
    return weights, "; ".join(weights.notes)


def assert_state(weights, expected=STATE):
    assert sorted(weights.tensors) == sorted(expected)
    for name, tensor in expected.items():
        torch.testing.assert_close(weights.tensors[name], tensor)


@pytest.mark.parametrize(
    "prefix",
    [
        *("module.", "_orig_mod.", "model.", "net.", "module.module.", "_forward_module.", "system.", "student."),
        *("ema.", "generator.", "module._orig_mod.", "_orig_mod.module.", "model.network.model.", "my_aasist."),
    ],
)
def test_prefixes_are_removed_and_named(tmp_path, prefix):
    weights, notes = found(tmp_path, {"state_dict": prefixed(prefix)})
    assert_state(weights)
    for part in prefix.split(".")[:-1]:
        assert f"{part}." in notes


@pytest.mark.parametrize(
    "keys",
    [
        *("model", "state_dict", "model_state_dict", "net", "params", "ema", "network", "weights", "generator"),
        *("module", "model.state_dict", "state.model", "my_detector", "system.net.params", "Model"),
    ],
)
def test_containers_are_named_and_what_is_beside_them(tmp_path, keys):
    content = STATE
    for key in reversed(keys.split(".")):
        content = {key: content, "epoch": 3, "best": torch.tensor(0.5)}
    network = model()
    optimizer = torch.optim.Adam(network.parameters())
    content |= {"optimizer_state_dict": optimizer.state_dict(), "scheduler": {"last": torch.ones(3)}}
    weights, notes = found(tmp_path, content)
    assert_state(weights)
    assert f"weights under {keys}" in notes and "not read: epoch, best, optimizer_state_dict, scheduler" in notes


def test_a_wrapper_inside_of_the_model_and_one_around_it(tmp_path):
    inner = {name.replace("conv.", "conv._orig_mod."): tensor for name, tensor in prefixed("module.").items()}
    weights, notes = found(tmp_path, inner)
    assert_state(weights)
    assert "_orig_mod." in notes and "module." in notes
    with pytest.raises(InputError, match="the same names with and without a wrapper's prefix"):
        found(tmp_path, {**STATE, "_orig_mod.conv.weight": torch.ones(3, 2, 3)})


def test_numpy_arrays_counters_and_other_types(tmp_path):
    arrays = {name: tensor.numpy() for name, tensor in STATE.items() if not name.endswith("num_batches_tracked")}
    arrays |= {"total_ops": np.float64(3), "conv.total_params": np.zeros(1), "out.total_ops": np.zeros(1)}
    weights, notes = found(tmp_path, {"weights": arrays})
    assert_state(weights)
    assert set(weights.dropped) == {"conv.total_params", "out.total_ops"}
    assert set(weights.dropped.values()) == {"counted by thop"}
    assert weights.assumed == ["num_batches_tracked: 0 in 1 norms (only training reads it)"]
    swapped = {name: array.T.copy(order="F").T.astype(array.dtype.newbyteorder(">")) for name, array in arrays.items()
               if isinstance(array, np.ndarray)}  # fmt: skip
    assert_state(found(tmp_path, swapped)[0])
    half = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in STATE.items()}
    weights, notes = found(tmp_path, half)
    assert "8 of type float16, taken over as float32" in notes and weights.tensors["out.bias"].dtype == torch.float16


def test_a_loss_beside_the_model(tmp_path):
    weights, _ = found(tmp_path, {"state_dict": prefixed("model.") | {"criterion.weight": torch.tensor([0.1, 0.9])}})
    assert_state(weights)
    assert weights.dropped == {"criterion.weight": "of the loss"}


@pytest.mark.parametrize(
    ("content", "choices"),
    [
        ({"model": STATE, "ema": prefixed("", {k: v + 1 for k, v in STATE.items()})}, ["model", "ema"]),
        ({"a": STATE, "b": {"c": {k: v + 1 for k, v in STATE.items()}}}, ["a", "b.c"]),
        (prefixed("student.") | prefixed("teacher.", {k: v + 1 for k, v in STATE.items()}), ["student", "teacher"]),
        ({"state_dict": prefixed("model.") | prefixed("ema_model.", {k: v + 1 for k, v in STATE.items()})},
         ["model", "ema_model"]),
    ],
)  # fmt: skip
def test_several_sets_of_weights_need_a_choice(tmp_path, content, choices):
    with pytest.raises(InputError, match="choose by --weights ") as error:
        found(tmp_path, content)
    for number, choice in enumerate(choices):
        assert choice in str(error.value)
        weights, notes = found(tmp_path, content, choice)
        assert_state(weights, {name: tensor + number for name, tensor in STATE.items()})
        assert "not taken: " in notes
    with pytest.raises(InputError, match="weights"):
        found(tmp_path, content, "nothing")


def test_one_set_under_two_keys_needs_no_choice(tmp_path):
    assert_state(found(tmp_path, {"model": STATE, "state_dict": STATE})[0])
    with pytest.raises(InputError, match="no weights under 'ema'; there are model"):
        found(tmp_path, {"model": STATE}, "ema")


def test_other_formats(tmp_path):
    floats = {name: tensor for name, tensor in STATE.items() if tensor.ndim}
    save_file(floats, tmp_path / "a.safetensors")
    np.savez(tmp_path / "b.npz", **{name: tensor.numpy() for name, tensor in floats.items()}, note="text")
    np.savez_compressed(tmp_path / "c.npz", **{name: tensor.numpy() for name, tensor in floats.items()})
    for file in ("a.safetensors", "b.npz", "c.npz"):
        assert_state(select_weights(read_checkpoint(tmp_path / file), tmp_path / file))
    for file in ("a.safetensors", "b.npz"):
        (tmp_path / file).write_bytes((tmp_path / file).read_bytes()[:-50])
        with pytest.raises(InputError, match=f"{file}: (cut short|damaged)"):
            read_checkpoint(tmp_path / file)


def test_objects_beside_the_weights_are_named_and_not_built(tmp_path, capsys):
    network = model()
    optimizer = torch.optim.AdamW(network.parameters())
    content = {
        "args": argparse.Namespace(lr=0.1, path=pathlib.PurePosixPath("/data")),
        "model": network.state_dict(),
        "optimizer": optimizer,
        "scheduler": torch.optim.lr_scheduler.StepLR(optimizer, 2),
        "time": datetime.datetime(2024, 1, 2, 3, 4),
        "took": datetime.timedelta(seconds=5),
        "random": [np.random.RandomState(1), torch.get_rng_state(), np.random.default_rng(1)],
        "kind": [torch.float32, torch.device("cpu"), torch.Size([2]), torch.strided],
        "counts": [collections.Counter("aab"), collections.deque([1, 2]), {1, 2}, frozenset("a")],
        "metrics": {"eer": np.float32(0.5), "all": np.arange(6).reshape(2, 3)},
        "activation": nn.functional.gelu,
    }
    torch.save(content, tmp_path / "x.ckpt")
    seen = set()
    read = read_checkpoint(tmp_path / "x.ckpt", seen)
    assert_state(select_weights(read, tmp_path / "x.ckpt"))
    assert read["args"]["lr"] == 0.1 and read["metrics"]["eer"] == 0.5
    assert read["metrics"]["all"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert {"argparse.Namespace", "torch.optim.adamw.AdamW", "datetime.timedelta"} <= seen
    assert cli.main(["import-checkpoint", "aasist", str(tmp_path / "x.ckpt"), "--out", str(tmp_path / "exp")]) == 1
    assert "not aasist: " in capsys.readouterr().err


MODULES = [
    lambda m: nn.DataParallel(m),
    lambda m: torch.optim.swa_utils.AveragedModel(m),
    lambda m: nn.ModuleDict({"model": m, "criterion": nn.CrossEntropyLoss(weight=torch.ones(2))}),
    lambda m: nn.Sequential(OrderedDict(net=m)),
]


@pytest.mark.parametrize("wrap", MODULES)
@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_whole_modules_of_torch(tmp_path, wrap, zipped):
    torch.save(wrap(model()), tmp_path / "x.pt", _use_new_zipfile_serialization=zipped)
    assert_state(select_weights(read_checkpoint(tmp_path / "x.pt"), tmp_path / "x.pt"))


def test_modules_with_parametrizations_and_recurrent_layers(tmp_path):
    network = nn.ModuleDict({
        "lstm": nn.LSTM(3, 2),
        "spectral": nn.utils.parametrizations.spectral_norm(nn.Linear(2, 2)),
        "old": nn.utils.weight_norm(nn.Conv1d(2, 2, 3)),
        "transformer": nn.TransformerEncoderLayer(4, 2, 4, batch_first=True, activation=nn.functional.gelu),
    })  # fmt: skip
    expected = network.state_dict()
    torch.save({"net": network.state_dict()}, tmp_path / "x.pt")
    assert_state(select_weights(read_checkpoint(tmp_path / "x.pt"), tmp_path / "x.pt"), expected)
    del network["spectral"]  # torch refuses to pickle a module with parametrizations
    torch.save(network, tmp_path / "x.pt")
    assert_state(select_weights(read_checkpoint(tmp_path / "x.pt"), tmp_path / "x.pt"), network.state_dict())
