"""Speaker embeddings of the PyPI package resemblyzer (GE2E, Wan et al. 2018; Apache-2.0), without its dependencies."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from transformers.audio_utils import mel_filter_bank

RATE, N_FFT, HOP, BANDS = 16000, 400, 160, 40
PARTIAL = 160  # frames: the length the network was trained on
LEVEL = 10 ** (-30 / 20)  # root mean square


def find_weights() -> Path | None:
    """Return the weights file of the package; None if the package is not installed."""
    spec = importlib.util.find_spec("resemblyzer")
    return Path(spec.origin).with_name("pretrained.pt") if spec is not None and spec.origin else None


class SpeakerEncoder(nn.Module):
    """Network from a float32 wave (N,) at 16 kHz to a unit vector (256,), averaged over overlapping 1.6 s windows."""

    bank: torch.Tensor

    def __init__(self, weights: Path) -> None:
        super().__init__()
        self.lstm = nn.LSTM(BANDS, 256, 3, batch_first=True)
        self.linear = nn.Linear(256, 256)
        state = torch.load(weights, map_location="cpu", weights_only=True)["model_state"]
        self.load_state_dict({name: value for name, value in state.items() if name.startswith(("lstm", "linear"))})
        bank = mel_filter_bank(N_FFT // 2 + 1, BANDS, 0.0, RATE / 2, RATE, norm="slaney", mel_scale="slaney")
        self.register_buffer("bank", torch.from_numpy(bank.T.astype(np.float32)))  # (M, F)
        self.eval()

    @torch.inference_mode()
    def forward(self, wave: np.ndarray) -> np.ndarray:
        x = torch.from_numpy(np.asarray(wave, np.float32))
        x = x * (LEVEL / x.square().mean().sqrt())
        power = torch.stft(x, N_FFT, HOP, window=torch.hann_window(N_FFT), return_complex=True).abs().square()
        mel = (self.bank @ power).T  # (F, T) -> (T, M)
        mel = F.pad(mel, (0, 0, 0, max(PARTIAL - len(mel), 0)))
        partials = mel.unfold(0, PARTIAL, PARTIAL // 2).transpose(1, 2)  # (T, M) -> (P, 160, M)
        _, (hidden, _) = self.lstm(partials)
        embeddings = F.normalize(torch.relu(self.linear(hidden[-1])), dim=-1)  # (P, 256)
        return F.normalize(embeddings.mean(0), dim=0).numpy()
