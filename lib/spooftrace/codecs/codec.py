"""A small neural speech codec: log-spectrum encoder, residual vector quantizer, inverse-STFT decoder.

The blocks are ConvNeXt blocks in one dimension and the decoder predicts magnitude and phase of each frame, as in Vocos
(Siuzdak 2024, section 3). It is small enough to train on one processor core in a quarter of an hour and is meant for
making spoofed speech with known codec parameters, not for listening.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from spooftrace.atomic import atomic_write
from spooftrace.codecs.quantizers import ResidualVectorQuantizer
from spooftrace.errors import InputError


class CodecOutput(NamedTuple):
    """Result of a training pass: ``wave`` (B, N), ``codes`` (B, Q, T), scalar ``commitment`` loss."""

    wave: Tensor
    codes: Tensor
    commitment: Tensor


class ConvNeXtBlock(nn.Module):
    """Depthwise convolution, then two pointwise layers, added to the input: (B, C, T) -> (B, C, T)."""

    def __init__(self, channels: int, kernel: int = 7, expansion: int = 2) -> None:
        super().__init__()
        self.depthwise = nn.Conv1d(channels, channels, kernel, padding=kernel // 2, groups=channels)
        self.norm = nn.LayerNorm(channels)
        self.expand = nn.Linear(channels, expansion * channels)
        self.project = nn.Linear(expansion * channels, channels)
        self.scale = nn.Parameter(torch.full((channels,), 0.5))

    def forward(self, x: Tensor) -> Tensor:
        y = self.depthwise(x).transpose(1, 2)  # (B, C, T) -> (B, T, C)
        y = self.project(F.gelu(self.expand(self.norm(y))))
        return x + (self.scale * y).transpose(1, 2)  # (B, T, C) -> (B, C, T)


class NeuralCodec(nn.Module):
    """Waveform -> codes -> waveform. A quantizer adds ``log2(codebook_size) * frame_rate`` bit/s.

    Args:
        sample_rate: Hz.
        frame_rate: code frames per second; must divide ``sample_rate``.
        dim: size of the quantized vectors.
        channels: width of encoder and decoder.
        encoder_blocks: ConvNeXt blocks before the quantizer.
        decoder_blocks: ConvNeXt blocks after it.
        codebook_size: entries of each codebook.
        num_quantizers: codebooks.
        level: root mean square to which :meth:`copy` brings its input, the level seen in training.

    >>> codec = NeuralCodec(channels=16, dim=8, num_quantizers=2).eval()
    >>> codec.encode(torch.zeros(1, 16000)).shape
    torch.Size([1, 2, 51])
    """

    def __init__(
        self,
        sample_rate: int = 16000,
        frame_rate: int = 50,
        dim: int = 64,
        channels: int = 128,
        encoder_blocks: int = 3,
        decoder_blocks: int = 4,
        codebook_size: int = 256,
        num_quantizers: int = 8,
        level: float = 0.05,
    ) -> None:
        super().__init__()
        if sample_rate % frame_rate:
            raise ValueError(f"frame_rate {frame_rate} does not divide sample_rate {sample_rate}")
        self.config = {
            "sample_rate": sample_rate,
            "frame_rate": frame_rate,
            "dim": dim,
            "channels": channels,
            "encoder_blocks": encoder_blocks,
            "decoder_blocks": decoder_blocks,
            "codebook_size": codebook_size,
            "num_quantizers": num_quantizers,
            "level": level,
        }
        self.sample_rate, self.frame_rate, self.level = sample_rate, frame_rate, level
        self.hop = sample_rate // frame_rate
        self.n_fft = 2 * self.hop
        bins = self.n_fft // 2 + 1
        self.register_buffer("window", torch.hann_window(self.n_fft), persistent=False)
        self.encoder = nn.Sequential(
            nn.Conv1d(bins, channels, 1),
            *(ConvNeXtBlock(channels) for _ in range(encoder_blocks)),
            nn.Conv1d(channels, dim, 1),
        )
        self.quantizer = ResidualVectorQuantizer(dim, codebook_size, num_quantizers)
        self.decoder = nn.Sequential(
            nn.Conv1d(dim, channels, 3, padding=1),
            *(ConvNeXtBlock(channels) for _ in range(decoder_blocks)),
            nn.Conv1d(channels, 2 * bins, 1),
        )

    def kbps(self, num_quantizers: int) -> float:
        """Bitrate in kbit/s of the first ``num_quantizers`` codebooks."""
        return num_quantizers * (self.config["codebook_size"] - 1).bit_length() * self.frame_rate / 1000

    def forward(
        self, wave: Tensor, num_quantizers: Tensor | None = None, generator: torch.Generator | None = None
    ) -> CodecOutput:
        """Code and decode in one differentiable pass.

        Args:
            wave: (B, N).
            num_quantizers: (B,) codebooks used for each item; all by default.
            generator: see :class:`ResidualVectorQuantizer`.
        """
        quantized = self.quantizer(self._embed(wave), num_quantizers, generator)
        return CodecOutput(self._synthesize(quantized.values, wave.shape[-1]), quantized.codes, quantized.commitment)

    @torch.no_grad()
    def encode(self, wave: Tensor, num_quantizers: int | None = None) -> Tensor:
        """Waveform (B, N), N >= 1, -> codes (B, Q, T), T = ceil(N / hop) + 1; frame t is centred on sample t * hop."""
        count = self.config["num_quantizers"] if num_quantizers is None else num_quantizers
        if not 1 <= count <= self.config["num_quantizers"]:
            raise ValueError(f"num_quantizers must lie in 1 .. {self.config['num_quantizers']}, not {count}")
        counts = torch.full((wave.shape[0],), count, device=wave.device)
        return self.quantizer(self._embed(wave), counts).codes

    @torch.no_grad()
    def decode(self, codes: Tensor, length: int | None = None) -> Tensor:
        """Codes (B, Q, T) -> waveform (B, ``length``), by default (B, (T - 1) * hop)."""
        longest = (codes.shape[-1] - 1) * self.hop
        return self._synthesize(self.quantizer.decode(codes), longest if length is None else length)

    @torch.no_grad()
    def copy(self, wave: Tensor, num_quantizers: int | None = None) -> Tensor:
        """Decoded copy (B, N) of ``wave`` (B, N) at any level; the copy has the codec's own level."""
        loudness = wave.square().mean(-1, keepdim=True).sqrt().clamp(min=1e-8)
        return self.decode(self.encode(wave * (self.level / loudness), num_quantizers), wave.shape[-1])

    def _embed(self, wave: Tensor) -> Tensor:
        # reflect padding of the STFT needs more than n_fft / 2 samples; whole hops let decode() return every sample
        short = max(self.n_fft - wave.shape[-1], -wave.shape[-1] % self.hop)
        wave = F.pad(wave, (0, short + -(wave.shape[-1] + short) % self.hop))
        spectrum = torch.stft(wave, self.n_fft, self.hop, window=self.window, return_complex=True)  # (B, F, T)
        # The floor hides what lies far below speech: noise that the codes should not be spent on.
        return self.encoder(torch.log(spectrum.abs() + 1e-2)).transpose(1, 2)  # (B, D, T) -> (B, T, D)

    def _synthesize(self, vectors: Tensor, length: int) -> Tensor:
        y = self.decoder(vectors.transpose(1, 2))  # (B, T, D) -> (B, 2 F, T)
        log_magnitude, phase = y.chunk(2, 1)
        # An untrained decoder can ask for huge magnitudes; speech at this level stays far below e^6.
        spectrum = torch.polar(torch.exp(log_magnitude.clamp(max=6)), phase)
        return torch.istft(spectrum, self.n_fft, self.hop, window=self.window, length=length)


