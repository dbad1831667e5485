"""Other projects' self-supervised models -> Hugging Face folders, on tiny random models under each project's names."""

import argparse
import json
import re
import subprocess
import sys

import pytest
import torch
import transformers
from helpers.commands import run_command
from helpers.official_files import HUB, fairseq_names, tiny
from safetensors import SafetensorError

from spooftrace.cli import import_checkpoint as command
from spooftrace.common.errors import InputError
from spooftrace.frontends import HuggingFace
from spooftrace.pretrained.architecture import parse_convolutions
from spooftrace.pretrained.convert import FORMATS, import_checkpoint

LAYOUT = "[(16, 10, 5)] + [(16, 3, 2)] * 4 + [(16,2,2)] * 2"


def arguments(large, heads=4):
    """fairseq's settings of ``tiny``."""
    return {
        "extractor_mode": "layer_norm" if large else "default", "encoder_layers": 2, "encoder_embed_dim": 64,
        "encoder_attention_heads": heads, "layer_norm_first": large, "conv_feature_layers": LAYOUT, "dropout": 0.0,
        "attention_dropout": 0.1, "activation_dropout": 0.2, "dropout_input": 0.3, "encoder_layerdrop": 0.05,
        "activation_fn": "gelu", "max_distance": 800,
    }  # fmt: skip


def official(model, wave):
    with torch.no_grad():
        return model(wave).last_hidden_state


