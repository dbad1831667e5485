"""The HuggingFace front-end against transformers' own models, on tiny random models of every class it takes."""

import copy
import inspect
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
import yaml
from helpers.half_precision import check_bfloat16_autocast
from helpers.tolerance import assert_equal_up_to_rounding
from torch import nn
from torch.nn import functional as F

from spooftrace import frontends
from spooftrace.common.errors import InputError
from spooftrace.config.loading import load_config
from spooftrace.frontends import HuggingFace, Whisper
from spooftrace.frontends.huggingface import CLASSES
from spooftrace.frontends.layered import standardize
from spooftrace.pretrained.finding import keep_configuration, kept_configuration, weights_in

ROOT = Path(__file__).resolve().parents[2]
LENGTHS = [4000, 3999, 1, 401, 720, 1999]  # 719 samples are one frame, 720 are two
LAYERS = 3
SIZES = {
    "hidden_size": 32, "num_hidden_layers": LAYERS, "num_attention_heads": 4, "intermediate_size": 48,
    "conv_dim": [16] * 7, "num_conv_pos_embeddings": 8, "num_conv_pos_embedding_groups": 4, "layerdrop": 0.5,
    "mask_time_prob": 0.5,
}  # fmt: skip
LARGE = {"do_stable_layer_norm": True, "feat_extract_norm": "layer", "conv_bias": True}  # XLS-R and the Large models
BASE = {"do_stable_layer_norm": False, "feat_extract_norm": "group", "conv_bias": False}  # the Base models
KINDS = [(model_type, size) for model_type in CLASSES for size in ("base", "large")]
# wav2vec 2.0 and WavLM always; the others, whose code is much the same, with the slow tests
MARKS = {kind: () if kind[0] in ("wav2vec2", "wavlm") else pytest.mark.slow for kind in KINDS}
each_kind = pytest.mark.parametrize("kind", [pytest.param(kind, marks=MARKS[kind]) for kind in KINDS], ids="-".join)


