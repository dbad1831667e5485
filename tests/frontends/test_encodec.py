"""EnCodec on random weights: transformers' own codes, the encodec package's, and resampling."""

import math
import re

import numpy as np
import pytest
import soxr
import torch
import transformers

from spooftrace.common.errors import InputError
from spooftrace.frontends import EnCodec, EnCodecPackage
from spooftrace.frontends.resample import Resample

LENGTHS = [6400, 6399, 1, 320, 213, 214, 5000, 6400]  # 213 samples are 320 at 24 kHz, which is one frame


def randomise(model):
    """Scale the codebooks to the encoder's outputs, which makes all quantizers effective."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter.copy_(0.1 * torch.randn(parameter.shape, generator=generator))
        frames = model.encoder(torch.randn(1, 1, 96000, generator=generator) * 0.1)[0]  # (D, T)
        spread, mean = torch.std_mean(frames, dim=1)
        for number, layer in enumerate(model.quantizer.layers):
            shape = layer.codebook.embed.shape
            layer.codebook.embed.copy_(0.9**number * spread * torch.randn(shape, generator=generator))
        model.quantizer.layers[0].codebook.embed.add_(mean)
    return model


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("my codec")
    config = transformers.EncodecConfig(num_filters=4, hidden_size=16, codebook_dim=16, num_lstm_layers=1)
    randomise(transformers.EncodecModel(config)).save_pretrained(folder)
    return str(folder)


@pytest.fixture
def batch():
    wave = torch.randn(len(LENGTHS), max(LENGTHS), generator=torch.Generator().manual_seed(1)) * 0.1
    return wave, torch.tensor(LENGTHS)


def test_equals_transformers(tiny, batch):
    wave, lengths = batch[0], torch.full_like(batch[1], batch[0].shape[1])
    network = transformers.EncodecModel.from_pretrained(tiny).eval()
    with torch.no_grad():
        upsampled = Resample(16000, 24000)(wave).unsqueeze(1)
        expected = network.encode(upsampled, bandwidth=6.0).audio_codes[0]
        decoded = network.quantizer.decode(expected.transpose(0, 1)).transpose(1, 2)
    codes, codes_len = EnCodec(6.0, model=tiny)(wave, lengths)
    assert torch.equal(codes, expected) and codes.shape == (len(LENGTHS), 8, 30) and codes_len.tolist() == [30] * 8
    counts = [len(codes[:, q].unique()) for q in range(8)]
    assert min(counts) > 20, f"the codes must follow the wave: {counts}"
    total, _ = EnCodec(6.0, output="sum", model=tiny)(wave, lengths)
    torch.testing.assert_close(total, decoded, atol=1e-6, rtol=1e-6)
    each, _ = EnCodec(6.0, output="quantizers", model=tiny)(wave, lengths)
    torch.testing.assert_close(each.sum(1), total, atol=1e-6, rtol=1e-6)
    assert torch.equal(each[0, 3], network.quantizer.layers[3].codebook.embed[codes[0, 3]])


@pytest.mark.parametrize("output", ["codes", "sum", "quantizers"])
def test_padded_batch_equals_alone(tiny, batch, output):
    front_end = EnCodec(3.0, output=output, model=tiny)
    time = 2 if output == "codes" else -2
    assert front_end.frozen and front_end.frame_rate == 75
    expected = {"codes": ("codes", 4), "sum": ("frames", 16), "quantizers": ("layers", 16)}
    assert (front_end.layout, front_end.dim) == expected[output]
    features, features_len = front_end(*batch)
    assert features_len.tolist() == [math.ceil(math.ceil(1.5 * n) / 320) for n in LENGTHS]
    assert features.shape[time] == front_end.num_frames(max(LENGTHS)) == 30
    for row, length in enumerate(LENGTHS):
        alone, alone_len = front_end(batch[0][row : row + 1, :length], batch[1][row : row + 1])
        size = int(alone_len)
        assert alone.shape[time] == size == front_end.num_frames(length)
        torch.testing.assert_close(features[row].narrow(time % features.ndim - 1, 0, size), alone[0])
        assert not features[row].narrow(time % features.ndim - 1, size, 30 - size).any()


@pytest.mark.parametrize("bandwidth, quantizers", [(1.5, 2), (3, 4), (6, 8), (12, 16), (24, 32)])
def test_bandwidths(tiny, bandwidth, quantizers):
    front_end = EnCodec(bandwidth, model=tiny)
    assert front_end.dim == quantizers
    codes, _ = front_end(torch.randn(1, 800), torch.tensor([800]))
    assert codes.shape == (1, quantizers, 4)
    assert front_end.arguments() == {"bandwidth": float(bandwidth), "output": "codes"}


def test_codes_do_not_change_under_autocast(tiny, batch):
    front_end = EnCodec(6.0, model=tiny)
    expected, _ = front_end(*batch)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(front_end(*batch)[0], expected)


def test_unsuitable_checkpoints_are_refused(tiny, tmp_path):
    with pytest.raises(TypeError, match="bandwidth"):
        EnCodec(model=tiny)
    with pytest.raises(ValueError, match=r"bandwidth 2.0 kbit/s is none of 1\.5, 3\.0, 6\.0"):
        EnCodec(2.0, model=tiny)
    with pytest.raises(ValueError, match="output 'mean'"):
        EnCodec(6.0, output="mean", model=tiny)
    music = transformers.EncodecConfig(num_filters=4, hidden_size=16, codebook_dim=16, sampling_rate=48000)
    transformers.EncodecModel(music).save_pretrained(tmp_path / "music")
    with pytest.raises(InputError, match="music: not a model of whole mono waves at 24 kHz"):
        EnCodec(6.0, model=str(tmp_path / "music"))


def to_package(name):
    """transformers' name of a weight in the encodec package."""
    name = re.sub(r"parametrizations\.weight\.original0", "weight_g", name)
    name = re.sub(r"parametrizations\.weight\.original1", "weight_v", name)
    name = re.sub(r"^(encoder|decoder)\.layers\.", r"\1.model.", name)
    name = re.sub(r"\.conv\.(weight_g|weight_v|bias)$", r".conv.conv.\1", name)
    name = re.sub(r"^quantizer\.layers\.(\d+)\.codebook\.", r"quantizer.vq.layers.\1._codebook.", name)
    return name