def same_numbers(folder, model):
    wave = torch.randn(2, 3000, generator=torch.Generator().manual_seed(1)) * 0.1
    features, _ = HuggingFace(str(folder), normalize=False)(wave, torch.tensor([3000, 3000]))
    torch.testing.assert_close(features, official(model, wave), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("large", [False, True], ids=["base", "large"])
@pytest.mark.parametrize("kind", HUB)
def test_fairseq_and_unilm(tmp_path, kind, large):
    model = tiny(kind, large)
    state = fairseq_names(model, large) | {"final_proj.weight": torch.ones(2, 2), "label_embs_concat": torch.ones(2)}
    if kind != "hubert":
        del state["label_embs_concat"]
    content = {"args": argparse.Namespace(normalize=large, arch=f"{kind}_any", **arguments(large)), "model": state}
    torch.save(content, tmp_path / "x.pt")
    made = import_checkpoint(tmp_path / "x.pt", tmp_path / "out")
    assert (made.model_type, made.family) == (kind, "unilm" if kind == "wavlm" else "fairseq")
    assert (made.normalize, made.assumed) == (large, [])
    assert "final_proj (1 tensor)" in made.left_out
    assert made.parameters == sum(parameter.numel() for parameter in model.parameters())
    same_numbers(tmp_path / "out", model)
    config = transformers.AutoConfig.from_pretrained(tmp_path / "out")
    assert (config.attention_dropout, config.activation_dropout, config.feat_proj_dropout) == (0.1, 0.2, 0.3)
    assert HuggingFace(str(tmp_path / "out")).normalize is large  # preprocessor_config.json
    assert json.loads((tmp_path / "out" / "source.json").read_text())["sha256"] == made.sha256


def test_settings_are_read_from_every_place(tmp_path):
    model = tiny("wav2vec2", True)
    state = fairseq_names(model, True)
    nested = {"model": arguments(True), "task": {"normalize": True}}
    tuned = {"w2v_encoder.w2v_model." + name: tensor for name, tensor in state.items()}
    tuned["w2v_encoder.proj.weight"] = torch.ones(3)
    contents = {
        "cfg": {"cfg": nested, "args": None, "model": state},
        "interpolated": {
            "cfg": nested | {"model": arguments(True) | {"normalize": "${task.normalize}"}},
            "model": state,
        },
        "s3prl": {"model_weight": state, "model_cfg": arguments(True), "task_cfg": {"normalize": True}},
        "tuned": {
            "cfg": {"model": {"w2v_args": argparse.Namespace(normalize=True, **arguments(True))}},
            "model": tuned,
        },
    }
    for name, content in contents.items():
        torch.save(content, tmp_path / f"{name}.pt")
        made = import_checkpoint(tmp_path / f"{name}.pt", tmp_path / name, None if name == "tuned" else "s3prl")
        assert (made.normalize, made.assumed) == (True, []), name
        same_numbers(tmp_path / name, model)
    assert made.left_out == ["w2v_encoder (1 tensor)"]


@pytest.mark.parametrize("large", [False, True], ids=["base", "large"])
def test_a_bare_state_dict_is_read_by_its_shapes_and_reports_assumptions(tmp_path, large):
    model = tiny("wav2vec2", large, width=768)
    prefix = "module.ssl_model.model."  # as in official anti-spoofing systems
    state = {prefix + name: tensor.half() for name, tensor in fairseq_names(model, large).items()}
    torch.save(state | {"module.LL.weight": torch.ones(1)}, tmp_path / "x.pt")
    made = import_checkpoint(tmp_path / "x.pt", tmp_path / "out")
    assert [line.split(":")[0] for line in made.assumed] == [
        "num_attention_heads", "conv_stride", "do_stable_layer_norm", "dropout",
    ]  # fmt: skip
    assert made.normalize is None and not (tmp_path / "out" / "preprocessor_config.json").exists()
    same_numbers(tmp_path / "out", model.half().float())
    with pytest.raises(InputError, match="set normalize"):
        HuggingFace(str(tmp_path / "out"))


@pytest.mark.parametrize("kind", ["wav2vec2", "wavlm"])
def test_torchaudio(tmp_path, kind):
    model = tiny(kind, True, width=768)
    state = {"aux.weight": torch.ones(2), "mask_generator.mask_embedding": model.masked_spec_embed.detach()}
    for name, tensor in model.state_dict().items():
        name = name.replace("encoder.", "encoder.transformer.").replace("feature_proj", "encoder.feature_proj")
        if kind == "wavlm" and (found := re.fullmatch(r"(.+\.attention)\.([qkv])_proj\.(weight|bias)", name)):
            packed = f"{found[1]}.attention.in_proj_{found[3]}"
            state.setdefault(packed, {})[found[2]] = tensor
        else:
            state[re.sub(r"attention\.out_proj", "attention.attention.out_proj", name) if kind == "wavlm" else name] = (
                tensor
            )
    state = {n: torch.cat([t[part] for part in "qkv"]) if isinstance(t, dict) else t for n, t in state.items()}
    state.pop("masked_spec_embed")
    torch.save(state, tmp_path / "x.pt")
    made = import_checkpoint(tmp_path / "x.pt", tmp_path / "out", "torchaudio")
    assert (made.family, made.model_type, made.left_out) == ("torchaudio", kind, ["aux (1 tensor)"])
    same_numbers(tmp_path / "out", model)


def refused(tmp_path, content, message, format=None):
    torch.save(content, tmp_path / "x.pt")
    with pytest.raises(InputError, match=message) as error:
        import_checkpoint(tmp_path / "x.pt", tmp_path / "out", format)
    assert "\n" not in str(error.value)
    assert [path.name for path in tmp_path.iterdir()] == ["x.pt"]  # Nothing half-made is left.


def test_another_architecture_lists_what_does_not_fit(tmp_path):
    state = fairseq_names(tiny("wav2vec2", True), True)
    content = {"args": argparse.Namespace(**arguments(True)), "model": state}
    state["encoder.layers.1.extra.weight"] = torch.ones(1)
    del state["encoder.layers.0.fc2.bias"]
    state["encoder.layer_norm.bias"] = torch.ones(3)
    refused(
        tmp_path, content,
        r"not a Wav2Vec2Model: tensors 1 missing \(encoder\.layers\.0\.feed_forward\.output_dense\.bias\); "
        r"1 unexpected \(encoder\.layers\.1\.extra\.weight\); 1 of another shape \(encoder\.layer_norm\.bias\)",
    )  # fmt: skip
    del state["post_extract_proj.weight"]
    refused(tmp_path, content, r"no tensor feature_projection\.projection\.weight: a model of another architecture")


def test_unsuitable_checkpoints_are_refused(tmp_path):
    state = fairseq_names(tiny("wav2vec2", True), True)
    refused(
        tmp_path,
        {"model": {"conv.weight": torch.ones(1)}},
        r"no weights of wav2vec 2\.0.*only conv\.weight.* is named before FILE",
    )
    refused(tmp_path, [1, 2], r"no weights of wav2vec 2\.0")
    refused(tmp_path, {"model": state}, "the format is fairseq, not unilm", "unilm")
    refused(tmp_path, {"model": state}, "no official model has 64 features; the number of attention heads is unknown")
    twice = {f"{name}.{key}": tensor for name in ("student", "teacher") for key, tensor in state.items()}
    refused(tmp_path, {"model": twice}, r"holds 2 models, under student\., teacher\.")
    for wrong in ("__import__('os').system('true')", "[(1,2)] * 10 ** 9", "[(1,2,3)] * 9999 * 9999", "[("):
        settings = argparse.Namespace(**arguments(True) | {"conv_feature_layers": wrong})
        refused(tmp_path, {"args": settings, "model": state}, "its sizes contradict each other")
    settings = argparse.Namespace(**arguments(True, heads="many"))
    refused(tmp_path, {"args": settings, "model": state}, "its sizes contradict each other")


def test_weights_that_are_not_finite_and_a_full_disk_are_one_line(tmp_path, monkeypatch):
    state = fairseq_names(tiny("wav2vec2", True), True)
    content = {"args": argparse.Namespace(**arguments(True)), "model": state}

    def full(self, folder):
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    with monkeypatch.context() as patched:
        patched.setattr(transformers.Wav2Vec2Model, "save_pretrained", full)
        refused(tmp_path, content, "out: cannot be written .*No space left on device.*make room")
    state["encoder.layers.1.fc2.bias"][3] = torch.nan
    refused(
        tmp_path, content, r"NaN or infinite values in 1 tensor, first encoder\.layers\.1\.feed_forward\.output_dense"
    )


def test_an_existing_folder_is_not_changed(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("precious")
    with pytest.raises(InputError, match="exists already"):
        import_checkpoint(tmp_path / "x.pt", tmp_path / "out")


def test_layers_of_convolutions_are_read_without_running_them():
    assert parse_convolutions("[(512,10,5)] + [(512,3,2)] * 2") == [[512, 10, 5], [512, 3, 2], [512, 3, 2]]
    assert parse_convolutions([[512, 10, 5]]) == [[512, 10, 5]]


def test_the_command(tmp_path, capsys):
    torch.save(fairseq_names(tiny("wav2vec2", True, width=768), True), tmp_path / "a file.pt")
    assert run_command("import-checkpoint", tmp_path / "a file.pt", "--out", tmp_path / "an out") == 0
    printed = capsys.readouterr().out
    assert re.search(
        r"wav2vec2 of format fairseq, [\d,]+ parameters\nsha256: [0-9a-f]{64}\nleft out: nothing\n", printed
    )
    assert "not in the file, assumed: num_attention_heads: 12" in printed and "set normalize" in printed
    assert tuple(command.FORMATS) == tuple(FORMATS)


def test_importing_the_command_does_not_import_torch():
    code = "import sys, spooftrace.cli.import_checkpoint; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