def make(folder, model_type, size, do_normalize=True):
    """A random model with biases and norms that are not 0 and 1, saved as on the hub."""
    torch.manual_seed(0)
    model_class = getattr(transformers, CLASSES[model_type])
    config = model_class.config_class(**SIZES, **(LARGE if size == "large" else BASE))
    model = model_class(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter += (0.02 if "original" in name else 0.1) * torch.randn_like(parameter)
    model.save_pretrained(folder)
    transformers.Wav2Vec2FeatureExtractor(do_normalize=do_normalize).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    root = tmp_path_factory.mktemp("my models")
    return {kind: make(root / "-".join(kind), *kind) for kind in KINDS}


@pytest.fixture(scope="module")
def xlsr(models):
    return models["wav2vec2", "large"]


@pytest.fixture
def batch():
    wave = torch.randn(len(LENGTHS), max(LENGTHS), generator=torch.Generator().manual_seed(1)) * 0.1 + 0.02
    return wave, torch.tensor(LENGTHS)


def official(model, wave):
    """-1 and every layer's output, by transformers' own forward with hooks on the layers."""
    model_class = getattr(transformers, CLASSES[transformers.AutoConfig.from_pretrained(model).model_type])
    network = model_class.from_pretrained(model).float().eval()
    seen = []
    for layer in network.encoder.layers:
        layer.register_forward_hook(lambda _m, _x, y: seen.append(y[0] if isinstance(y, tuple) else y))
    network.encoder.layers[0].register_forward_pre_hook(lambda _m, x: seen.insert(0, x[0]))
    with torch.no_grad():
        last = network(wave).last_hidden_state
    return last, torch.stack(seen, dim=1)


@each_kind
def test_equals_transformers(models, batch, kind):
    wave = batch[0][:2]
    lengths = torch.full((2,), wave.shape[1])
    expected_last, expected_layers = official(models[kind], wave)
    front_end = HuggingFace(models[kind], normalize=False)
    assert_equal_up_to_rounding(front_end(wave, lengths)[0], expected_last, front_end)
    front_end = HuggingFace(models[kind], "layers", layers=[0, 1, 2, 3, -1], normalize=False)
    layers, layers_len = front_end(wave, lengths)
    assert layers.shape == (2, 5, front_end.num_frames(4000), 32) and layers_len.tolist() == [12, 12]
    assert_equal_up_to_rounding(layers[:, :-1], expected_layers, front_end)
    assert_equal_up_to_rounding(layers[:, -1], expected_last, front_end)
    assert (kind[1] == "base") == torch.allclose(layers[:, 3], layers[:, -1])  # A final LayerNorm, or none.
    pooled, pooled_len = HuggingFace(models[kind], "pooled", normalize=False)(wave, lengths)
    assert_equal_up_to_rounding(pooled, expected_last.mean(1), front_end)
    assert pooled_len.tolist() == [1, 1]


@each_kind
def test_a_padded_batch_gives_the_numbers_of_each_utterance_alone(models, batch, kind):
    wave, wave_len = batch
    front_end = HuggingFace(models[kind], "layers", layers=[0, 1, 3, -1], normalize=True)
    features, features_len = front_end(wave, wave_len)
    for row, length in enumerate(LENGTHS):
        alone, alone_len = front_end(wave[row : row + 1, :length], wave_len[row : row + 1])
        frames = front_end.num_frames(length)
        assert frames == int(features_len[row]) == int(alone_len[0]) == alone.shape[2]
        assert_equal_up_to_rounding(features[row, :, :frames], alone[0], front_end)
        assert not features[row, :, frames:].any()


def test_pooled_leaves_padding_out_and_joins_layers(models, batch):
    model = models["hubert", "base"]
    layers, frames = HuggingFace(model, "layers", [1, 3], normalize=True)(*batch)
    front_end = HuggingFace(model, "pooled", [1, 3], normalize=True)
    pooled, lengths = front_end(*batch)
    assert (front_end.layout, front_end.dim, front_end.frame_rate) == ("vector", 64, 0)
    assert lengths.tolist() == [1] * len(LENGTHS) and front_end.num_frames(4000) == 1
    for row, count in enumerate(frames):
        expected = layers[row, :, :count].mean(1).flatten()  # (2, T, 32) -> (64,)
        assert_equal_up_to_rounding(pooled[row], expected, front_end)


def test_number_of_frames_is_exact(xlsr):
    front_end = HuggingFace(xlsr, normalize=False)
    assert [front_end.num_frames(n) for n in (1, 400, 719, 720, 16000, 64600, 82200)] == [1, 1, 1, 2, 49, 201, 256]
    assert front_end.num_frames(torch.tensor([1, 720, 64600])).tolist() == [1, 2, 201]
    assert (front_end.layout, front_end.dim, front_end.frame_rate) == ("frames", 32, 50)


def test_normalisation_is_that_of_s3prl_or_of_the_feature_extractor(batch):
    wave, wave_len = batch
    wave = wave.masked_fill(torch.arange(wave.shape[1]) >= wave_len.unsqueeze(1), 0)
    ours = standardize(wave, wave_len)
    extractor = transformers.Wav2Vec2FeatureExtractor(do_normalize=True)
    for row, length in enumerate(LENGTHS):
        one = wave[row, :length]
        torch.testing.assert_close(ours[row, :length], F.layer_norm(one, one.shape), atol=1e-5, rtol=1e-5)
        if length > 1:
            theirs = extractor(one.numpy(), sampling_rate=16000).input_values[0]
            np.testing.assert_allclose(standardize(wave, wave_len, 1e-7)[row, :length], theirs, atol=1e-5)
        assert not ours[row, length:].any()
    assert not standardize(torch.zeros(1, 500), torch.tensor([500])).any()  # silence, not NaN


@pytest.mark.parametrize(
    ("rms", "offset"),
    [(0.05, 0.0), (0.0046, 0.001), (0.0009, 0.0), (1e-4, 0.0), (1e-5, 2e-4), (0.0, 0.0), (0.0, 0.01)],
)
def test_quiet_waves_are_normalised_as_the_official_code_does(rms, offset):
    """1e-5 and 1e-7 give waves that differ more the quieter the recording is; silence gives zeros, not NaN."""
    wave = torch.from_numpy(np.random.RandomState(13).standard_normal(64600).astype(np.float32)) * rms + offset
    length = torch.tensor([64600])
    extractor = transformers.Wav2Vec2FeatureExtractor(do_normalize=True)
    theirs = extractor(wave.numpy(), sampling_rate=16000).input_values[0]
    # A constant is its mean up to rounding, which the division by sqrt(1e-7) makes 3,000 times larger.
    tolerance = 1e-5 + offset * 3e-4
    np.testing.assert_allclose(standardize(wave[None], length, 1e-7)[0], theirs, atol=tolerance)
    layer_norm = F.layer_norm(wave, wave.shape)
    np.testing.assert_allclose(standardize(wave[None], length)[0], layer_norm, atol=tolerance)


def test_normalize_eps_is_part_of_what_decides_the_features(xlsr):
    wave, length = torch.randn(1, 4000) * 0.0009, torch.tensor([4000])
    ours, official = (HuggingFace(xlsr, normalize=True, normalize_eps=eps) for eps in (1e-5, 1e-7))
    assert not torch.allclose(ours(wave, length)[0], official(wave, length)[0], atol=1e-3)
    assert ours.fingerprint() == HuggingFace(xlsr, normalize=True).fingerprint() != official.fingerprint()
    with pytest.raises(ValueError, match="normalize_eps 0"):
        HuggingFace(xlsr, normalize=True, normalize_eps=0)


def test_normalize_is_what_the_model_says_unless_given(models, batch, tmp_path):
    plain = make(tmp_path / "plain", "wav2vec2", "base", do_normalize=False)
    assert HuggingFace(models["wav2vec2", "base"]).normalize is True
    assert HuggingFace(plain).normalize is False
    assert HuggingFace(plain, normalize=True).normalize is True
    louder = HuggingFace(plain, normalize=True)(batch[0] * 7 + 0.1, batch[1])[0]
    torch.testing.assert_close(louder, HuggingFace(plain, normalize=True)(*batch)[0], atol=2e-3, rtol=1e-3)
    (tmp_path / "plain" / "preprocessor_config.json").unlink()
    with pytest.raises(InputError, match=r"no preprocessor_config\.json .* set normalize"):
        HuggingFace(plain)


def test_layers_above_the_highest_are_neither_kept_nor_run(xlsr, batch):
    front_end = HuggingFace(xlsr, "layers", layers=[2, 0], normalize=False)
    assert len(front_end.encoder.layers) == 2 and isinstance(front_end.encoder.layer_norm, nn.Identity)
    whole, _ = HuggingFace(xlsr, "layers", normalize=False, layers=[0, 1, 2, 3])(*batch)
    torch.testing.assert_close(front_end(*batch)[0], whole[:, [2, 0]], atol=1e-6, rtol=1e-6)
    assert len(HuggingFace(xlsr, layers=[0], normalize=False).encoder.layers) == 0
    assert len(HuggingFace(xlsr, layers=[-1], normalize=False).encoder.layers) == LAYERS


def test_frozen_by_default(models, batch):
    front_end = HuggingFace(models["wavlm", "large"], "layers", normalize=False).train()
    assert not any(module.training for module in front_end.modules())
    assert not any(parameter.requires_grad for parameter in front_end.parameters())
    first, second = front_end(*batch)[0], front_end(*batch)[0]
    assert not first.requires_grad
    torch.testing.assert_close(first, second, atol=0, rtol=0)


@each_kind
def test_fine_tuning_reaches_every_weight_and_never_drops_a_layer(models, batch, kind):
    front_end = HuggingFace(models[kind], "layers", layers=[1, 2], normalize=True, finetune=True)
    assert front_end.training
    runs = [0] * 2
    for number, layer in enumerate(front_end.encoder.layers):
        layer.register_forward_hook(lambda *_, number=number: runs.__setitem__(number, runs[number] + 1))
    for _ in range(5):  # Layer drop would skip each with probability 1/2.
        front_end(*batch)
    assert runs == [5, 5]
    front_end(*batch)[0].square().sum().backward()
    lacking = [name for name, parameter in front_end.named_parameters() if parameter.grad is None]
    assert lacking == []  # DDP would stop at a weight without a gradient.
    assert all(torch.isfinite(parameter.grad).all() for parameter in front_end.parameters())
    assert not front_end.eval().encoder.layers[0].dropout.training


@pytest.mark.parametrize("size", ["base", "large"])
def test_partly_frozen(models, batch, size):
    model = models["wav2vec2", size]
    front_end = HuggingFace(model, normalize=True, finetune=True, frozen_layers=0).train()
    trained = {name for name, parameter in front_end.named_parameters() if parameter.requires_grad}
    every = {name for name, _ in front_end.named_parameters()}
    assert every - trained == {name for name in every if name.startswith("feature_extractor.")} != set()

    front_end = HuggingFace(model, normalize=True, finetune=True, frozen_layers=2).train()
    trained = {name for name, parameter in front_end.named_parameters() if parameter.requires_grad}
    after = ("encoder.layers.2.",) if size == "base" else ("encoder.layers.2.", "encoder.layer_norm.")
    assert trained == {name for name in every if name.startswith(after)}
    assert not front_end.encoder.layers[1].training and front_end.encoder.layers[2].training
    front_end(*batch)[0].square().sum().backward()
    assert {name for name, parameter in front_end.named_parameters() if parameter.grad is not None} == trained
    assert set(front_end.state_dict()) == set(HuggingFace(model, normalize=True).state_dict())


def test_bfloat16_autocast_is_close_and_finite(models, batch):
    for kind in (("wavlm", "large"), ("wav2vec2", "base")):
        check_bfloat16_autocast(HuggingFace(models[kind], normalize=True), *batch)


def test_sdpa_is_what_computes_attention(models, batch, monkeypatch):
    calls = []
    sdpa = F.scaled_dot_product_attention

    def counted(*args, **options):
        calls.append(1)
        return sdpa(*args, **options)

    monkeypatch.setattr(F, "scaled_dot_product_attention", counted)
    for kind in KINDS:
        calls.clear()
        HuggingFace(models[kind], normalize=False)(*batch)
        assert len(calls) == LAYERS, kind


def test_a_copy_computes_with_its_own_weights(models, batch):
    front_end = HuggingFace(models["wavlm", "large"], normalize=False)
    twin = copy.deepcopy(front_end)
    with torch.no_grad():
        for parameter in front_end.encoder.parameters():
            parameter.zero_()
    torch.testing.assert_close(twin(*batch)[0], HuggingFace(models["wavlm", "large"], normalize=False)(*batch)[0])


def test_the_fingerprint_tells_settings_apart(xlsr):
    kinds = [("last", [1], True), ("last", [2], True), ("last", [1], False), ("pooled", [1], True)]
    prints = [HuggingFace(xlsr, output, layers, normalize).fingerprint() for output, layers, normalize in kinds]
    assert len({str(one) for one in prints}) == len(kinds)
    assert all(isinstance(value, (str, int, float)) for one in prints for value in one.values())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"output": "frames"}, "output 'frames' is none of layers, last, pooled"),
        ({"output": "layers", "layers": [4]}, r"has no layer 4: -1 or 0\.\.3"),
        ({"output": "layers", "layers": []}, "name at least one"),
        ({"output": "last", "layers": [1, 2]}, "last takes one layer, not 2"),
        ({"frozen_layers": 1}, "frozen_layers needs finetune: true"),
        ({"finetune": True, "frozen_layers": 4}, r"frozen_layers 4: must be 0\.\.3"),
    ],
)
def test_invalid_arguments_are_refused(xlsr, arguments, message):
    with pytest.raises(ValueError, match=message):
        HuggingFace(xlsr, normalize=False, **arguments)


