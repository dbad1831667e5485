"""What the optional packages share, with none of them installed: tests/parity/test_providers.py has their numbers."""

import inspect
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

from spooftrace import frontends
from spooftrace.common.errors import InputError
from spooftrace.frontends import ECAPA, S3PRL, EnCodec, EnCodecPackage, Fairseq, TorchAudio, XVector
from spooftrace.frontends.by_length import map_by_length
from spooftrace.pretrained.packages import PACKAGES

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT / "tools"
FRONT_ENDS = {
    "encodec": lambda: EnCodecPackage(6.0, "weights.th"),
    "fairseq": lambda: Fairseq("weights.pt"),
    "s3prl": lambda: S3PRL("wavlm_large"),
    "speechbrain": lambda: (XVector(), ECAPA()),
    "torchaudio": lambda: TorchAudio("WAVLM_LARGE"),
}


@pytest.mark.parametrize("package", PACKAGES)
def test_not_installed(monkeypatch, package):
    for module in [name for name in sys.modules if name.split(".")[0] == package]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, package, None)  # What makes `import` raise ModuleNotFoundError.
    with pytest.raises(InputError, match=rf"^{package} .*: run tools/install_{package}\.sh$") as caught:
        FRONT_ENDS[package]()
    assert "\n" not in str(caught.value)
    assert (TOOLS / f"install_{package}.sh").is_file()


def test_front_ends_import_none_of_them():
    code = (
        f"import sys, spooftrace.frontends as f; print([p for p in {(*PACKAGES, 'transformers')} if p in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"


@pytest.mark.parametrize("name, front_end", [("xvector", XVector), ("ecapa", ECAPA), ("encodec_24khz", EnCodec)])
def test_the_shipped_configurations_fit_the_classes(name, front_end):
    config = yaml.safe_load((ROOT / "conf" / "frontends" / f"{name}.yaml").read_text(encoding="utf-8"))
    assert list(config["streams"]) == [name]
    node = config["streams"][name]
    assert node["class_path"] == front_end.__name__ in frontends.__all__
    assert inspect.signature(front_end).bind(**node["init_args"]).arguments["model"].count("/") == 1


def test_by_length():
    wave = torch.arange(12.0).reshape(3, 4)
    lengths = torch.tensor([2, 4, 2])
    seen = []

    def run(x):
        seen.append(tuple(x.shape))
        return (x + 1).unsqueeze(2)  # (b, n) -> (b, n, 1)

    output = map_by_length(run, wave, lengths, time=-2, frames=5)
    assert seen == [(2, 2), (1, 4)]
    assert output.squeeze(2).tolist() == [[1, 2, 0, 0, 0], [5, 6, 7, 8, 0], [9, 10, 0, 0, 0]]
    assert map_by_length(lambda x: x.sum(1, keepdim=True), wave, lengths).tolist() == [[1], [22], [17]]


def environment(root, *libraries, cuda=False):
    """The folders of an environment with torch and torchaudio, as far as tools/torchaudio_extension.sh looks."""
    packages = root / "my env" / "lib" / "python3.11" / "site-packages"
    (packages / "torch" / "lib").mkdir(parents=True)
    (packages / "torchaudio" / "lib").mkdir(parents=True)
    (packages / "torchaudio" / "__init__.py").touch()
    if cuda:
        (packages / "torch" / "lib" / "libtorch_cuda.so").touch()
    for name, content in libraries:
        (packages / "torchaudio" / "lib" / name).write_bytes(content)
    return root / "my env", packages


def fix(env):
    done = subprocess.run([TOOLS / "torchaudio_extension.sh", env], capture_output=True, text=True, check=True)
    return done.stderr


def test_torchaudio_extension_set_aside_and_back(tmp_path):
    linked = b"\x7fELF\0libtorch_cuda.so\0"
    env, packages = environment(tmp_path, ("_torchaudio.abi3.so", linked), ("libtorchaudio.abi3.so", b"\x7fELF\0"))
    library = packages / "torchaudio" / "lib"
    assert "torch has no CUDA" in fix(env)
    assert sorted(path.name for path in library.iterdir()) == [
        "_torchaudio.abi3.so.aside",
        "libtorchaudio.abi3.so.aside",
    ]
    assert fix(env) == ""
    (packages / "torch" / "lib" / "libtorch_cuda.so").touch()
    assert "_torchaudio.abi3.so is back" in fix(env)
    assert (library / "_torchaudio.abi3.so").read_bytes() == linked
    assert fix(env) == "" and (library / "libtorchaudio.abi3.so").exists()


def test_torchaudio_extension_that_fits_stays(tmp_path):
    env, packages = environment(tmp_path, ("_torchaudio.so", b"\x7fELF\0libtorch_cpu.so\0"))
    assert fix(env) == ""
    assert (packages / "torchaudio" / "lib" / "_torchaudio.so").exists()


def test_torchaudio_uninstalled(tmp_path):
    """What was set aside must not stay as a package of that name."""
    env, packages = environment(tmp_path, ("_torchaudio.so.aside", b""))
    (packages / "torchaudio" / "__init__.py").unlink()
    assert fix(env) == ""
    assert not (packages / "torchaudio").exists()