@pytest.fixture(scope="module")
def full_size(tmp_path_factory):
    """transformers' folder and the encodec package's file of one random model of the official size."""
    encodec = pytest.importorskip("encodec", reason="encodec is not installed: tools/install_encodec.sh")
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("both")
    model = randomise(transformers.EncodecModel(transformers.EncodecConfig()))
    model.save_pretrained(folder / "transformers")
    package = encodec.EncodecModel.encodec_model_24khz(pretrained=False)
    shapes = {name: tensor.shape for name, tensor in package.state_dict().items()}
    weights = {to_package(name): tensor for name, tensor in model.state_dict().items()}
    weights = {re.sub(r"\.conv\.conv\.", ".convtr.convtr.", name) if name not in shapes else name: tensor
               for name, tensor in weights.items()}  # fmt: skip
    torch.save({name: tensor.reshape(shapes[name]) for name, tensor in weights.items()}, folder / "encodec.th")
    return str(folder / "transformers"), str(folder / "encodec.th")


@pytest.mark.slow
def test_encodec_package_gives_the_same_codes(full_size, batch):
    for bandwidth in (1.5, 6.0, 24.0):
        ours, _ = EnCodec(bandwidth, model=full_size[0])(*batch)
        theirs, _ = EnCodecPackage(bandwidth, full_size[1])(*batch)
        assert ours.shape == theirs.shape
        print(f"bandwidth {bandwidth}: {int((ours != theirs).sum())} of {ours.numel()} codes differ")
        assert torch.equal(ours, theirs)
    ours, _ = EnCodec(6.0, "sum", model=full_size[0])(*batch)
    theirs, _ = EnCodecPackage(6.0, full_size[1], "sum")(*batch)
    torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-6)


def test_encodec_package_of_another_model(full_size, tmp_path):
    torch.save({"x": torch.zeros(1)}, tmp_path / "x.th")
    with pytest.raises(InputError, match=r"x\.th: not the encodec package's model"):
        EnCodecPackage(6.0, str(tmp_path / "x.th"))


@pytest.mark.parametrize("frequency", [100, 1000, 5000, 7000])
def test_resample_keeps_tones(frequency):
    time = np.arange(16000) / 16000
    tone = np.sin(2 * np.pi * frequency * time).astype("float32")
    ours = Resample(16000, 24000)(torch.from_numpy(tone).unsqueeze(0))[0].numpy()
    theirs = soxr.resample(tone, 16000, 24000, quality="VHQ")
    assert ours.shape == theirs.shape == (24000,)
    assert np.abs(ours - theirs)[300:-300].max() < 0.005


@pytest.mark.parametrize("rates", [(16000, 24000), (16000, 8000)])
def test_resample_equals_torchaudio(rates):
    torchaudio = pytest.importorskip("torchaudio", reason="torchaudio is not installed: tools/install_torchaudio.sh")
    wave = torch.randn(2, 4001, generator=torch.Generator().manual_seed(0))
    expected = torchaudio.transforms.Resample(*rates, lowpass_filter_width=64)(wave)
    torch.testing.assert_close(Resample(*rates)(wave), expected, atol=2e-6, rtol=0)
