"""The small codec: quantizer, round trips, training that can be stopped, and the committed weights."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from spooftrace.audio import read_audio
from spooftrace.cli.main import main
from spooftrace.codecs.codec import NeuralCodec
from spooftrace.codecs.losses import MultiResolutionSpectralLoss
from spooftrace.codecs.quantizers import ResidualVectorQuantizer
from spooftrace.codecs.settings import CodecTraining
from spooftrace.codecs.training import train_codec
from spooftrace.codecs.weights import load_codec, save_codec
from spooftrace.common.errors import InputError
from spooftrace.corpora import mini
from spooftrace.datadir import DataDir

CORPUS = Path(__file__).resolve().parents[2] / "egs/mini/corpus"
TINY = {"dim": 8, "channels": 16, "encoder_blocks": 1, "decoder_blocks": 1, "codebook_size": 16, "num_quantizers": 4}
SETTINGS = CodecTraining(max_steps=6, batch_size=3, crop_seconds=0.2, quantizers=[1, 2, 4], checkpoint_steps=2)


@pytest.fixture(scope="module")
def speech(tmp_path_factory):
    """Real recordings: the eval half of the mini corpus, unpacked."""
    folder = tmp_path_factory.mktemp("speech")
    rows = mini.read_rows(CORPUS / mini.TABLE)
    mini.unpack(CORPUS / mini.ARCHIVE, folder, [row["utt"] for row in rows])
    return [folder / f"bonafide/{row['utt']}.flac" for row in rows if row["split"] == "eval"]


@pytest.fixture
def data(speech, tmp_path):
    tables = {"wav.scp": {p.stem: str(p) for p in speech[:4]}, "utt2spk": {p.stem: p.stem for p in speech[:4]}}
    DataDir.write(tmp_path / "data", tables)
    return tmp_path / "data"


# ---- quantizer ----


def test_each_quantizer_lowers_the_error():
    torch.manual_seed(0)
    x = torch.randn(4, 50, 8)
    quantizer = ResidualVectorQuantizer(8, codebook_size=16, num_quantizers=4)
    quantizer(x)  # the first training pass sets the codebooks by k-means
    quantizer.eval()
    errors = []
    for count in (1, 2, 3, 4):
        quantized = quantizer(x, torch.full((4,), count))
        assert quantized.codes.shape == (4, count, 50)
        assert quantized.codes.min() >= 0
        assert quantized.codes.max() < 16
        errors.append((quantized.values - x).square().mean().item())
        assert torch.allclose(quantizer.decode(quantized.codes), quantized.values, atol=1e-5)
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.5 * errors[0]


def test_quantizer_dropout_is_by_item():
    torch.manual_seed(0)
    x = torch.randn(2, 20, 8)
    quantizer = ResidualVectorQuantizer(8, codebook_size=16, num_quantizers=4)
    quantizer(x)
    quantizer.eval()
    mixed = quantizer(x, torch.tensor([1, 4])).values
    assert torch.allclose(mixed[0], quantizer(x, torch.tensor([1, 1])).values[0])
    assert torch.allclose(mixed[1], quantizer(x, torch.tensor([4, 4])).values[1])


def test_gradient_goes_straight_through():
    torch.manual_seed(0)
    x = torch.randn(1, 30, 8, requires_grad=True)
    quantizer = ResidualVectorQuantizer(8, codebook_size=16, num_quantizers=2)
    quantizer(x.detach())
    quantizer.eval()
    (3 * quantizer(x).values).sum().backward()
    assert torch.allclose(x.grad, torch.full_like(x, 3.0))


def test_dead_entries_come_back():
    torch.manual_seed(0)
    quantizer = ResidualVectorQuantizer(2, codebook_size=8, num_quantizers=1)
    quantizer(torch.randn(1, 64, 2))
    quantizer.codebooks[0, 3] = 1000.0
    quantizer.sums[0, 3] = 1000.0
    for _ in range(300):
        quantizer(torch.randn(1, 64, 2))
    assert quantizer.codebooks.abs().max() < 10


# ---- codec ----


@pytest.mark.parametrize("samples", [1, 100, 319, 320, 321, 16000, 20001])
def test_any_length_round_trips(samples):
    torch.manual_seed(0)
    codec = NeuralCodec(**TINY).eval()
    wave = 0.1 * torch.randn(2, samples)
    codes = codec.encode(wave, 3)
    assert codes.shape[:2] == (2, 3)
    copy = codec.copy(wave, 3)
    assert copy.shape == wave.shape
    assert copy.isfinite().all()


def test_bad_requests():
    codec = NeuralCodec(**TINY).eval()
    with pytest.raises(ValueError, match="num_quantizers"):
        codec.encode(torch.zeros(1, 1000), 5)
    with pytest.raises(ValueError, match="codes must lie"):
        codec.decode(torch.full((1, 2, 5), 16))


def test_committed_codec_gets_better_with_every_quantizer(speech):
    codec = load_codec(CORPUS / "codec_rvq8.safetensors")
    assert (CORPUS / "codec_rvq8.safetensors").stat().st_size < 2_000_000
    assert codec.kbps(8) == 3.2
    distance = MultiResolutionSpectralLoss(16000)
    found = {count: [] for count in (1, 2, 4, 8)}
    for path in speech[::12]:
        wave = torch.from_numpy(read_audio(path))[None]
        wave = wave * (codec.level / wave.square().mean().sqrt())
        for count, values in found.items():
            values.append(distance(codec.copy(wave, count), wave).mel.item())
    means = [float(np.mean(values)) for values in found.values()]
    assert means == sorted(means, reverse=True)
    assert means[-1] < 0.75 * means[0]


def test_weights_round_trip(tmp_path):
    torch.manual_seed(0)
    codec = NeuralCodec(**TINY).eval()
    save_codec(codec, tmp_path / "codec.safetensors", half=False)
    wave = 0.1 * torch.randn(1, 4000)
    assert torch.equal(load_codec(tmp_path / "codec.safetensors").copy(wave), codec.copy(wave))


def test_bad_weight_files_are_named(tmp_path):
    with pytest.raises(InputError, match=r"absent.safetensors: no such codec"):
        load_codec(tmp_path / "absent.safetensors")
    (tmp_path / "broken.safetensors").write_bytes((CORPUS / "codec_rvq8.safetensors").read_bytes()[:1000])
    with pytest.raises(InputError, match=r"broken.safetensors: not a codec file"):
        load_codec(tmp_path / "broken.safetensors")


# ---- training ----


def test_a_stopped_training_ends_with_the_same_weights(data, tmp_path, monkeypatch):
    whole = train_codec(data, tmp_path / "whole", TINY, SETTINGS).state_dict()

    steps = []
    forward = NeuralCodec.forward

    def stop_at_the_fourth(self, *args, **kwargs):
        steps.append(1)
        if len(steps) == 4:
            raise KeyboardInterrupt
        return forward(self, *args, **kwargs)

    monkeypatch.setattr(NeuralCodec, "forward", stop_at_the_fourth)
    with pytest.raises(KeyboardInterrupt):
        train_codec(data, tmp_path / "stopped", TINY, SETTINGS)
    monkeypatch.setattr(NeuralCodec, "forward", forward)
    assert not (tmp_path / "stopped/codec.safetensors").exists()
    resumed = train_codec(data, tmp_path / "stopped", TINY, SETTINGS).state_dict()
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_training_refuses_another_setting(data, tmp_path):
    train_codec(data, tmp_path / "out", TINY, replace(SETTINGS, max_steps=1))
    with pytest.raises(
        InputError, match=r"other settings: training.max_steps 1 \(now 2\) \(the learning rate of every"
    ):
        train_codec(data, tmp_path / "out", TINY, replace(SETTINGS, max_steps=2))
    with pytest.raises(InputError, match=r"other settings: training.lr 0.001 \(now 0.5\);"):
        train_codec(data, tmp_path / "out", TINY, replace(SETTINGS, max_steps=1, lr=0.5))
    train_codec(data, tmp_path / "out", TINY, replace(SETTINGS, max_steps=1, checkpoint_steps=1))


@pytest.mark.parametrize("damage", ["nothing", "cut", "flipped", "list", "other weights"])
def test_damaged_checkpoint_is_named(data, tmp_path, damage):
    settings, path = replace(SETTINGS, max_steps=1), tmp_path / "out/checkpoint.pt"
    train_codec(data, tmp_path / "out", TINY, settings)
    content = path.read_bytes()
    if damage == "nothing":
        path.write_bytes(b"nothing")
    elif damage == "cut":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "flipped":
        middle = len(content) // 2
        path.write_bytes(
            content[:middle] + bytes(byte ^ 0xFF for byte in content[middle : middle + 4]) + content[middle + 4 :]
        )
    elif damage == "list":
        torch.save([1], path)
    else:
        state = torch.load(path, weights_only=True)
        state["codec"] = {"weight": torch.zeros(2)}
        torch.save(state, path)
    with pytest.raises(InputError, match=r"checkpoint.pt: .*remove it to start this training anew$"):
        train_codec(data, tmp_path / "out", TINY, settings)


def test_moved_and_stopped_training_ends_with_the_same_weights(data, tmp_path, monkeypatch):
    """The codec that it starts from is moved, too, and is gone in the end."""
    train_codec(data, tmp_path / "first", TINY, replace(SETTINGS, max_steps=1))
    (tmp_path / "first/codec.safetensors").rename(tmp_path / "start")
    settings = replace(SETTINGS, initial=str(tmp_path / "start"))
    whole = train_codec(data, tmp_path / "whole", TINY, settings).state_dict()
    forward, steps = NeuralCodec.forward, []

    def stop(self, *args, **kwargs):
        steps.append(1)
        if len(steps) == 4:
            raise KeyboardInterrupt
        return forward(self, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(NeuralCodec, "forward", stop)
        with pytest.raises(KeyboardInterrupt):
            train_codec(data, tmp_path / "stopped", TINY, settings)
    (tmp_path / "stopped").rename(tmp_path / "moved")
    (tmp_path / "start").rename(tmp_path / "elsewhere")
    with pytest.raises(InputError, match=r"training.initial .*start \(now .*whole/codec.safetensors\)"):
        other = str(tmp_path / "whole/codec.safetensors")
        train_codec(data, tmp_path / "moved", TINY, replace(settings, initial=other))
    resumed = train_codec(data, tmp_path / "moved", TINY, replace(settings, initial=str(tmp_path / "elsewhere")))
    assert all(torch.equal(whole[name], value) for name, value in resumed.state_dict().items())


def test_train_command(data, tmp_path, capsys):
    config = tmp_path / "codec.yaml"
    config.write_text(
        "codec: {dim: 8, channels: 16, encoder_blocks: 1, decoder_blocks: 1, codebook_size: 16, num_quantizers: 4}\n"
        "training: {max_steps: 1, batch_size: 2, crop_seconds: 0.2, quantizers: [4]}\n",
        encoding="utf-8",
    )
    command = ["codec", "train", str(config), "--data", str(data), "--out", str(tmp_path / "out")]
    assert main(command) == 0
    assert load_codec(tmp_path / "out/codec.safetensors").config["codebook_size"] == 16
    config.write_text("codec: {dims: 8}\n", encoding="utf-8")
    assert main(command) == 1
    error = capsys.readouterr().err
    assert "dims" in error
    assert error.count("\n") == 1
