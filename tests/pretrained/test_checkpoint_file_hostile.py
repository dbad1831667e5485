"""Malicious pickles, archives and headers: one line, without running, writing or allocating anything."""

import io
import os
import pickle
import struct
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from spooftrace.common.errors import InputError
from spooftrace.pretrained.checkpoint_file import read_checkpoint
from spooftrace.pretrained.unpickler import MAX_DEPTH, check_pickle

STOP, PROTOCOL = b".", b"\x80\x02"
SYSTEM = b"cposix\nsystem\n"
TEXT = b"X\x0b\x00\x00\x00touch PWNED"


def legacy(body, path):
    """A file of torch's older format whose object is the pickle ``body``."""
    parts = (0x1950A86A20F9469CFC6C, 1001, {})
    path.write_bytes(b"".join(pickle.dumps(part, 2) for part in parts) + body + pickle.dumps([], 2))
    return path


def zipped(body, path, records=(), compression=zipfile.ZIP_STORED):
    """A file of torch's newer format whose object is the pickle ``body``."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("x/data.pkl", body)
        archive.writestr("x/version", "3\n")
        archive.writestr("x/byteorder", "little")
        for name, content in records:
            archive.writestr(f"x/{name}", content)
    return path


@pytest.fixture(autouse=True)
def inside(tmp_path, monkeypatch):
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    yield
    assert not list((tmp_path / "work").iterdir())  # nothing was run that writes


def refused(path, words=""):
    with pytest.raises(InputError, match=words) as error:
        read_checkpoint(path)
    message = str(error.value)
    assert path.name in message and "\n" not in message and len(message) < 600


def long_name(module, name):
    """A global of protocol 4, whose name may have dots."""
    texts = [b"\x8c" + bytes([len(text)]) + text.encode() for text in (module, name)]
    return texts[0] + texts[1] + b"\x93"


CODE = {  # each calls system, or would if its class were looked up
    "reduce": SYSTEM + b"(" + TEXT + b"tR",
    "inst": b"(" + TEXT + b"iposix\nsystem\n",
    "obj": b"(" + SYSTEM + TEXT + b"o",
    "newobj": SYSTEM + TEXT + b"\x85\x81",
    "newobj_ex": SYSTEM + TEXT + b"\x85}\x92",
    "build": b"cbuiltins\nset\n)R" + SYSTEM + b"b",
    "in a tuple": b"(" + SYSTEM + b"(" + TEXT + b"tRt",
    "below the top": SYSTEM + b"(" + TEXT + b"tR0}",
    "persistent": SYSTEM + b"(" + TEXT + b"tRQ",
    "as persistent storage": b"(X\x07\x00\x00\x00storage" + SYSTEM + b"X\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x01tQ",
    "dotted": long_name("pathlib", "os.system") + TEXT + b"\x85R",
    "through numpy": long_name("numpy", "core.os.system") + TEXT + b"\x85R",
    "through torch": long_name("torch.nn", "modules.module.os.system") + TEXT + b"\x85R",
    "runstring": long_name("numpy.testing._private.utils", "runstring") + TEXT + b"}\x86R",
    "torch.load": b"ctorch\nload\n" + TEXT + b"\x85R",
    "torch.hub": b"ctorch.hub\nload\n" + TEXT + b"\x85R",
    "load from bytes": b"ctorch.storage\n_load_from_bytes.load\n" + TEXT + b"\x85R",
    "extension": b"\x82\x01" + TEXT + b"\x85R",
    "wide extension": b"\x84\x01\x00\x00\x00",
    "getattr": b"cbuiltins\ngetattr\n" + SYSTEM + TEXT + b"\x86R",
    "eval": b"c__builtin__\neval\n" + TEXT + b"\x85R",
    "import": b"cimportlib\nimport_module\n" + TEXT + b"\x85R",
    "pickle": b"cpickle\nloads\n" + TEXT + b"\x85R",
    "metaclass": b"cbuiltins\ntype.__call__\n" + TEXT + b"\x85R",
}


@pytest.mark.parametrize("name", CODE)
@pytest.mark.parametrize("write", [legacy, zipped])
def test_every_way_to_call(tmp_path, name, write):
    refused(write(PROTOCOL + CODE[name] + STOP, tmp_path / "evil.pt"), "refused: it (uses|refers to an object by)")


@pytest.mark.parametrize("write", [legacy, zipped])
def test_stand_ins_do_nothing(tmp_path, write):
    """partial, __setstate__ and attributes of stand-ins and of the functions that rebuild tensors."""
    partial = b"cfunctools\npartial\n" + TEXT + b"\x85R" + b"(" + TEXT + b"(t}}tb"
    path = b"cpathlib\nPosixPath\n" + TEXT + b"\x85R"
    state = b"cargparse\nNamespace\n)R}X\x0c\x00\x00\x00__setstate__X\x04\x00\x00\x00evilsb"
    storage = b"ctorch.storage\n_load_from_bytes\n" + TEXT + b"\x85R"
    body = PROTOCOL + b"(" + partial + path + state + storage + b"l" + STOP
    content = read_checkpoint(write(body, tmp_path / "odd.pt"))
    assert content[1] == "touch PWNED"  # The argument of a path is data.


BOMBS = {
    "memo": (b"]r\xff\xff\xff\x7f", "refused: entry 2,147,483,647 of a memo"),
    "text memo": (b"]p4000000000\n", "refused: entry 4,000,000,000 of a memo"),
    "lists": (b"]" * 100_000 + b"a" * 99_999, f"more than {MAX_DEPTH} nested containers"),
    "tuples as a key": (b"}" + b")" + b"\x85" * 200_000 + b"Ns", f"more than {MAX_DEPTH} nested containers"),
    "calls": (
        b")" + b"\x85ccollections\ndeque\nq\x000" * 0 + b"\x85" * 300,
        f"more than {MAX_DEPTH} nested containers",
    ),
    "long text": (b"\x8d" + struct.pack("<Q", 1 << 62), "cut short or not a PyTorch checkpoint"),
    "long bytes": (b"\x96" + struct.pack("<Q", 1 << 40), "cut short or not a PyTorch checkpoint"),
    "long number": (b"\x8b\xff\xff\xff\x7f", "cut short or not a PyTorch checkpoint"),
    "digits": (b"L" + b"9" * 100_000 + b"L\n", "cut short or not a PyTorch checkpoint"),
    "empty stack": (b"0" * 10 + b"R", "cut short or not a PyTorch checkpoint"),
    "no mark": (b"Nt", "cut short or not a PyTorch checkpoint"),
}


@pytest.mark.parametrize("name", BOMBS)
@pytest.mark.parametrize("write", [legacy, zipped])
def test_bombs(tmp_path, name, write):
    body, words = BOMBS[name]
    refused(write(PROTOCOL + body + STOP, tmp_path / "bomb.pt"), words)


def test_shared_and_circular_containers_end(tmp_path):
    shared = ["x"]
    for _ in range(60):  # 2 ** 60 elements, if each were copied
        shared = [shared, shared]
    circle = {"weights": torch.ones(2)}
    circle["itself"] = circle
    torch.save({"shared": shared, "circle": circle}, tmp_path / "x.pt")
    content = read_checkpoint(tmp_path / "x.pt")
    assert content["circle"]["weights"].tolist() == [1, 1] and len(content["shared"]) == 2


def test_large_builtins_are_not_created(tmp_path):
    for kind in (b"bytes", b"bytearray", b"list", b"range", b"frozenset", b"str"):
        body = PROTOCOL + b"cbuiltins\n" + kind + b"\n\x8a\x06\x00\x00\x00\x00\x00\x40\x85R" + STOP  # 64 TiB
        assert read_checkpoint(legacy(body, tmp_path / "x.pt")) == 1 << 46


def tensor(size, stride, numel=2, offset=0, kind=b"FloatStorage"):
    """The pickle of a tensor with these claims about a storage of ``numel`` numbers."""
    numbers = [pickle.dumps(value, 2)[2:-1] for value in (numel, offset, size, stride)]
    storage = b"(X\x07\x00\x00\x00storagectorch\n" + kind + b"\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpu" + numbers[0]
    return b"".join(
        [PROTOCOL, b"ctorch._utils\n_rebuild_tensor_v2\n(", storage, b"tQ", *numbers[1:], b"\x89N", b"tR", STOP]
    )


def test_a_tensor_within_its_storage(tmp_path):
    path = zipped(tensor((2,), (1,)), tmp_path / "x.pt", [("data/0", np.array([1, 2], "<f4").tobytes())])
    assert read_checkpoint(path).tolist() == [1, 2]
    path = zipped(tensor((3, 2), (0, 1)), tmp_path / "y.pt", [("data/0", np.array([1, 2], "<f4").tobytes())])
    assert read_checkpoint(path).shape == (3, 2)  # expanded, as position ids are


@pytest.mark.parametrize(
    "claims",
    [
        {"size": (3,), "stride": (1,)},
        {"size": (2,), "stride": (2,)},
        {"size": (1,), "stride": (1,), "offset": 2},
        {"size": (2,), "stride": (-1,), "offset": 1},
        {"size": (2,), "stride": (1,), "offset": -1},
        {"size": (1 << 40,), "stride": (0,)},
        {"size": (1 << 30, 1 << 30), "stride": (0, 0)},
        {"size": (2, 1), "stride": (1,)},
        {"size": ("2",), "stride": (1,)},
        {"size": (2,), "stride": (1,), "numel": 1 << 40},
        {"size": (1000,), "stride": (1,), "numel": 1000},
        {"size": (20,), "stride": (1,), "numel": 20},  # what follows in the file would be taken for weights
        {"size": (1,), "stride": (1,), "numel": 1},
        {"size": (2,), "stride": (1,), "numel": -2},
        {"size": (2,), "stride": (1,), "kind": b"OtherStorage"},
    ],
    ids=str,
)
def test_a_tensor_that_claims_more_than_there_is(tmp_path, claims):
    path = zipped(tensor(**claims), tmp_path / "x.pt", [("data/0", b"\0" * 8)])
    refused(path, "claims more|would exhaust memory|damaged|cut short|it uses")
    refused(legacy(tensor(**claims), tmp_path / "y.pt"), "claims more|would exhaust|damaged|cut short|it uses")


def test_an_array_that_claims_more_than_there_is(tmp_path):
    torch.save({"a": np.arange(1000.0)}, tmp_path / "x.pt")
    content = (tmp_path / "x.pt").read_bytes()
    with zipfile.ZipFile(tmp_path / "x.pt") as archive:
        body = archive.read("x/data.pkl")
    changed = body.replace(struct.pack("<H", 1000), struct.pack("<H", 2000), 1)
    assert changed != body and len(content) > 8000
    refused(zipped(changed, tmp_path / "y.pt"), r"damaged: an array of \(2000,\) numbers of 8 bytes in 8000 bytes")


def test_archives(tmp_path):
    with tarfile.open(tmp_path / "old.pth.tar", "w") as archive:  # torch would unpack it, and follow the link
        link = tarfile.TarInfo("storages")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/hostname"
        archive.addfile(link)
    refused(tmp_path / "old.pth.tar", "a tar archive: unpack it")
    body = pickle.dumps({}, 2)
    refused(zipped(body, tmp_path / "c.pt", compression=zipfile.ZIP_DEFLATED), "is compressed, PyTorch's are not")
    with pytest.warns(UserWarning, match="Duplicate name"):
        refused(zipped(body, tmp_path / "d.pt", [("data.pkl", body)]), "holds x/data.pkl 2 times")
    refused(zipped(body, tmp_path / "e.pt", [("DATA.PKL", body)]), "holds x/data.pkl 2 times")
    refused(zipped(body, tmp_path / "f.pt", [("Constants.pkl", body)]), "a TorchScript program")
    refused(zipped(b"", tmp_path / "g.pt"), "cut short or not")


def test_numpy_files(tmp_path):
    objects = io.BytesIO()
    np.save(objects, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    claims = io.BytesIO()
    np.save(claims, np.zeros(10))
    claims = claims.getvalue().replace(b"(10,), }     ", b"(1000000000,)")
    for name, content in {"objects": objects.getvalue(), "claims": claims}.items():
        with zipfile.ZipFile(tmp_path / f"{name}.npz", "w") as archive:
            archive.writestr("a.npy", content)
        refused(tmp_path / f"{name}.npz", "cut short or not")


def test_headers_of_safetensors(tmp_path):
    for name, header in {
        "a": b'{"w": {"dtype": "F32", "shape": [4000000000], "data_offsets": [0, 8]}}',
        "b": b'{"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 800]}}',
        "c": b"{" * 1000,
    }.items():
        (tmp_path / f"{name}.pt").write_bytes(len(header).to_bytes(8, "little") + header + b"\0" * 8)
        refused(tmp_path / f"{name}.pt", "cut short or not")


def test_the_scan_restores_the_position_of_the_file():
    for protocol in range(5):
        content = {"a": [(1, "x", 2.5), {"b": {3, 4}}], "c": [b"y" * 300] * 2, "d": list(range(3000))}
        file = io.BytesIO(b"before" + pickle.dumps(content, protocol))
        file.seek(6)
        check_pickle(file)
        assert file.tell() == 6 and pickle.load(file) == content


def test_a_bomb_takes_no_memory(tmp_path):
    """In a process of its own with 2 GB to address, more than which a memo of 2 ** 31 entries would take."""
    path = legacy(PROTOCOL + BOMBS["memo"][0] + STOP, tmp_path / "bomb.pt")
    code = (
        "import resource, sys\n"
        "from spooftrace.pretrained.checkpoint_file import read_checkpoint\n"
        "from spooftrace.common.errors import InputError\n"
        "try:\n    read_checkpoint(sys.argv[1])\n"
        "except InputError as error:\n    print(error, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)\n"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[2] / "lib")}
    done = subprocess.run(
        [sys.executable, "-c", code, path], check=False, capture_output=True, text=True, env=environment
    )
    assert "to exhaust memory" in done.stdout and int(done.stdout.split()[-1]) < 2000
