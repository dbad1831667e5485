"""Guarantees of every front-end, see spooftrace.frontends.base.FrontEnd."""

import subprocess
import sys

import pytest
import torch
from torch import nn

from spooftrace.frontends import LFCC, FrontEnd, LogMel, Waveform
from spooftrace.frontends.base import length_mask

LENGTHS = [1, 159, 160, 161, 399, 1000, 7777, 8000]


class Projection(FrontEnd):
    """A front-end with a weight and dropout, for tests of freezing."""

    def __init__(self, finetune=False):
        super().__init__("frames", dim=3, frame_rate=16000, finetune=finetune)
        self.linear = nn.Linear(1, 3)
        self.dropout = nn.Dropout(0.5)
        self.freeze_unless_finetuned()

    def extract(self, wave, wave_len):
        return self.dropout(self.linear(wave.unsqueeze(2)))

    def num_frames(self, num_samples):
        return num_samples

    def arguments(self):
        return {}


@pytest.fixture
def batch():
    wave = torch.randn(len(LENGTHS), max(LENGTHS), generator=torch.Generator().manual_seed(3)) * 0.1
    return wave, torch.tensor(LENGTHS)


@pytest.fixture(params=["wave", "logmel", "logmel-cmn", "lfcc", "lfcc-cmn"])
def front_end(request):
    return {
        "wave": Waveform,
        "logmel": lambda: LogMel(n_mels=40),
        "logmel-cmn": lambda: LogMel(cmn=True),
        "lfcc": LFCC,
        "lfcc-cmn": lambda: LFCC(cmn=True),
    }[request.param]()


def test_a_padded_batch_gives_the_numbers_of_each_utterance_alone(front_end, batch):
    wave, wave_len = batch
    features, features_len = front_end(wave.clone(), wave_len)
    assert features.shape[1] == front_end.num_frames(wave.shape[1])
    for row, length in enumerate(LENGTHS):
        alone, alone_len = front_end(wave[row : row + 1, :length], wave_len[row : row + 1])
        frames = front_end.num_frames(length)
        assert frames == int(features_len[row]) == int(alone_len[0]) == alone.shape[1]
        torch.testing.assert_close(features[row, :frames], alone[0], atol=1e-5, rtol=1e-5)
        assert not features[row, frames:].any()


def test_samples_after_the_end_do_not_matter_even_if_they_are_not_numbers(front_end, batch):
    wave, wave_len = batch
    dirty = wave.masked_fill(~length_mask(wave_len, wave.shape[1]), float("nan"))
    torch.testing.assert_close(front_end(dirty, wave_len)[0], front_end(wave, wave_len)[0], atol=0, rtol=0)


def test_declared_layout_and_dim_fit_the_output(front_end, batch):
    features, _ = front_end(*batch)
    if front_end.layout == "wave":
        assert features.ndim == 2 and front_end.frame_rate == 16000
    else:
        assert front_end.layout == "frames"
        assert features.shape[2] == front_end.dim
        assert front_end.frame_rate == 100


def test_the_fingerprint_tells_arguments_apart_and_repeats(front_end):
    fingerprint = front_end.fingerprint()
    assert fingerprint == front_end.fingerprint()
    assert fingerprint["class"] == type(front_end).__name__
    assert LFCC(cmn=False).fingerprint() != LFCC(cmn=True).fingerprint()
    assert LogMel(40).fingerprint() != LogMel(80).fingerprint()


def test_a_frozen_front_end_stays_in_eval_mode_without_gradients():
    front_end = Projection().train()
    wave, wave_len = torch.ones(2, 50), torch.tensor([50, 50])
    assert not front_end.training and not front_end.dropout.training
    features, _ = front_end(wave, wave_len)
    assert not features.requires_grad and not any(p.requires_grad for p in front_end.parameters())
    torch.testing.assert_close(features, front_end(wave, wave_len)[0])  # Dropout would differ from call to call.


def test_a_fine_tuned_front_end_trains_and_follows_train_and_eval():
    front_end = Projection(finetune=True)
    assert front_end.training and front_end.dropout.training
    features, _ = front_end(torch.ones(1, 5), torch.tensor([5]))
    features.sum().backward()
    assert front_end.linear.weight.grad is not None
    assert not front_end.eval().dropout.training
    with torch.no_grad():
        assert not front_end(torch.ones(1, 5), torch.tensor([5]))[0].requires_grad


def test_the_fingerprint_follows_the_weights():
    torch.manual_seed(0)
    front_end = Projection(finetune=True)
    before = front_end.fingerprint()
    with torch.no_grad():
        front_end.linear.weight[0, 0] += 1e-6
    assert front_end.fingerprint()["weights_sha256"] != before["weights_sha256"]
    assert front_end.bfloat16().fingerprint()["weights_sha256"] != before["weights_sha256"]


def test_without_weights_gradients_reach_the_wave(front_end):
    # About 0 there would be nothing for a gradient of a power to see.
    wave = (0.1 * torch.sin(torch.arange(2000.0)))[None].requires_grad_()
    features, _ = front_end(wave, torch.tensor([1500]))
    features.square().sum().backward()
    assert torch.isfinite(wave.grad).all() and wave.grad[0, :1500].abs().sum() > 0
    assert not wave.grad[0, 1500:].any()


@pytest.mark.parametrize(("wave", "wave_len"), [((5,), (1,)), ((2, 5), (3,)), ((2, 5), (2, 1))])
def test_shapes_that_do_not_fit_are_refused(wave, wave_len):
    with pytest.raises(ValueError, match=r"expected wave \(B, N\)"):
        Waveform()(torch.zeros(wave), torch.ones(wave_len, dtype=torch.long))


def test_an_unknown_layout_is_refused():
    with pytest.raises(ValueError, match="'frame' is none of frames"):
        FrontEnd.__init__(Waveform(), "frame", dim=1, frame_rate=1)


def test_importing_the_front_ends_does_not_import_transformers():
    code = "import sys, spooftrace.frontends; sys.exit('transformers' in sys.modules or 'scipy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
