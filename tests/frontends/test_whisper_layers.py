"""Several layers of Whisper: each equals the output of ``Whisper`` for that layer."""

import pytest
import torch
from transformers import WhisperConfig, WhisperModel

from spooftrace.frontends import Whisper, WhisperLayers, WhisperPooled
from spooftrace.system.packing import pack

LENGTHS = [16000, 15999, 1, 7040]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    torch.manual_seed(0)
    config = WhisperConfig(
        vocab_size=8, d_model=32, encoder_layers=3, encoder_attention_heads=4, encoder_ffn_dim=64, decoder_layers=1,
        decoder_attention_heads=4, decoder_ffn_dim=32, pad_token_id=0, bos_token_id=1, eos_token_id=2,
        decoder_start_token_id=1, max_target_positions=4,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("a folder") / "whisper-of-three-layers"
    WhisperModel(config).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def batch():
    wave = torch.randn(len(LENGTHS), max(LENGTHS), generator=torch.Generator().manual_seed(1)) * 0.1
    return wave, torch.tensor(LENGTHS)


@pytest.mark.parametrize("padding", ["none", "30s"])
def test_equals_the_single_layers(folder, batch, padding):
    front_end = WhisperLayers([2, 1], folder, padding)
    assert (front_end.layout, front_end.dim, front_end.frozen) == ("layers", 32, True)
    assert len(front_end.encoder.layers) == 2, "nothing unused is kept"
    layers, lengths = front_end(*batch)
    assert layers.shape == (4, 2, 50, 32) and layers.is_contiguous()
    for place, number in enumerate([2, 1]):
        expected, expected_len = Whisper(folder, number, padding)(*batch)
        assert torch.equal(layers[:, place], expected) and torch.equal(lengths, expected_len)


@pytest.mark.parametrize("padding", ["none", "30s"])
def test_pooled_is_the_mean_of_the_utterances_own_frames(folder, batch, padding):
    front_end = WhisperPooled(folder, padding=padding)
    vectors, lengths = front_end(*batch)
    assert (front_end.layout, vectors.shape, lengths.tolist()) == ("vector", (4, 32), [1, 1, 1, 1])
    frames, frame_lengths = Whisper(folder, padding=padding)(*batch)
    for vector, own, length in zip(vectors, frames, frame_lengths, strict=True):
        torch.testing.assert_close(vector, own[:length].mean(0))


def test_more_than_30_seconds(folder):
    wave, length = 0.1 * torch.randn(1, 481000), torch.tensor([481000])
    layers, _ = WhisperLayers([1, 3], folder, "none")(wave, length)
    assert layers.shape == (1, 2, 1504, 32)
    assert torch.equal(layers[:, 1], Whisper(folder, 3, "none")(wave, length)[0])


def test_packed_for_extraction(folder, batch):
    front_end = WhisperLayers([1, 3], folder, "none")
    expected, _ = front_end(*batch)
    pack(front_end, "fp32")
    with torch.inference_mode():
        torch.testing.assert_close(front_end(*batch)[0], expected, atol=1e-5, rtol=1e-5)


def test_other_layers_are_another_stream(folder):
    one, other = WhisperLayers([1, 2], folder), WhisperLayers([2, 1], folder)
    assert one.arguments() == {"layers": "1 2", "padding": "30s"}
    assert one.fingerprint() != other.fingerprint()


@pytest.mark.parametrize(("layers", "message"), [([], "must be one or more"), ([0, 1], "from 1"), ([4], "no layer 4")])
def test_missing_layers_are_refused(folder, layers, message):
    with pytest.raises(ValueError, match=message):
        WhisperLayers(layers, folder)
