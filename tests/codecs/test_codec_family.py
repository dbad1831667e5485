"""The axes of the codec family: every quantizer, both decoders, both auxiliary objectives; and their training."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from spooftrace.codecs.codec import NeuralCodec
from spooftrace.codecs.decoders import four_factors
from spooftrace.codecs.disentanglement import measure_voice, neutralize, pitch, restore
from spooftrace.codecs.factorised import FactorisedQuantizer
from spooftrace.codecs.scalar import ScalarQuantizer
from spooftrace.codecs.semantic import SemanticDistillation, TeacherFeatures
from spooftrace.codecs.settings import CodecTraining
from spooftrace.codecs.single_codebook import SingleVectorQuantizer
from spooftrace.codecs.training import train_codec
from spooftrace.codecs.weights import load_codec, save_codec
from spooftrace.common.errors import InputError
from spooftrace.datadir import DataDir

ROOT = Path(__file__).resolve().parents[2]
SMALL = {"dim": 8, "channels": 16, "encoder_blocks": 1, "decoder_blocks": 2, "codebook_size": 9, "num_quantizers": 4}
SETTINGS = CodecTraining(max_steps=4, batch_size=2, crop_seconds=0.2, quantizers=[1, 4], checkpoint_steps=2)
FAMILY = {
    "residual": {},
    "factorised": {"quantizer": "factorised"},
    "single": {"quantizer": "single", "num_quantizers": 1, "frame_rate": 100, "overlap": 4, "tokens": 2},
    "scalar": {"quantizer": "scalar"},
    "semantic": {"auxiliary": "semantic"},
    "disentanglement": {"auxiliary": "disentanglement"},
    "8 kHz": {"sample_rate": 8000},
    "24 kHz": {"sample_rate": 24000},
}


@pytest.fixture
def data(tmp_path):
    """Six noisy tones."""
    import soundfile as sf

    draws = np.random.default_rng(0)
    tables = {"wav.scp": {}, "utt2spk": {}}
    for number in range(6):
        speaker, time = f"s{number % 2}", np.arange(8000 + 1000 * number) / 16000
        wave = 0.1 * np.sin(2 * math.pi * (150 + 40 * number) * time) + 0.02 * draws.standard_normal(len(time))
        sf.write(tmp_path / f"{speaker}-{number}.wav", wave, 16000)
        tables["wav.scp"][f"{speaker}-{number}"] = str(tmp_path / f"{speaker}-{number}.wav")
        tables["utt2spk"][f"{speaker}-{number}"] = speaker
    DataDir.write(tmp_path / "data", tables)
    return tmp_path / "data"


def teacher(waves):
    """Random features in the place of Whisper's, the same for the same lengths."""
    draws = np.random.default_rng(1)
    return [draws.standard_normal((-(-len(wave) // 320), 6)).astype(np.float16) for wave in waves]


# ---- every member of the family ----


@pytest.mark.parametrize("decoder", ["frequency", "time"])
@pytest.mark.parametrize("options", FAMILY.values(), ids=FAMILY)
def test_copies_have_the_length_of_the_original(options, decoder):
    torch.manual_seed(0)
    codec = NeuralCodec(**{**SMALL, **options, "decoder": decoder}).eval()
    total = codec.config["num_quantizers"]
    for samples in (1, codec.hop - 1, codec.hop, 9001):
        wave = 0.1 * torch.randn(2, samples)
        for count in sorted({1, total}):
            codes = codec.encode(wave, count)
            frames = -(-max(samples, codec.n_fft) // codec.hop) + 1
            assert codes.shape == (2, count, frames * codec.config["tokens"])
            assert codes.min() >= 0
            assert codes.max() < 9
            copy = codec.copy(wave, count)
            assert copy.shape == wave.shape
            assert copy.isfinite().all()


@pytest.mark.parametrize("decoder", ["frequency", "time"])
@pytest.mark.parametrize("options", FAMILY.values(), ids=FAMILY)
def test_codes_hold_all_that_the_decoder_needs(options, decoder, tmp_path):
    torch.manual_seed(0)
    codec = NeuralCodec(**{**SMALL, **options, "decoder": decoder})
    wave = 0.05 * torch.randn(2, 4 * codec.n_fft)
    codec(wave)  # a training pass: codebooks start
    codec.eval()
    voice = codec.voice(wave) if codec.restorer else None
    with torch.no_grad():
        output = codec(wave)
    assert torch.equal(output.codes, codec.encode(wave))
    assert torch.allclose(codec.decode(output.codes, wave.shape[1], voice), output.wave, atol=1e-5)
    save_codec(codec, tmp_path / "codec.safetensors", half=False)
    assert torch.equal(load_codec(tmp_path / "codec.safetensors").copy(wave), codec.copy(wave))


@pytest.mark.parametrize("options", FAMILY.values(), ids=FAMILY)
def test_every_weight_learns(options):
    torch.manual_seed(0)
    codec = NeuralCodec(**{**SMALL, **options})
    wave = 0.05 * torch.randn(4, 4 * codec.n_fft)
    output = codec(wave)
    (output.wave.square().mean() + output.commitment).backward()
    assert [name for name, weight in codec.named_parameters() if weight.grad is None] == []


def test_a_frame_is_where_it_was_in_both_decoders():
    """A codec is trained on pairs in step, so a decoder must not shift: an impulse of the trunk stays in its frame."""
    for decoder in ("frequency", "time"):
        torch.manual_seed(0)
        codec = NeuralCodec(**{**SMALL, "decoder": decoder}).eval()
        vectors = torch.zeros(1, 41, 8)
        still = codec.decoder.synthesize(vectors, 40 * codec.hop)
        vectors[:, 20] = 3.0
        change = (codec.decoder.synthesize(vectors, 40 * codec.hop) - still)[0].square()
        centre = (change * torch.arange(len(change))).sum() / change.sum()
        assert abs(centre / codec.hop - 20) < 1.0


def test_what_does_not_go_together():
    with pytest.raises(ValueError, match="single codebook"):
        NeuralCodec(**{**SMALL, "quantizer": "single"})
    with pytest.raises(ValueError, match="tokens 3"):
        NeuralCodec(**{**SMALL, "quantizer": "single", "num_quantizers": 1, "tokens": 3})
    with pytest.raises(ValueError, match="several tokens"):
        NeuralCodec(**{**SMALL, "tokens": 2})
    with pytest.raises(ValueError, match="several codebooks"):
        NeuralCodec(**{**SMALL, "quantizer": "scalar", "auxiliary": "semantic"})
    with pytest.raises(ValueError, match="frame_rate 50"):
        NeuralCodec(**{**SMALL, "sample_rate": 8000, "auxiliary": "semantic"})
    plain, voiced = NeuralCodec(**SMALL), NeuralCodec(**{**SMALL, "auxiliary": "disentanglement"})
    codes = torch.zeros(1, 2, 5, dtype=torch.long)
    with pytest.raises(ValueError, match="voice"):
        voiced.decode(codes)
    with pytest.raises(ValueError, match="voice"):
        plain.decode(codes, voice=torch.zeros(1, 33))
    with pytest.raises(ValueError, match="voice"):
        plain.voice(torch.zeros(1, 1000))


def test_bitrates():
    assert NeuralCodec(**{**SMALL, "codebook_size": 256}).kbps(4) == 1.6
    single = {**SMALL, "quantizer": "single", "codebook_size": 1024, "num_quantizers": 1, "tokens": 4}
    assert NeuralCodec(**single).kbps(1) == 2.0
    assert NeuralCodec(**{**SMALL, "quantizer": "scalar"}).kbps(4) == pytest.approx(0.05 * 4 * math.log2(9))


def test_the_first_codec_codes_as_it_always_did():
    """Codes of the first release's code for a chirp; its weights file knows nothing of the axes."""
    time = torch.arange(4000) / 16000
    wave = 0.05 * torch.sin(2 * math.pi * (200 * time + 3000 * time**2)) * (1 + torch.sin(2 * math.pi * 9 * time))
    codes = load_codec(ROOT / "egs/mini/corpus/codec_rvq8.safetensors").encode(wave[None])[0]
    assert codes[0].tolist() == [50, 58, 57, 57, 84, 87, 132, 132, 132, 87, 87, 87, 187, 187]
    assert codes[1].tolist() == [164, 40, 40, 118, 97, 20, 93, 49, 255, 7, 184, 184, 223, 223]
    assert codes[7].tolist() == [122, 75, 22, 120, 3, 57, 178, 149, 160, 111, 172, 175, 110, 110]


@given(st.integers(1, 4000))
def test_four_factors_multiply_to_the_number(number):
    factors = four_factors(number)
    assert math.prod(factors) == number
    assert len(factors) == 4
    assert factors == sorted(factors, reverse=True)


# ---- quantizers ----


@pytest.mark.parametrize("quantizer", [FactorisedQuantizer(8, 16, 4), ScalarQuantizer(8, 9, 4)], ids=["fac", "fsq"])
def test_fewer_quantizers_are_the_first_ones(quantizer):
    torch.manual_seed(0)
    quantizer.eval()
    x = torch.randn(2, 20, 8)
    every, mixed = quantizer(x), quantizer(x, torch.tensor([2, 4]))
    assert torch.equal(every.codes, mixed.codes)
    assert torch.allclose(mixed.values[1], every.values[1], atol=1e-6)
    assert torch.allclose(mixed.values[0], quantizer.decode(every.codes[:, :2])[0], atol=1e-5)


def test_factorised_codebooks_move_towards_what_they_code():
    torch.manual_seed(0)
    quantizer = FactorisedQuantizer(8, 16, 2)
    x = torch.randn(4, 50, 8)
    optimizer = torch.optim.Adam(quantizer.parameters(), 1e-2)
    losses = []
    for _ in range(60):
        quantized = quantizer(x)
        loss = (quantized.values - x).square().mean() + 0.25 * quantized.commitment
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]


@settings(max_examples=20)
@given(st.integers(2, 12), st.integers(1, 6))
def test_scalar_codes_are_levels(levels, dims):
    torch.manual_seed(0)
    quantizer = ScalarQuantizer(4, levels, dims).eval()
    codes = quantizer(10 * torch.randn(3, 30, 4)).codes
    assert codes.shape == (3, dims, 30)
    assert codes.min() >= 0
    assert codes.max() < levels


def test_scalar_noise_is_drawn_from_the_generator():
    quantizer = ScalarQuantizer(4, 9, 3).train()
    x = torch.randn(8, 10, 4)
    once, again, other = (quantizer(x, None, torch.Generator().manual_seed(seed)).values for seed in (1, 1, 2))
    assert torch.equal(once, again)
    assert not torch.equal(once, other)


def test_a_single_codebook_codes_the_parts_of_a_frame_in_turn():
    torch.manual_seed(0)
    quantizer = SingleVectorQuantizer(8, codebook_size=64, tokens=2)
    x = torch.randn(4, 50, 8)
    for _ in range(20):
        quantizer(x)
    quantizer.eval()
    quantized = quantizer(x)
    assert quantized.codes.shape == (4, 1, 100)
    assert len(quantized.codes.unique()) > 48
    assert (quantized.values - x).square().mean() < 0.5 * x.square().mean()
    changed = x.clone()
    changed[..., 4:] = 0  # the second part
    assert torch.equal(quantizer(changed).codes[..., ::2], quantized.codes[..., ::2])
    assert torch.allclose(quantizer.decode(quantized.codes), quantized.values, atol=1e-5)


def test_a_spectrum_far_too_faint_has_a_gradient():
    """Magnitudes below the smallest float once gave NaN on the way back."""
    codec = NeuralCodec(**SMALL)
    torch.nn.init.constant_(codec.decoder[-1].bias, -95.0)
    codec(0.05 * torch.randn(1, 3200)).wave.square().sum().backward()
    assert all(weight.grad is None or weight.grad.isfinite().all() for weight in codec.parameters())


# ---- semantic distillation ----


def test_the_semantic_code_does_not_depend_on_the_acoustic_ones():
    torch.manual_seed(0)
    codec = NeuralCodec(**{**SMALL, "auxiliary": "semantic"})
    wave = 0.05 * torch.randn(1, 3200)
    codec(wave)
    codec.eval()
    assert torch.equal(codec.encode(wave, 1)[:, 0], codec.encode(wave, 4)[:, 0])
    acoustic = codec.quantizer.acoustic
    before = codec.encode(wave, 4)
    acoustic.codebooks.mul_(-2)
    assert torch.equal(codec.encode(wave, 1), before[:, :1])
    assert not torch.equal(codec.encode(wave, 4), before)


def test_distillation_looks_at_the_frames_of_the_crop():
    features = np.random.default_rng(0).standard_normal((30, 4)).astype(np.float16)
    targets = TeacherFeatures(features, np.array([10, 20]))
    distillation = SemanticDistillation(4, targets)
    torch.nn.init.eye_(distillation.head.weight)
    torch.nn.init.zeros_(distillation.head.bias)
    right = torch.from_numpy(targets.frames(1, 5, 8))[None]
    assert distillation(right, [(1, 5)]).item() == pytest.approx(0, abs=1e-6)
    assert distillation(right, [(1, 6)]).item() > 0.5
    at_the_end = torch.from_numpy(targets.frames(0, 7, 8))  # the utterance has three frames left
    assert at_the_end.shape == (3, 4)
    padded = torch.cat([at_the_end, torch.randn(5, 4)])[None]
    assert distillation(padded, [(0, 7)]).item() == pytest.approx(0, abs=1e-6)


def test_teacher_features_are_kept(tmp_path):
    waves, path = [np.zeros(1000, np.int16), np.zeros(2000, np.int16)], tmp_path / "teacher.npz"

    def again(waves):
        pytest.fail("extracted again")

    first = TeacherFeatures.of(waves, path, teacher)
    assert np.array_equal(TeacherFeatures.of(waves, path, again).features, first.features)
    with pytest.raises(pytest.fail.Exception):  # other data: not those features
        TeacherFeatures.of([*waves, waves[0]], path, again)


# ---- disentanglement ----


@pytest.mark.parametrize("rate", [8000, 16000, 24000])
def test_pitch(rate):
    time = torch.arange(rate) / rate
    waves = torch.stack([sum(torch.sin(2 * math.pi * f * k * time) / k for k in (1, 2, 3)) for f in (90, 130, 310)])
    assert pitch(waves, rate).tolist() == pytest.approx([90, 130, 310], rel=0.02)
    assert pitch(torch.zeros(1, 100), rate).item() == 180  # nothing there, and too short


def spectrum(wave):
    window = torch.hann_window(640)
    return torch.log(torch.stft(wave, 640, 320, window=window, return_complex=True).abs() + 1e-2)


def harmonics(frequency):
    """A steady voice of this pitch with all its harmonics below 3 kHz."""
    time = torch.arange(16000) / 16000
    return sum(torch.sin(2 * math.pi * frequency * k * time) for k in range(1, int(3000 / frequency)))[None] * 0.02


def a_voice():
    """Gliding harmonics that come and go, and some noise."""
    time = torch.arange(24000) / 16000
    phase = 2 * math.pi * (140 * time + 15 * torch.sin(3 * time))
    wave = sum(torch.sin(k * phase) / k for k in range(1, 20)) * (1 + torch.sin(2 * math.pi * 3 * time))
    return (0.03 * wave + 0.001 * torch.randn(24000, generator=torch.Generator().manual_seed(0)))[None]


def spectral_period(log_spectrum):
    """Distance of the harmonics of a log spectrum (F,), in bins, below 2.5 kHz."""
    x = log_spectrum[8:100] - log_spectrum[8:100].mean()
    correlation = torch.fft.irfft(torch.fft.rfft(x, 1024).abs().square())[:40]
    return 3 + int(correlation[3:].argmax())


def test_a_neutral_spectrum_forgets_the_pitch_and_the_colour():
    high, low = harmonics(300.0), harmonics(150.0)
    neutral = [neutralize(spectrum(x), measure_voice(x, spectrum(x), 16000))[0].mean(1) for x in (high, low)]
    spacing = [spectral_period(x) for x in (spectrum(high)[0].mean(1), spectrum(low)[0].mean(1), *neutral)]
    assert spacing[0] == pytest.approx(2 * spacing[1], rel=0.1)
    assert spacing[2] < 1.4 * spacing[3]  # 2 to the power of 0.3, and bins of 25 Hz
    coloured = spectrum(high) + torch.linspace(1, -1, 321)[:, None]
    voice = measure_voice(high, coloured, 16000)
    assert (neutralize(coloured, voice)[0].mean(1) - neutral[0])[20:300].abs().median() < 0.2


def test_a_voice_can_be_put_back():
    wave = a_voice()
    original = spectrum(wave)
    voice = measure_voice(wave, original, 16000)
    assert (restore(neutralize(original, voice), voice) - original).abs().mean() < 0.15
    for stretch in (0.6, 1.0, 1.7):
        voice[0, 0] = math.log(stretch)
        smooth = original.mean(-1, keepdim=True).cumsum(1) / 100
        assert (restore(neutralize(smooth, voice), voice) - smooth).abs().mean() < 0.02


def test_another_voice_changes_the_copy_and_not_the_codes():
    torch.manual_seed(0)
    codec = NeuralCodec(**{**SMALL, "auxiliary": "disentanglement"})
    wave = a_voice()
    codec(wave)
    codec.eval()
    codes, voice = codec.encode(wave), codec.voice(wave)
    assert torch.allclose(codec.voice(0.3 * wave + 0.0)[:, 0], voice[:, 0])  # a voice has no level
    other = voice.clone()
    other[:, 0] += 0.3
    copies = [codec.decode(codes, wave.shape[1], v) for v in (voice, other)]
    assert (copies[0] - copies[1]).abs().max() > 1e-4


# ---- training ----


@pytest.mark.parametrize("options", FAMILY.values(), ids=FAMILY)
def test_a_stopped_training_of_any_kind_ends_with_the_same_weights(options, data, tmp_path, monkeypatch):
    config = {**SMALL, **options}
    chosen = replace(SETTINGS, quantizers=sorted({1, config["num_quantizers"]}), convergence=0.5)
    whole = train_codec(data, tmp_path / "whole", config, chosen, teacher).state_dict()
    forward, steps = NeuralCodec.forward, []

    def stop_at_the_fourth(self, *args, **kwargs):
        steps.append(1)
        if len(steps) == 4:
            raise KeyboardInterrupt
        return forward(self, *args, **kwargs)

    monkeypatch.setattr(NeuralCodec, "forward", stop_at_the_fourth)
    with pytest.raises(KeyboardInterrupt):
        train_codec(data, tmp_path / "stopped", config, chosen, teacher)
    monkeypatch.setattr(NeuralCodec, "forward", forward)
    resumed = train_codec(data, tmp_path / "stopped", config, chosen, teacher).state_dict()
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    summaries = [json.loads((tmp_path / run / "summary.json").read_text()) for run in ("whole", "stopped")]
    assert summaries[0]["mel"] == summaries[1]["mel"]


def test_training_from_another_codec(data, tmp_path):
    train_codec(data, tmp_path / "first", SMALL, SETTINGS)
    weights = str(tmp_path / "first/codec.safetensors")
    first = load_codec(weights).state_dict()
    start = replace(SETTINGS, initial=weights, max_steps=1, lr=0.0)
    second = train_codec(data, tmp_path / "second", {**SMALL, "decoder": "time"}, start).state_dict()
    assert torch.equal(second["encoder.0.weight"], first["encoder.0.weight"])
    assert second["decoder.3.1.layer.weight"].shape != first["decoder.3.weight"].shape
    third = train_codec(data, tmp_path / "third", {**SMALL, "codebook_size": 16}, start).state_dict()
    assert third["quantizer.codebooks"].shape == (4, 16, 8)
    assert third["quantizer.codebooks"].abs().sum() > 0  # other codebooks start by k-means


def test_semantic_training_needs_a_teacher(data, tmp_path):
    with pytest.raises(ValueError, match="teacher"):
        train_codec(data, tmp_path / "out", {**SMALL, "auxiliary": "semantic"}, SETTINGS)


def test_settings_that_cannot_be_trained_are_one_line(data, tmp_path):
    with pytest.raises(InputError, match="codec settings: a single codebook"):
        train_codec(data, tmp_path / "out", {**SMALL, "quantizer": "single"}, SETTINGS)
    with pytest.raises(InputError, match=r"absent.safetensors: no such codec"):
        train_codec(data, tmp_path / "out", SMALL, replace(SETTINGS, initial=str(tmp_path / "absent.safetensors")))


@pytest.mark.parametrize("path", sorted((ROOT / "conf/codec").glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_configurations_fit_the_classes(path):
    config = yaml.safe_load(path.read_text(encoding="utf-8"))
    codec = NeuralCodec(**config["codec"])
    assert max(CodecTraining(**config["training"]).quantizers) == codec.config["num_quantizers"]
    assert sum(weight.numel() for weight in codec.state_dict().values()) < 1_200_000  # 2 MB at 16 bits, averages aside
