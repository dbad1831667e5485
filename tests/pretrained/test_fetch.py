"""The models folder: imports, copies and downloads are complete and verified; tools/get_model.sh."""

import os
import subprocess
import types
from pathlib import Path

import pytest
import torch
import transformers

from spooftrace.cli.get_model import main
from spooftrace.common.errors import InputError
from spooftrace.frontends import HuggingFace
from spooftrace.pretrained.fetch import SUMS, get_model, model_files

GET_MODEL = Path(__file__).resolve().parents[2] / "tools" / "get_model.sh"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    config = transformers.Wav2Vec2Config(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, conv_dim=[8] * 7,
        num_conv_pos_embeddings=4, num_conv_pos_embedding_groups=2,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("elsewhere") / "a model"
    transformers.Wav2Vec2Model(config).save_pretrained(folder)
    (folder / "flax_model.msgpack").write_text("not wanted")
    return folder


def test_a_copy_is_complete_recorded_and_checked(folder, tmp_path, monkeypatch):
    models = tmp_path / "my models"
    assert get_model("tiny", models, folder).endswith("is ready")
    names = {path.name for path in (models / "tiny").iterdir()}
    assert names == {"config.json", "model.safetensors", SUMS}
    check = ["sha256sum", "--check", "--quiet", SUMS]
    assert subprocess.run(check, cwd=models / "tiny", check=False).returncode == 0
    monkeypatch.setenv("SPOOFTRACE_MODELS", str(models))
    assert HuggingFace("somebody/tiny", normalize=False).dim == 16
    assert get_model("tiny", models).endswith(f"exists already and agrees with its {SUMS}")
    assert get_model("twin", models, models / "tiny").endswith("is ready")
    weights = models / "tiny" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(InputError, match=r"model\.safetensors: damaged, missing or changed since it was fetched"):
        get_model("tiny", models)
    with pytest.raises(InputError, match="damaged"):
        get_model("third", models, models / "tiny")
    (models / "tiny" / SUMS).unlink()
    with pytest.raises(InputError, match="move it away first"):
        get_model("tiny", models)
    assert sorted(path.name for path in models.iterdir()) == ["tiny", "twin"]


def test_another_source_for_an_existing_name_is_refused(folder, tmp_path):
    get_model("tiny", tmp_path, folder)
    assert get_model("tiny", tmp_path, folder).endswith(f"exists already and agrees with its {SUMS}")
    other = tmp_path / "other"
    other.mkdir()
    for path in folder.iterdir():
        (other / path.name).write_bytes(path.read_bytes())
    (other / "model.safetensors").write_bytes(b"other weights")
    (tmp_path / "other.pt").write_bytes(b"a checkpoint")
    for source in (other, tmp_path / "other.pt", tmp_path / "absent.pt"):
        with pytest.raises(InputError, match=r"tiny exists already, made from another source .*move it away"):
            get_model("tiny", tmp_path, source)


def test_missing_or_truncated_weights_give_one_line(folder, tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    with pytest.raises(InputError, match=r"no config\.json with model\.safetensors or pytorch_model\.bin"):
        get_model("tiny", tmp_path, source)
    (source / "config.json").write_bytes((folder / "config.json").read_bytes())
    (source / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:-100])
    with pytest.raises(InputError, match=r"model\.safetensors: cut short or damaged .*download it again"):
        get_model("tiny", tmp_path, source)
    (source / "model.safetensors").unlink()
    torch.save({"a": torch.ones(100)}, source / "pytorch_model.bin")
    whole = (source / "pytorch_model.bin").read_bytes()
    (source / "pytorch_model.bin").write_bytes(whole[:-100])
    with pytest.raises(InputError, match=r"pytorch_model\.bin: cut short or not a PyTorch checkpoint"):
        get_model("tiny", tmp_path, source)
    (source / "pytorch_model.bin").write_bytes(whole)
    (source / "config.json").write_text("{")
    with pytest.raises(InputError, match=r"config\.json is damaged"):
        get_model("tiny", tmp_path, source)
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def test_safetensors_are_preferred_and_other_frameworks_left_out():
    names = ["README.md", "config.json", "flax_model.msgpack", "model.safetensors", "pytorch_model.bin", "tf_model.h5"]
    assert model_files(names) == ["model.safetensors", "README.md", "config.json"]
    assert model_files(["pytorch_model.bin", "config.json"]) == ["pytorch_model.bin", "config.json"]


@pytest.mark.parametrize("broken", [False, True])
def test_from_the_hub(folder, tmp_path, monkeypatch, broken):
    import huggingface_hub

    def about(self, name, timeout):
        files = [types.SimpleNamespace(rfilename=path.name) for path in folder.iterdir()]
        return types.SimpleNamespace(sha="abc", siblings=files)

    def download(name, revision, allow_patterns, local_dir):
        assert (name, revision) == ("somebody/tiny", "abc") and "flax_model.msgpack" not in allow_patterns
        local_dir.mkdir()
        for file in allow_patterns:
            (local_dir / file).write_bytes((folder / file).read_bytes())
            if broken:
                raise OSError("Consistency check failed:\nfile should be of size 10 but has size 5")

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", about)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    words = ["tiny", str(tmp_path), "--hub-name", "somebody/tiny"]
    assert main(words) == int(broken)
    if broken:
        assert list(tmp_path.iterdir()) == []
    else:
        assert '"revision": "abc"' in (tmp_path / "tiny" / "source.json").read_text()
        assert HuggingFace(str(tmp_path / "tiny"), normalize=False).dim == 16


def test_without_a_network_it_is_one_line(tmp_path, monkeypatch, capsys):
    import huggingface_hub

    def unreachable(self, name, timeout):
        assert timeout <= 10
        raise ConnectionError("Name or\nservice not known")

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", unreachable)
    assert main(["tiny", str(tmp_path), "--hub-name", "somebody/tiny"]) == 1
    printed = capsys.readouterr().err
    assert printed.startswith("get_model.sh: somebody/tiny cannot be fetched") and printed.count("\n") == 1
    assert "--from" in printed and list(tmp_path.iterdir()) == []


def script(models, *arguments):
    variables = os.environ | {"SPOOFTRACE_MODELS": str(models)}
    return subprocess.run([GET_MODEL, *arguments], env=variables, capture_output=True, text=True, check=False)


def test_the_script_lists_every_model_of_the_configurations(tmp_path):
    for arguments in ([], ["whisper-huge"], ["wavlm-large", "--from"], ["../x", "--from", "y"], ["--help"]):
        result = script(tmp_path, *arguments)
        assert result.returncode == 1 and result.stderr.count("\n") == 1
        listed = result.stderr.split("NAME one of ")[1].split()
        assert {"whisper-base", "whisper-tiny.en", "whisper-small", "wavlm-large", "wav2vec2-xls-r-300m"} <= set(listed)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_script_takes_a_folder_or_a_checkpoint(folder, tmp_path):
    models = tmp_path / "my models"
    result = script(models, "tiny", "--from", str(folder))
    assert result.returncode == 0 and result.stdout == f"get_model.sh: {models}/tiny is ready\n", result.stderr
    torch.save({"weight": torch.ones(2)}, tmp_path / "other.pt")
    result = script(models, "wavlm-large", "--from", str(tmp_path / "other.pt"))
    assert result.returncode == 1 and result.stderr.count("\n") == 1
    assert "no weights of wav2vec 2.0, HuBERT or WavLM in it" in result.stderr
    assert [path.name for path in models.iterdir()] == ["tiny"]
