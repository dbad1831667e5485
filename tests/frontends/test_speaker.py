"""Speaker embeddings against speechbrain's own pipeline, with random weights of the official sizes."""

from importlib.util import find_spec

import pytest
import torch

from spooftrace.common.errors import InputError
from spooftrace.frontends import ECAPA, XVector

# Not imported before it is used: see spooftrace.pretrained.packages.
pytestmark = pytest.mark.skipif(
    find_spec("speechbrain") is None, reason="speechbrain is not installed: tools/install_speechbrain.sh"
)
LENGTHS = [16000, 15999, 1, 900, 8000, 16000]


def make(front_end, folder):
    """A front-end with random weights and batch statistics, and speechbrain's network with the same."""
    from speechbrain.lobes.models.ECAPA_TDNN import ECAPA_TDNN
    from speechbrain.lobes.models.Xvector import Xvector

    torch.manual_seed(0)
    if front_end is XVector:
        network = Xvector(
            in_channels=24, activation=torch.nn.LeakyReLU, tdnn_blocks=5, tdnn_channels=[512, 512, 512, 512, 1500],
            tdnn_kernel_sizes=[5, 3, 3, 1, 1], tdnn_dilations=[1, 2, 3, 1, 1], lin_neurons=512,
        )  # fmt: skip
    else:
        network = ECAPA_TDNN(
            input_size=80, channels=[1024, 1024, 1024, 1024, 3072], kernel_sizes=[5, 3, 3, 3, 1],
            dilations=[1, 2, 3, 4, 1], groups=[1, 1, 1, 1, 1], attention_channels=128, lin_neurons=192,
        )  # fmt: skip
    for name, buffer in network.named_buffers():
        if name.endswith(("running_mean", "running_var")):
            buffer.copy_(0.2 * torch.rand(buffer.shape) + 0.1)  # Small variances let random weights tell waves apart.
    torch.save(network.state_dict(), folder / "embedding_model.ckpt")
    return front_end(str(folder)), network.eval()


@pytest.fixture(scope="module", params=[XVector, ECAPA])
def pair(request, tmp_path_factory):
    return make(request.param, tmp_path_factory.mktemp("a model"))


@pytest.fixture
def batch():
    """Tones of different pitch in noise."""
    time = torch.arange(max(LENGTHS)) / 16000
    tones = torch.sin(2 * torch.pi * 300 * torch.arange(1.0, 1 + len(LENGTHS)).unsqueeze(1) * time)
    return tones + 0.1 * torch.randn(tones.shape, generator=torch.Generator().manual_seed(1)), torch.tensor(LENGTHS)


def test_equals_speechbrain(pair, batch):
    from speechbrain.lobes.features import Fbank
    from speechbrain.processing.features import InputNormalization

    front_end, network = pair
    n_mels = {XVector: 24, ECAPA: 80}[type(front_end)]
    assert (front_end.layout, front_end.dim) == ("vector", {XVector: 512, ECAPA: 192}[type(front_end)])
    wave, whole = batch[0], torch.ones(len(LENGTHS))
    with torch.no_grad():
        features = Fbank(n_mels=n_mels)(wave)
        features = InputNormalization(norm_type="sentence", std_norm=False)(features, whole)
        expected = network(features, whole).squeeze(1)
    output, output_len = front_end(wave, torch.full_like(batch[1], wave.shape[1]))
    assert output.shape == (len(LENGTHS), front_end.dim) and output_len.tolist() == [1] * len(LENGTHS)
    noise = 2e-4 if isinstance(front_end, XVector) else 1e-5  # speechbrain's, see XVector
    torch.testing.assert_close(output, expected, atol=noise, rtol=1e-4)
    assert output.std(0).max() > 20 * noise, "the embeddings must follow the wave"


def test_padded_batch_equals_alone_and_again(pair, batch):
    front_end, _ = pair
    wave, lengths = batch
    wave[:, 8000:][lengths.unsqueeze(1) <= torch.arange(8000, 16000)] = 9.0  # Samples behind the end must not count.
    output, _ = front_end(wave, lengths)
    assert output.isfinite().all() and front_end.frozen
    assert torch.equal(output, front_end(wave, lengths)[0])
    for row, length in enumerate(LENGTHS):
        alone, _ = front_end(wave[row : row + 1, :length], lengths[row : row + 1])
        torch.testing.assert_close(output[row], alone[0], atol=1e-5, rtol=1e-5)


def test_parameters(pair):
    front_end, _ = pair
    count = sum(parameter.numel() for parameter in front_end.network.parameters())
    assert round(count / 1e6, 1) == {XVector: 4.2, ECAPA: 20.8}[type(front_end)]


def test_wrong_folders(pair, tmp_path):
    front_end, _ = pair
    with pytest.raises(InputError, match=r"embedding_model\.ckpt: no such file"):
        type(front_end)(str(tmp_path))
    torch.save({"fc.weight": torch.zeros(2, 2)}, tmp_path / "embedding_model.ckpt")
    with pytest.raises(InputError, match=f"not the weights of {type(front_end).__name__}"):
        type(front_end)(str(tmp_path))
