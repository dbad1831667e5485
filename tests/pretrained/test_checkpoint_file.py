"""Checkpoints with settings inside are read; those with code inside, damaged or cut short are one clear line."""

import argparse
import contextlib
import pickle
import sys
import types
from collections import OrderedDict, defaultdict

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spooftrace.common.errors import InputError
from spooftrace.pretrained.checkpoint_file import read_checkpoint

FORMATS = pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])  # torch's own two


class Calls:
    """Pickles as a call of ``function``."""

    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


def save(content, path, zipped=True, protocol=2):
    torch.save(content, path, _use_new_zipfile_serialization=zipped, pickle_protocol=protocol)
    return path


@FORMATS
def test_tensors_and_settings(tmp_path, zipped):
    weights = OrderedDict(a=torch.arange(3.0), half=torch.ones(2).half(), b=torch.nn.Parameter(torch.ones(2, 2)))
    content = {
        "args": argparse.Namespace(layers=3, deep=argparse.Namespace(rate=0.5), names=["x", None, True]),
        "model": weights,
        "extra": {"best": np.float64(1.5), 3: "not a name", "counts": defaultdict(int, a=1)},
    }
    read = read_checkpoint(save(content, tmp_path / "a file.pt", zipped))
    assert read["args"] == {"layers": 3, "deep": {"rate": 0.5}, "names": ["x", None, True]}
    assert read["extra"] == {"best": 1.5, "counts": {"a": 1}}
    assert list(read["model"]) == ["a", "half", "b"]
    for name, tensor in weights.items():
        torch.testing.assert_close(read["model"][name], tensor)


def omegaconf_like(monkeypatch):
    """Modules and classes named as omegaconf's and fairseq's; gone again before the file is read."""
    made = {}
    monkeypatch.setitem(sys.modules, "omegaconf", types.ModuleType("omegaconf"))
    for name, classes in {"omegaconf.dictconfig": ["DictConfig"], "omegaconf.nodes": ["AnyNode"]}.items():
        module = types.ModuleType(name)
        for class_name in classes:
            made[class_name] = type(class_name, (), {"__module__": name})
            setattr(module, class_name, made[class_name])
        monkeypatch.setitem(sys.modules, name, module)
    return made["DictConfig"], made["AnyNode"]


def test_omegaconf_containers_without_omegaconf(tmp_path):
    with pytest.MonkeyPatch.context() as monkeypatch:
        container, node = omegaconf_like(monkeypatch)
        leaf, inner, outer = node(), container(), container()
        leaf.__dict__ |= {"_val": 24, "_parent": inner}  # The real ones point at their parents too.
        inner.__dict__ |= {"_content": {"encoder_layers": leaf}, "_parent": outer}
        outer.__dict__ |= {"_content": {"model": inner}, "_parent": None}
        save({"cfg": outer}, tmp_path / "cfg.pt")
    assert "omegaconf.dictconfig" not in sys.modules
    assert read_checkpoint(tmp_path / "cfg.pt") == {"cfg": {"model": {"encoder_layers": 24}}}
    assert "omegaconf.dictconfig" not in sys.modules


@FORMATS
@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize(
    ("function", "arguments", "name"),
    [
        (eval, ("open('pwned', 'w')",), "eval"),
        (getattr, (1, "real"), "getattr"),
        (__import__("os").system, ("touch pwned",), "system"),
        (torch.hub.load, ("a", "b"), r"torch\.hub\.load"),
        (torch.load, ("b",), "load"),
        (pickle.loads, (b"",), "loads"),
    ],
)
def test_code_is_refused_by_name_and_not_run(tmp_path, monkeypatch, zipped, protocol, function, arguments, name):
    monkeypatch.chdir(tmp_path)
    save({"model": {}, "cfg": [Calls(function, *arguments)]}, tmp_path / "evil.pt", zipped, protocol)
    with pytest.raises(InputError, match=rf"evil\.pt: refused: it uses \S*{name}, ") as error:
        read_checkpoint(tmp_path / "evil.pt")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "pwned").exists()