def test_a_model_of_another_kind_is_an_input_error(tmp_path):
    transformers.WhisperConfig(d_model=8).save_pretrained(tmp_path)
    with pytest.raises(InputError, match="a model of type 'whisper'; HuggingFace takes hubert"):
        HuggingFace(str(tmp_path))


def test_weights_that_do_not_fit_config_json_are_one_line(xlsr, tmp_path):
    shutil.copytree(xlsr, tmp_path / "model")
    config = json.loads((tmp_path / "model/config.json").read_text())
    config["intermediate_size"] += 1
    (tmp_path / "model/config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=r"weights of Wav2Vec2Model are missing or of another shape") as error:
        HuggingFace(str(tmp_path / "model"), normalize=False)
    assert "\n" not in str(error.value) and "(encoder.layers.0.feed_forward.intermediate_dense.bias, ...)" in str(
        error.value
    )
    with pytest.raises(InputError, match="a model of type 'wav2vec2'; WhisperModel takes whisper"):
        Whisper(xlsr)


def test_what_cannot_be_had_is_one_line(xlsr, tmp_path, monkeypatch):
    import huggingface_hub

    asked = []

    def unreachable(self, model, timeout):
        asked.append(timeout)
        raise ConnectionError("Name or service not known")

    monkeypatch.setenv("SPOOFTRACE_MODELS", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", unreachable)
    with pytest.raises(InputError, match=r"run tools/get_model\.sh no-such-xls-r") as error:
        HuggingFace("nobody/no-such-xls-r", normalize=False)
    assert "\n" not in str(error.value) and len(asked) == 1 and asked[0] <= 10
    with pytest.raises(InputError, match="absent: no such folder"):
        HuggingFace(str(tmp_path / "absent"))
    (tmp_path / "config.json").write_bytes((Path(xlsr) / "config.json").read_bytes())
    with pytest.raises(InputError, match="cannot be loaded as Wav2Vec2Model"):
        HuggingFace(str(tmp_path))
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(InputError, match="cannot be loaded as AutoConfig"):
        HuggingFace(str(tmp_path))


@each_kind
def test_an_experiment_with_the_weights_needs_no_pretrained_model(models, batch, tmp_path, kind):
    model = shutil.copytree(models[kind], tmp_path / "base")
    trained = HuggingFace(str(model), "layers", finetune=True)
    keep_configuration(tmp_path / "exp", str(model))
    assert {path.name for path in (tmp_path / "exp" / "models" / "base").iterdir()} == {
        "config.json", "preprocessor_config.json",
    }  # fmt: skip
    shutil.rmtree(model)
    with pytest.raises(InputError, match="no such folder"):
        HuggingFace(str(model), "layers", finetune=True)
    with weights_in(tmp_path / "exp"):
        loaded = HuggingFace(str(model), "layers", finetune=True)
    assert list(loaded.buffers()) == []  # What is not a weight would come out as any number.
    loaded.load_state_dict(trained.state_dict())
    assert loaded.normalize is True and loaded.dim == trained.dim
    torch.testing.assert_close(loaded.eval()(*batch), trained.eval()(*batch), rtol=0, atol=0)
    assert all(parameter.requires_grad for parameter in loaded.parameters())


def test_weights_in_leaves_frozen_models_alone(xlsr, batch, tmp_path):
    keep_configuration(tmp_path, xlsr)
    expected = HuggingFace(xlsr)(*batch)
    with weights_in(tmp_path):
        torch.testing.assert_close(HuggingFace(xlsr)(*batch), expected)
        shutil.rmtree(kept_configuration(tmp_path, xlsr))
        bare = shutil.copytree(xlsr, tmp_path / "bare", ignore=shutil.ignore_patterns("*.safetensors"))
        HuggingFace(str(bare), finetune=True)  # Its weights are not needed.
        with pytest.raises(InputError, match="cannot be loaded"):
            HuggingFace(str(bare))
    torch.testing.assert_close(HuggingFace(xlsr, finetune=True).eval()(*batch), expected)


@pytest.mark.parametrize("path", sorted((ROOT / "conf" / "frontends").glob("*.yaml")), ids=lambda path: path.stem)
def test_the_shipped_configurations_fit_the_classes(path):
    streams = yaml.safe_load(path.read_text(encoding="utf-8"))["streams"]
    name, stream = next(iter(streams.items()))
    assert list(streams) == [path.stem]
    inspect.signature(getattr(frontends, stream["class_path"])).bind(**stream["init_args"])
    config = load_config([path, ROOT / "conf" / "systems" / "whisper_linear.yaml"])
    assert config.streams[name]["class_path"].endswith(stream["class_path"])
