"""Whisper encoder features (Radford et al. 2023, "Robust speech recognition via large-scale weak supervision")."""

from __future__ import annotations

from typing import Literal

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
    """Encoder of an OpenAI Whisper model: wave (B, N) -> frames (B, T, D), T = ceil(N / 320), 50 frames a second.

    Args:
        model: Folder or Hugging Face name (``spooftrace.pretrained.finding`` says where it is looked for).
        layer: Which output: 0 is the input of the first layer (convolutions plus positions), k the output of layer k as
            it enters layer k + 1 (no LayerNorm), -1 the official output: last layer, then the final LayerNorm. The
            layers are run one by one here, so this does not move with transformers' ``hidden_states``.
        padding: ``30s`` is what Whisper was trained on: every utterance is filled up with silence to 30 s, the encoder
            computes all 1500 frames, and the utterance's own are kept: the official numbers. ``none`` computes the real
            frames only, many times faster for short utterances; its numbers are other ones, since there is no silence
            to attend to. A model trained with one needs the same later.
        finetune: Train the encoder (its sinusoidal positions stay as they are).

    Utterances longer than 30 s are cut into consecutive windows of 30 s that do not see each other. The log-mel
    spectrogram is computed in float32 also under autocast.

    Raises:
        InputError: The model cannot be had.
        ValueError: No such layer or padding.
    """

    def __init__(
        self,
        model: str = "openai/whisper-base",
        layer: int = -1,
        padding: Literal["30s", "none"] = "30s",
        finetune: bool = False,
    ):
        from transformers import WhisperModel  # Takes seconds: not for those who only import this module.

        encoder = from_pretrained(WhisperModel, model, attn_implementation="sdpa").encoder
        if padding not in ("30s", "none"):
            raise ValueError(f"padding {padding!r} is neither '30s' nor 'none'")
        if not -1 <= layer <= len(encoder.layers):
            raise ValueError(f"{model} has no layer {layer}: -1 or 0..{len(encoder.layers)}")
        super().__init__("frames", dim=encoder.config.d_model, frame_rate=SAMPLE_RATE / FRAME, finetune=finetune)
        self.layer = layer
        self.padding = padding
        if layer >= 0:  # What is not used is not kept: it would only cost memory and trouble DDP.
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

        speech = window_len > 0  # Short utterances have nothing in the later windows of a long one.
        features = self._encode(windows[speech], window_len[speech])
        output = features.new_zeros(batch * count, *features.shape[1:])  # (B*W, S/320, D)
        output[speech] = features
        output = output.unflatten(0, (batch, count)).flatten(1, 2)  # (B*W, S/320, D) -> (B, W*S/320, D)
        output = output[:, : encoder_frames(num_samples)]
        return output * length_mask(encoder_frames(wave_len), output.shape[1]).unsqueeze(2)

    def _encode(self, wave: Tensor, wave_len: Tensor) -> Tensor:
        """wave (B, S) of up to 30 s -> (B, S / 320, D)."""
        frames = wave.shape[1] // FRAME
        frames_len = None if self.padding == "30s" else encoder_frames(wave_len)
        valid = mask = None
        if frames_len is not None:
            valid = length_mask(2 * frames_len, 2 * frames).unsqueeze(1)  # (B, 1, 2 T), of log-mel frames
            if int(frames_len.min()) < frames:
                # Of keys, the same for all heads and queries.
                mask = length_mask(frames_len, frames)[:, None, None]  # (B, T) -> (B, 1, 1, T)
        with torch.autocast(wave.device.type, enabled=False):
            x = log_mel(wave, self.window, self.mel, valid)  # (B, S) -> (B, M, 2 T)
        x = F.gelu(self.encoder.conv1(x))  # (B, M, 2 T) -> (B, D, 2 T)
        if valid is not None:
            x = x * valid  # As at the end of a lone utterance: the next convolution sees zeros there.
        x = F.gelu(self.encoder.conv2(x)).transpose(1, 2)  # (B, D, 2 T) -> (B, T, D)
        x = x + self.encoder.embed_positions.weight[:frames]
        for layer in self.encoder.layers:
            x = layer(x, mask)
        return self.encoder.layer_norm(x)


def encoder_frames(num_samples: Length) -> Length:
    """Encoder frames of an utterance, the last one perhaps begun only."""
    return (num_samples + FRAME - 1) // FRAME


def mel_filters(num_mels: int) -> Tensor:
    """Whisper's own triangular filters: Slaney's mel scale and area normalisation, 0..8 kHz -> (201, num_mels)."""
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
    """Whisper's log-mel spectrogram (whisper/audio.py of OpenAI, WhisperFeatureExtractor of transformers).

    Args:
        wave: (B, S) float32, S a multiple of 160.
        window: (400,) Hann.
        filters: (201, M).
        valid: (B, 1, S / 160), True for frames of the utterance; the others are not looked at and come out as 0.
            None: every frame counts.

    Returns:
        (B, M, S / 160): log10 of the power, not lower than 8 below the utterance's maximum, shifted and scaled.
    """
    frames = wave.shape[1] // HOP
    if valid is not None:
        wave = F.pad(wave, (0, N_FFT))  # No reflection at the end of the batch: an utterance may end before.
    spectrum = torch.stft(wave, N_FFT, HOP, window=window, return_complex=True)[..., :frames]  # (B, 201, S / 160)
    power = spectrum.real.square() + spectrum.imag.square()
    log = (filters.T @ power).clamp(min=1e-10).log10()  # (B, 201, F) -> (B, M, F)
    if valid is None:
        loudest = log.amax(dim=(1, 2), keepdim=True)
    else:
        loudest = log.masked_fill(~valid, -torch.inf).amax(dim=(1, 2), keepdim=True)
    log = (torch.maximum(log, loudest - 8.0) + 4.0) / 4.0
    return log if valid is None else log * valid