def test_a_pickled_module_is_its_state_dict(tmp_path):
    module = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3))
    module[0].register_buffer("passing", torch.ones(1), persistent=False)
    read = read_checkpoint(save({"epoch": 1, "net": module}, tmp_path / "x.pt"))
    torch.testing.assert_close(read["net"], dict(module.state_dict()))
    module[1].hook = Calls(__import__("os").system, "touch pwned")
    with pytest.raises(InputError, match=r"refused: it uses \S*system"):
        read_checkpoint(save(module, tmp_path / "x.pt"))


def test_a_pickle_cannot_change_what_the_next_one_calls(tmp_path):
    """BUILD sets attributes on whatever is on the stack, also on a function or a class."""
    before = (torch._utils._rebuild_tensor_v2.__kwdefaults__, dict(vars(torch._utils._rebuild_tensor_v2)))
    state = pickle.dumps((None, {"__kwdefaults__": {"x": 1}, "mark": 2}), protocol=2)[2:-1]
    for target in (b"ctorch._utils\n_rebuild_tensor_v2\n", b"cargparse\nNamespace\n"):
        data = b"\x80\x02" + target + state + b"b."
        whole = (
            b"".join(pickle.dumps(part, 2) for part in (0x1950A86A20F9469CFC6C, 1001, {})) + data + pickle.dumps([], 2)
        )
        (tmp_path / "x.pt").write_bytes(whole)
        with contextlib.suppress(InputError):
            read_checkpoint(tmp_path / "x.pt")
    assert before == (torch._utils._rebuild_tensor_v2.__kwdefaults__, dict(vars(torch._utils._rebuild_tensor_v2)))


def test_a_torchscript_program_is_refused(tmp_path):
    torch.jit.script(torch.nn.Linear(2, 2)).save(tmp_path / "script.pt")
    with pytest.raises(InputError, match="a TorchScript program"):
        read_checkpoint(tmp_path / "script.pt")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    content = {"model": {"a": torch.ones(50)}, "args": argparse.Namespace(x=1)}
    return [save(content, folder / f"{zipped}.pt", zipped).read_bytes() for zipped in (True, False)]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_cut_short_is_one_line(tmp_path, whole, data):
    content = data.draw(st.sampled_from(whole))
    (tmp_path / "cut.pt").write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
    with pytest.raises(InputError, match=r"cut\.pt: cut short or not a PyTorch checkpoint") as error:
        read_checkpoint(tmp_path / "cut.pt")
    assert "\n" not in str(error.value) and len(str(error.value)) < 500


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_damaged_byte_is_one_line_or_changes_no_weight(tmp_path, whole, data):
    content = bytearray(whole[0])
    content[-data.draw(st.integers(1, len(content)))] ^= 1 << data.draw(st.integers(0, 7))
    (tmp_path / "damaged.pt").write_bytes(content)
    try:
        weights = read_checkpoint(tmp_path / "damaged.pt")["model"]
    except InputError as error:
        assert "\n" not in str(error)
    else:
        assert weights["a"].tolist() == [1.0] * 50


@pytest.mark.parametrize("content", [b"<html>404</html>", b"version https://git-lfs.github.com/spec/v1\n", b""])
def test_a_file_that_is_not_a_checkpoint_gives_one_line(tmp_path, content):
    (tmp_path / "page.pt").write_bytes(content)
    with pytest.raises(InputError, match=r"page\.pt: cut short or not a PyTorch checkpoint"):
        read_checkpoint(tmp_path / "page.pt")
    with pytest.raises(InputError, match=r"absent\.pt: no such file"):
        read_checkpoint(tmp_path / "absent.pt")


def test_a_changed_byte_is_noticed_where_there_are_checksums(tmp_path):
    path = save({"weight": torch.full((1000,), 1.5)}, tmp_path / "x.pt")
    content = bytearray(path.read_bytes())
    content[content.index(torch.full((9,), 1.5).numpy().tobytes()) + 9] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"x\.pt: damaged, the checksum of x/data/0 is wrong; download it again"):
        read_checkpoint(path)
    before = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)
    try:
        save({"weight": torch.ones(3)}, path)
    finally:
        torch.serialization.set_crc32_options(before)
    assert read_checkpoint(path)["weight"].tolist() == [1, 1, 1]
