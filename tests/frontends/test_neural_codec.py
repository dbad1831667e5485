"""Codes of our own codecs as a stream, on a codec with random weights."""

import pytest
import torch

from spooftrace.backends import QAFStatic
from spooftrace.codecs.codec import NeuralCodec
from spooftrace.codecs.weights import load_codec, save_codec
from spooftrace.common.errors import InputError
from spooftrace.frontends import SmallCodec

LENGTHS = [6400, 6399, 1, 320, 321, 640, 641, 5000]


@pytest.fixture(scope="module", params=[16000, 8000])
def file(request, tmp_path_factory):
    """A codec of three quantizers with codebooks at the scale of their inputs."""
    torch.manual_seed(0)
    codec = NeuralCodec(
        sample_rate=request.param, channels=16, dim=8, num_quantizers=3, codebook_size=16, encoder_blocks=1,
        decoder_blocks=1,
    )  # fmt: skip
    torch.nn.init.normal_(codec.encoder[-1].weight)
    torch.nn.init.normal_(codec.quantizer.codebooks)
    path = tmp_path_factory.mktemp("my codec") / "codec.safetensors"
    save_codec(codec, path)
    return str(path)


@pytest.fixture
def batch():
    wave = torch.randn(len(LENGTHS), max(LENGTHS), generator=torch.Generator().manual_seed(1)) * 0.1
    return wave, torch.tensor(LENGTHS)


def test_the_codes_are_those_of_the_copies(file, batch):
    """At any level: the codec works at its own level."""
    wave, codec, front_end = batch[0][:1], load_codec(file), SmallCodec(file)
    heard = wave if front_end.resample is None else front_end.resample(wave)
    codes, lengths = front_end(0.01 * wave, batch[1][:1])
    assert codes.shape == (1, 3, 21) and lengths.tolist() == [21]
    assert all(len(row.unique()) > 3 for row in codes[0]), "the codes must follow the wave"
    assert torch.equal(codec.decode(codes, heard.shape[1]), codec.copy(heard))
    first, _ = SmallCodec(file, num_quantizers=2)(wave, batch[1][:1])
    assert torch.equal(first, codes[:, :2])


def test_padded_batch_equals_alone(file, batch):
    front_end = SmallCodec(file)
    assert front_end.frozen and (front_end.layout, front_end.dim, front_end.frame_rate) == ("codes", 3, 50)
    codes, codes_len = front_end(*batch)
    assert codes.shape[2] == front_end.num_frames(max(LENGTHS))
    for row, length in enumerate(LENGTHS):
        alone, alone_len = front_end(batch[0][row : row + 1, :length], batch[1][row : row + 1])
        frames = front_end.num_frames(length)
        assert alone.shape[2] == int(alone_len) == int(codes_len[row]) == frames
        assert torch.equal(codes[row, :, :frames], alone[0])
        assert not codes[row, :, frames:].any()


def test_qaf_starts_from_its_codebooks(file):
    arguments = {"input_dim": 6, "num_layers": 2, "codebook_size": 16, "codec_dim": 8, "codebooks": file}
    model = QAFStatic(num_quantizers=2, **arguments)
    assert torch.equal(model.tables, load_codec(file).quantizer.codebooks[:2])
    with pytest.raises(ValueError, match="has 3 codebooks of a residual quantizer; 4 are needed"):
        QAFStatic(num_quantizers=4, **arguments)


def test_unsuitable_checkpoints_are_refused(file, tmp_path):
    with pytest.raises(ValueError, match=r"num_quantizers is 4; must be 1\.\.3"):
        SmallCodec(file, num_quantizers=4)
    with pytest.raises(InputError, match="no such codec file"):
        SmallCodec(str(tmp_path / "missing.safetensors"))
