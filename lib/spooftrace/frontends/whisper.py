"""Whisper encoder features (Radford et al. 2023, "Robust speech recognition via large-scale weak supervision")."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from spooftrace.common.sample_rate import SAMPLE_RATE
from spooftrace.frontends.base import FrontEnd, Length, length_mask
from spooftrace.pretrained.finding import from_pretrained

HOP = 160  # samples between two log-mel frames
N_FFT = 400
FRAME = 2 * HOP  # samples between two encoder frames: the second convolution has stride 2
WINDOW = 30 * SAMPLE_RATE  # what the position table covers: 1500 encoder frames


class Whisper(FrontEnd):
    """Encoder of an OpenAI Whisper model: wave (B, N) -> frames (B, T, D), T = ceil(N / 320), 50 frames per second.

    Args:
        model: Folder or Hugging Face name, see ``spooftrace.pretrained.finding``.
        layer: Number of the output: 0 is the input of the first layer (convolutions plus positions), k the output of
            layer k before any LayerNorm, -1 the official output, the last layer after the final LayerNorm. The layers
            run one by one, independently of transformers' ``hidden_states``, which differ between its versions.
        padding: ``30s`` pads every utterance with silence to 30 s, as in Whisper's training, computes all 1500 frames
            and keeps those of the utterance, which gives the official features. ``none`` computes the frames of the
            utterance only. It is many times faster for short utterances, but gives other features, because there is no
            silence to attend to. Use the same padding in training and scoring.
        finetune: Train the encoder, except for its sinusoidal positions.

    Utterances longer than 30 s are cut into consecutive, independent windows of 30 s. The log-mel spectrogram is
    computed in float32, also under autocast.

    Raises:
        InputError: The model is not available.
        ValueError: An unknown layer or padding.
    """

    encoder: Any  # a module of transformers
    window: Tensor
    mel: Tensor

    def __init__(
        self,
        model: str = "openai/whisper-base",
        layer: int = -1,
        padding: Literal["30s", "none"] = "30s",
        finetune: bool = False,
    ):
        from transformers import WhisperModel  # takes seconds to import

        encoder: Any = from_pretrained(WhisperModel, model, attn_implementation="sdpa").encoder
        if padding not in ("30s", "none"):
            raise ValueError(f"padding {padding!r} is neither '30s' nor 'none'")
        if not -1 <= layer <= len(encoder.layers):
            raise ValueError(f"{model} has no layer {layer}: -1 or 0..{len(encoder.layers)}")
        super().__init__("frames", dim=encoder.config.d_model, frame_rate=SAMPLE_RATE / FRAME, finetune=finetune)
        self.layer = layer
        self.padding = padding
        if layer >= 0:  # unused weights cost memory, and DDP would wait for their gradients
            encoder.layers = encoder.layers[:layer]
            encoder.layer_norm = torch.nn.Identity()
        self.encoder = encoder
        self.register_buffer("window", torch.hann_window(N_FFT), persistent=False)
        self.register_buffer("mel", mel_filters(encoder.config.num_mel_bins), persistent=False)  # (201, M)
        self.freeze_unless_finetuned()

    def num_frames(self, num_samples: Length) -> Length:
        return encoder_frames(num_samples)

    def arguments(self) -> dict[str, str | int | float | bool]:
        return {"layer": self.layer, "padding": self.padding}

    def extract(self, wave: Tensor, wave_len: Tensor) -> Tensor:
        batch, num_samples = wave.shape
        count = -(-num_samples // WINDOW)
        size = WINDOW if self.padding == "30s" or count > 1 else encoder_frames(num_samples) * FRAME
        windows = F.pad(wave, (0, count * size - num_samples)).reshape(batch * count, size)  # (B, N) -> (B*W, S)
        starts = torch.arange(count, device=wave.device) * size
        window_len = (wave_len.unsqueeze(1) - starts).clamp(0, size).flatten()  # (B, W) -> (B*W,)

        speech = window_len > 0  # short utterances have no speech in later windows
        features = self._encode(windows[speech], window_len[speech])
        output = features.new_zeros(batch * count, *features.shape[1:])  # (B*W, S/320, D)
        output[speech] = features
        output = output.unflatten(0, (batch, count)).flatten(1, 2)  # (B*W, S/320, D) -> (B, W*S/320, D)
        output = output[:, : encoder_frames(num_samples)]
        return output * length_mask(encoder_frames(wave_len), output.shape[1]).unsqueeze(2)

    def _encode(self, wave: Tensor, wave_len: Tensor) -> Tensor:
        """Encode waves (B, S) of up to 30 s as (B, S / 320, D)."""
        frames = wave.shape[1] // FRAME
        frames_len = None if self.padding == "30s" else encoder_frames(wave_len)
        valid = mask = None
        if frames_len is not None:
            valid = length_mask(2 * frames_len, 2 * frames).unsqueeze(1)  # (B, 1, 2 T), of log-mel frames
            if int(frames_len.min()) < frames:
                # A mask of keys, for all heads and queries.
                mask = length_mask(frames_len, frames)[:, None, None]  # (B, T) -> (B, 1, 1, T)
        with torch.autocast(wave.device.type, enabled=False):
            x = log_mel(wave, self.window, self.mel, valid)  # (B, S) -> (B, M, 2 T)
        x = F.gelu(self.encoder.conv1(x))  # (B, M, 2 T) -> (B, D, 2 T)
        if valid is not None:
            x = x * valid  # zeros for the next convolution, as after the end of an unpadded utterance
        x = F.gelu(self.encoder.conv2(x)).transpose(1, 2)  # (B, D, 2 T) -> (B, T, D)
        x = x + self.encoder.embed_positions.weight[:frames]
        for layer in self.encoder.layers:
            x = layer(x, mask)
        return self.encoder.layer_norm(x)


def encoder_frames(num_samples: Length) -> Length:
    """Return the number of encoder frames of an utterance, rounded up."""
    return (num_samples + FRAME - 1) // FRAME


def mel_filters(num_mels: int) -> Tensor:
    """Build Whisper's triangular filters: Slaney's mel scale and area normalisation, 0..8 kHz -> (201, num_mels)."""
    from transformers.audio_utils import mel_filter_bank

    filters = mel_filter_bank(
        num_frequency_bins=N_FFT // 2 + 1,
        num_mel_filters=num_mels,
        min_frequency=0.0,
        max_frequency=SAMPLE_RATE / 2,
        sampling_rate=SAMPLE_RATE,
        norm="slaney",
        mel_scale="slaney",
    )
    return torch.from_numpy(filters).float()


def log_mel(wave: Tensor, window: Tensor, filters: Tensor, valid: Tensor | None) -> Tensor:
    """Compute Whisper's log-mel spectrogram (OpenAI's whisper/audio.py, transformers' WhisperFeatureExtractor).

    Args:
        wave: (B, S) float32, S a multiple of 160.
        window: (400,) Hann.
        filters: (201, M).
        valid: (B, 1, S / 160), True for frames of the utterance; the others are ignored and become 0. None: all frames.

    Returns:
        (B, M, S / 160): log10 of the power, limited to 8 below the utterance's maximum, shifted and scaled.
    """
    frames = wave.shape[1] // HOP
    if valid is not None:
        wave = F.pad(wave, (0, N_FFT))  # no reflection at the end of the batch, which may be padding
    spectrum = torch.stft(wave, N_FFT, HOP, window=window, return_complex=True)[..., :frames]  # (B, 201, S / 160)
    power = spectrum.real.square() + spectrum.imag.square()
    log = (filters.T @ power).clamp(min=1e-10).log10()  # (B, 201, F) -> (B, M, F)
    if valid is None:
        loudest = log.amax(dim=(1, 2), keepdim=True)
    else:
        loudest = log.masked_fill(~valid, -torch.inf).amax(dim=(1, 2), keepdim=True)
    log = (torch.maximum(log, loudest - 8.0) + 4.0) / 4.0
    return log if valid is None else log * valid
