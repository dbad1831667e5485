"""The Whisper front-end against transformers' own classes on a tiny random model, and on real weights if there."""

import inspect
import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from helpers.half_precision import check_bfloat16_autocast
from helpers.tolerance import assert_equal_up_to_rounding
from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperModel

from spooftrace.common.errors import InputError
from spooftrace.frontends import Whisper
from spooftrace.frontends.whisper import WINDOW, log_mel
from spooftrace.pretrained.finding import find_folder, from_pretrained, models_folder

LENGTHS = [16000, 15999, 1, 321, 7040]
ROOT = Path(__file__).resolve().parents[2]
FIXTURE = ROOT / "tests" / "fixtures" / "whisper_encoder_chirp.json"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A Whisper of two layers with random weights (and biases and norms that are not 0 and 1), saved as on the hub."""
    torch.manual_seed(0)
    config = WhisperConfig(
        vocab_size=8, d_model=32, encoder_layers=2, encoder_attention_heads=4, encoder_ffn_dim=64, decoder_layers=1,
        decoder_attention_heads=4, decoder_ffn_dim=32, pad_token_id=0, bos_token_id=1, eos_token_id=2,
        decoder_start_token_id=1, max_target_positions=4,
    )  # fmt: skip
    model = WhisperModel(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    folder = tmp_path_factory.mktemp("a folder") / "whisper-of-two-layers"
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def batch():
    wave = torch.randn(len(LENGTHS), max(LENGTHS), generator=torch.Generator().manual_seed(1)) * 0.1
    return wave, torch.tensor(LENGTHS)


def official(front_end, waves):
    """What transformers computes: extractor padded to 30 s -> encoder."""
    extractor = WhisperFeatureExtractor(feature_size=front_end.encoder.config.num_mel_bins)
    mel = extractor(waves, sampling_rate=16000, return_tensors="pt").input_features
    with torch.no_grad():
        return mel, front_end.encoder(mel).last_hidden_state


def test_30s_equals_transformers(folder, batch):
    wave, wave_len = batch
    front_end = Whisper(str(folder))
    features, features_len = front_end(wave, wave_len)
    _, expected = official(front_end, [w[:n].numpy() for w, n in zip(wave, wave_len, strict=True)])
    assert features_len.tolist() == [50, 50, 1, 2, 22]
    for row, frames in enumerate(features_len):
        assert_equal_up_to_rounding(features[row, :frames], expected[row, :frames], front_end)


def test_log_mel_equals_transformers_also_for_a_full_window(folder):
    front_end = Whisper(str(folder))
    waves = [chirp(), np.tile(chirp(), 15), np.zeros(400, np.float32)]  # 2 s, 30 s to the last sample, silence
    expected, _ = official(front_end, waves)
    padded = torch.stack([torch.from_numpy(np.pad(w, (0, WINDOW - len(w)))) for w in waves])
    ours = log_mel(padded, front_end.window, front_end.mel, valid=None)
    torch.testing.assert_close(ours, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("padding", "layer"), [("30s", -1), ("none", -1), ("none", 0), ("none", 1), ("none", 2)])
def test_a_padded_batch_gives_the_numbers_of_each_utterance_alone(folder, batch, padding, layer):
    wave, wave_len = batch
    front_end = Whisper(str(folder), layer=layer, padding=padding)
    features, _ = front_end(wave, wave_len)
    assert features.shape == (len(LENGTHS), 50, 32)
    for row, length in enumerate(LENGTHS):
        alone, alone_len = front_end(wave[row : row + 1, :length], wave_len[row : row + 1])
        frames = front_end.num_frames(length)
        assert alone.shape[1] == int(alone_len[0]) == frames
        assert_equal_up_to_rounding(features[row, :frames], alone[0], front_end)
        assert not features[row, frames:].any()


def test_layers_are_those_that_hooks_see(folder, batch):
    wave, wave_len = batch[0][:1], batch[1][:1]
    whole = Whisper(str(folder))
    seen = []
    for layer in whole.encoder.layers:
        layer.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    whole.encoder.layer_norm.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    last, _ = whole(wave, wave_len)
    for layer, expected in enumerate(seen):
        features, _ = Whisper(str(folder), layer=layer)(wave, wave_len)
        torch.testing.assert_close(features, expected[:, :50], atol=0, rtol=0)
    torch.testing.assert_close(last, whole.encoder.layer_norm(seen[-1])[:, :50], atol=0, rtol=0)
    assert len(Whisper(str(folder), layer=1).encoder.layers) == 1  # Nothing unused is kept.


def test_padding_none_computes_the_real_frames_only_and_gives_other_numbers(folder, batch):
    wave, wave_len = batch[0][:1], batch[1][:1]
    short, long = Whisper(str(folder), padding="none"), Whisper(str(folder))
    sizes = []
    short.encoder.layers[0].register_forward_pre_hook(lambda _, inputs: sizes.append(inputs[0].shape[1]))
    difference = (short(wave, wave_len)[0] - long(wave, wave_len)[0]).abs().mean()
    assert sizes == [50]
    assert difference > 1e-4
    assert short.fingerprint() != long.fingerprint()
    assert short.fingerprint()["weights_sha256"] == long.fingerprint()["weights_sha256"]


@pytest.mark.parametrize("padding", ["30s", "none"])
def test_more_than_30_seconds_are_cut_into_windows(folder, padding):
    front_end = Whisper(str(folder), layer=1, padding=padding)
    wave = torch.randn(2, WINDOW + 5000, generator=torch.Generator().manual_seed(2)) * 0.1
    wave_len = torch.tensor([WINDOW + 5000, 3000])
    features, features_len = front_end(wave, wave_len)
    assert features.shape[1] == 1516 and features_len.tolist() == [1516, 10]
    first, _ = front_end(wave[:1, :WINDOW], torch.tensor([WINDOW]))
    second, _ = front_end(wave[:1, WINDOW:], torch.tensor([5000]))
    assert_equal_up_to_rounding(features[0], torch.cat([first, second], 1)[0], front_end)
    short, _ = front_end(wave[1:, :3000], torch.tensor([3000]))
    assert_equal_up_to_rounding(features[1, :10], short[0], front_end)


def test_frozen_by_default_and_trainable_on_request(folder, batch):
    wave, wave_len = batch
    assert not any(p.requires_grad for p in Whisper(str(folder)).train().parameters())
    front_end = Whisper(str(folder), padding="none", finetune=True)
    assert front_end.training
    front_end(wave, wave_len)[0].square().sum().backward()
    lacking = [name for name, p in front_end.named_parameters() if p.requires_grad and p.grad is None]
    assert lacking == []  # DDP would stop at a weight without a gradient.
    assert all(torch.isfinite(p.grad).all() for p in front_end.parameters() if p.requires_grad)


def test_bfloat16_autocast_is_close_and_finite(folder, batch):
    check_bfloat16_autocast(Whisper(str(folder), padding="none"), *batch)


def test_invalid_arguments_are_refused(folder):
    with pytest.raises(ValueError, match=r"has no layer 3: -1 or 0\.\.2"):
        Whisper(str(folder), layer=3)
    with pytest.raises(ValueError, match="padding '20s'"):
        Whisper(str(folder), padding="20s")


def test_the_models_folder_is_found_by_the_last_part_of_the_name(folder, monkeypatch):
    monkeypatch.setenv("SPOOFTRACE_MODELS", str(folder.parent))
    assert models_folder() == folder.parent
    assert find_folder("somebody/whisper-of-two-layers") == folder
    assert find_folder("somebody/another") is None
    monkeypatch.delenv("SPOOFTRACE_MODELS")
    assert models_folder() == ROOT / "tools" / "models"


def test_a_folder_that_is_not_there_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        Whisper(str(tmp_path / "absent"))


def test_a_folder_without_weights_or_with_cut_weights_is_an_input_error(folder, tmp_path):
    (tmp_path / "config.json").write_bytes((folder / "config.json").read_bytes())
    with pytest.raises(InputError, match=r"cannot be loaded as WhisperModel.*fetch it again"):
        Whisper(str(tmp_path))
    (tmp_path / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:-100])
    with pytest.raises(InputError, match=r"cannot be loaded as WhisperModel.*fetch it again"):
        Whisper(str(tmp_path))


def test_missing_weights_are_an_input_error_not_random_numbers(folder, tmp_path):
    config = json.loads((folder / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"encoder_layers": 3}))
    (tmp_path / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
    with pytest.raises(InputError, match=r"missing or of another shape .*encoder\.layers\.2"):
        Whisper(str(tmp_path))


def test_without_a_network_one_short_question_is_asked_and_the_error_says_what_to_do(monkeypatch, tmp_path):
    import huggingface_hub
    import transformers

    calls, asked = [], []

    def not_in_the_cache(model, **options):
        calls.append(options["local_files_only"])
        raise OSError("not in the cache")

    def unreachable(self, model, timeout):
        asked.append(timeout)
        raise ConnectionError("Name or service not known")

    monkeypatch.setenv("SPOOFTRACE_MODELS", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", unreachable)
    monkeypatch.setattr(transformers.PretrainedConfig, "get_config_dict", not_in_the_cache)
    with pytest.raises(InputError) as error:
        from_pretrained(transformers.WhisperModel, "nobody/no-such-whisper")
    assert calls == [True]  # Only the cache: online, transformers would try for half a minute.
    assert len(asked) == 1 and asked[0] <= 10
    message = str(error.value)
    assert "\n" not in message
    for hint in ("nobody/no-such-whisper", "folder", "tools/get_model.sh no-such-whisper", "network", str(tmp_path)):
        assert hint in message


@pytest.mark.parametrize("path", sorted((ROOT / "conf" / "frontends").glob("whisper*.yaml")), ids=lambda p: p.stem)
def test_the_shipped_configurations_fit_the_class(path):
    (stream,) = yaml.safe_load(path.read_text())["streams"].values()
    assert stream["class_path"] == "Whisper"
    inspect.signature(Whisper).bind(**stream["init_args"])


def chirp():
    """2 s from 100 to 4000 Hz with a 3 Hz swell: the input behind tests/fixtures/whisper_encoder_chirp.json."""
    time = np.arange(32000) / 16000.0
    tone = 0.3 * np.sin(2 * np.pi * (100 * time + 0.5 * 1950 * time * time))
    return (tone * (0.6 + 0.4 * np.sin(2 * np.pi * 3 * time))).astype(np.float32)


@pytest.mark.parametrize("name", ["whisper-base", "whisper-tiny.en"])
def test_real_weights_give_what_ctranslate2_computes(name):
    if find_folder(f"openai/{name}") is None:
        pytest.skip(f"{name} is not there: run tools/get_model.sh {name}")
    front_end = Whisper(f"openai/{name}")
    features, _ = front_end(torch.from_numpy(chirp())[None], torch.tensor([32000]))
    fixture = json.loads(FIXTURE.read_text())[name]
    picked = features[0][fixture["frames"]][:, fixture["dims"]]
    # Outputs reach 24, sums inside the encoder far more: float32 rounding is about 3e-5 here.
    torch.testing.assert_close(picked, torch.tensor(fixture["values"]), atol=2e-4, rtol=0)
    assert abs(float(features.mean()) - fixture["mean"]) < 1e-4
    assert abs(float(features.std()) - fixture["std"]) < 1e-4