# Buffers that only training needs.
TRAINING_STATE = ("quantizer.usage", "quantizer.sums", "quantizer.started")


def save_codec(codec: NeuralCodec, path: str | Path, half: bool = True) -> None:
    """Write weights and configuration into one safetensors file, as float16 unless ``half`` is false."""
    from safetensors.torch import save

    state = {name: value for name, value in codec.state_dict().items() if name not in TRAINING_STATE}
    state = {name: (value.half() if half else value).contiguous() for name, value in state.items()}
    with atomic_write(path, "wb") as file:
        file.write(save(state, metadata={"config": json.dumps(codec.config)}))


def load_codec(path: str | Path) -> NeuralCodec:
    """Read a file of :func:`save_codec`: a codec in evaluation mode, float32.

    Raises:
        InputError: the file is missing, is not safetensors, or does not hold a codec.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            config = json.loads((file.metadata() or {})["config"])
            state = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118 (not a mapping)
        codec = NeuralCodec(**config)
        missing, unexpected = codec.load_state_dict(state, strict=False)
    except FileNotFoundError:
        raise InputError(f"{path}: no such codec file; train one with 'spooftrace codec train'") from None
    except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path}: not a codec file of 'spooftrace codec train' ({reason}); get it again") from None
    if set(missing) - set(TRAINING_STATE) or unexpected:
        wrong = sorted({*missing, *unexpected} - set(TRAINING_STATE))[0]
        raise InputError(f"{path}: the weights do not fit their configuration (first: {wrong}); get the file again")
    codec.quantizer.started.fill_(True)
    return codec.eval()
