"""A family of small neural speech codecs: log-spectrum encoder, one of four quantizers, one of two decoders.

Each axis of the codec taxonomy is an option: the quantizer, the auxiliary objective, and whether the decoder predicts a
spectrum or the waveform. The models train on one processor core in minutes. They generate spoofed speech with known
codec parameters and are not meant for listening.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, NamedTuple, TypedDict

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from spooftrace.codecs.blocks import ConvNeXtBlock
from spooftrace.codecs.decoders import DECODERS
from spooftrace.codecs.disentanglement import VoiceRestorer, measure_voice, neutralize
from spooftrace.codecs.factorised import FactorisedQuantizer
from spooftrace.codecs.mel import hann_window
from spooftrace.codecs.quantizers import Quantizer, ResidualVectorQuantizer
from spooftrace.codecs.scalar import ScalarQuantizer
from spooftrace.codecs.semantic import SemanticQuantizer
from spooftrace.codecs.single_codebook import SingleVectorQuantizer

QuantizerKind = Literal["residual", "factorised", "single", "scalar"]
Auxiliary = Literal["none", "semantic", "disentanglement"]
Domain = Literal["frequency", "time"]


class CodecConfig(TypedDict):
    """The arguments of ``NeuralCodec``, as they are stored beside the weights."""

    sample_rate: int
    frame_rate: int
    dim: int
    channels: int
    encoder_blocks: int
    decoder_blocks: int
    codebook_size: int
    num_quantizers: int
    level: float
    quantizer: QuantizerKind
    auxiliary: Auxiliary
    decoder: Domain
    overlap: int
    tokens: int


class CodecOutput(NamedTuple):
    """Result of a training pass.

    Attributes:
        wave: (B, N).
        codes: (B, Q, T).
        commitment: Scalar loss of the quantizer.
        semantic: (B, T, D), vectors of the semantic codebook; None without one.
        restoration: Scalar, mean distance of the restored log spectrum; None without disentanglement.
    """

    wave: Tensor
    codes: Tensor
    commitment: Tensor
    semantic: Tensor | None = None
    restoration: Tensor | None = None


class NeuralCodec(nn.Module):
    """A codec: waveform -> codes -> waveform. Each quantizer adds ``log2(codebook_size) * frame_rate`` bit/s.

    With ``disentanglement`` the decoder also needs the ``voice``, 33 numbers per utterance, which the bitrate does not
    include.

    Args:
        sample_rate: Hz.
        frame_rate: Code frames per second; must divide ``sample_rate``.
        dim: Size of the quantized vectors.
        channels: Width of encoder and decoder.
        encoder_blocks: ConvNeXt blocks before the quantizer.
        decoder_blocks: ConvNeXt blocks after it.
        codebook_size: Entries of each codebook; levels of each scalar.
        num_quantizers: Number of codebooks or scalars.
        level: RMS of the training data, to which ``copy`` scales its input.
        quantizer: ``residual``, codebooks updated by moving averages; ``factorised``, codebooks of few dimensions;
            ``single``, a large codebook; ``scalar``, rounding.
        auxiliary: ``none``; ``semantic``, the first codebook is distilled from Whisper (frame rate 50, 16 kHz, several
            codebooks); ``disentanglement``, the voice is removed from the codes (16 kHz).
        decoder: Domain of the decoder's output: ``frequency`` or ``time``.
        overlap: Length of the transforms of encoder and decoder, in hops.
        tokens: Codes per frame of a single codebook; 1 for all other quantizers.

    Raises:
        ValueError: The arguments are incompatible.

    >>> codec = NeuralCodec(channels=16, dim=8, num_quantizers=2).eval()
    >>> codec.encode(torch.zeros(1, 16000)).shape
    torch.Size([1, 2, 51])
    """

    window: Tensor

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
        quantizer: QuantizerKind = "residual",
        auxiliary: Auxiliary = "none",
        decoder: Domain = "frequency",
        overlap: int = 2,
        tokens: int = 1,
    ) -> None:
        super().__init__()
        self.config: CodecConfig = {
            "sample_rate": sample_rate, "frame_rate": frame_rate, "dim": dim, "channels": channels,
            "encoder_blocks": encoder_blocks, "decoder_blocks": decoder_blocks, "codebook_size": codebook_size,
            "num_quantizers": num_quantizers, "level": level, "quantizer": quantizer, "auxiliary": auxiliary,
            "decoder": decoder, "overlap": overlap, "tokens": tokens,
        }  # fmt: skip
        _check(self.config)
        self.sample_rate, self.frame_rate, self.level = sample_rate, frame_rate, level
        self.hop = sample_rate // frame_rate
        self.n_fft = overlap * self.hop
        bins = self.n_fft // 2 + 1
        self.register_buffer("window", hann_window(self.n_fft), persistent=False)
        self.encoder = nn.Sequential(
            nn.Conv1d(bins, channels, 1),
            *(ConvNeXtBlock(channels) for _ in range(encoder_blocks)),
            nn.Conv1d(channels, dim, 1),
        )
        self.quantizer = _make_quantizer(self.config)
        disentangled = auxiliary == "disentanglement"
        self.restorer = VoiceRestorer(dim, channels, bins) if disentangled else None
        self.decoder = DECODERS[decoder](bins if disentangled else dim, channels, decoder_blocks, self.hop, overlap)

    def kbps(self, num_quantizers: int) -> float:
        """Return the bitrate in kbit/s of the first ``num_quantizers`` codebooks."""
        return num_quantizers * math.log2(self.config["codebook_size"]) * self.frame_rate * self.config["tokens"] / 1000

    def forward(
        self, wave: Tensor, num_quantizers: Tensor | None = None, generator: torch.Generator | None = None
    ) -> CodecOutput:
        """Encode and decode in one differentiable pass.

        Args:
            wave: (B, N).
            num_quantizers: (B,) codebooks used for each item; all by default.
            generator: Source of the random draws of training.
        """
        spectrum, voice = self._analyse(wave)
        quantized = self.quantizer(self._embed(spectrum, voice), num_quantizers, generator)
        vectors, restoration = quantized.values, None
        if self.restorer is not None:
            restored = self.restorer(vectors, voice)  # (B, F, T)
            vectors, restoration = restored.transpose(1, 2), (restored - spectrum).abs().mean()
        copy = self.decoder.synthesize(vectors, wave.shape[-1])
        return CodecOutput(copy, quantized.codes, quantized.commitment, quantized.semantic, restoration)

    @torch.no_grad()
    def encode(self, wave: Tensor, num_quantizers: int | None = None) -> Tensor:
        """Encode waveforms (B, N), N >= 1, into codes (B, Q, T).

        T = ``tokens`` (ceil(N / hop) + 1). Frame t is centred on sample t * hop.

        Raises:
            ValueError: ``num_quantizers`` is not between 1 and the number of quantizers.
        """
        count = self.config["num_quantizers"] if num_quantizers is None else num_quantizers
        if not 1 <= count <= self.config["num_quantizers"]:
            raise ValueError(f"num_quantizers must lie in 1 .. {self.config['num_quantizers']}, not {count}")
        counts = torch.full((wave.shape[0],), count, device=wave.device)
        return self.quantizer(self._embed(*self._analyse(wave)), counts).codes

    @torch.no_grad()
    def voice(self, wave: Tensor) -> Tensor:
        """Measure the voices (B, 33) of waveforms (B, N), for ``decode``.

        Raises:
            ValueError: The codec has no disentanglement.
        """
        voice = self._analyse(wave)[1]
        if voice is None:
            raise ValueError("only a codec with disentanglement has a voice")
        return voice

    @torch.no_grad()
    def decode(self, codes: Tensor, length: int | None = None, voice: Tensor | None = None) -> Tensor:
        """Decode codes (B, Q, T) into waveforms (B, ``length``).

        Args:
            codes: (B, Q, T).
            length: Number of samples N; (T - 1) * hop by default.
            voice: (B, 33), for a codec with disentanglement only.

        Raises:
            ValueError: The codes are impossible, or the voice is missing or superfluous.
        """
        if (voice is None) != (self.restorer is None):
            raise ValueError("a codec with disentanglement needs a voice, and no other codec has one")
        vectors = self.quantizer.decode(codes)
        if self.restorer is not None:
            vectors = self.restorer(vectors, voice).transpose(1, 2)  # (B, F, T) -> (B, T, F)
        return self.decoder.synthesize(vectors, (vectors.shape[1] - 1) * self.hop if length is None else length)

    @torch.no_grad()
    def copy(self, wave: Tensor, num_quantizers: int | None = None) -> Tensor:
        """Encode and decode ``wave`` (B, N), at any level; the copy (B, N) has the level of the codec."""
        wave = self.normalize(wave)
        voice = None if self.restorer is None else self.voice(wave)
        return self.decode(self.encode(wave, num_quantizers), wave.shape[-1], voice)

    def normalize(self, wave: Tensor) -> Tensor:
        """Scale ``wave`` (B, N) to the level of the training data."""
        loudness = wave.square().mean(-1, keepdim=True).sqrt().clamp(min=1e-8)
        return wave * (self.level / loudness)

    def _analyse(self, wave: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the log spectrum (B, F, T) of a waveform (B, N), and with disentanglement its voice (B, 33)."""
        # The reflect padding of the STFT needs more than n_fft / 2 samples; decode() returns whole hops.
        short = max(self.n_fft - wave.shape[-1], -wave.shape[-1] % self.hop)
        padded = F.pad(wave, (0, short + -(wave.shape[-1] + short) % self.hop))
        spectrum = torch.stft(padded, self.n_fft, self.hop, window=self.window, return_complex=True)  # (B, F, T)
        # The floor hides noise far below speech, which should not use up bits of the codes.
        spectrum = torch.log(spectrum.abs() + 1e-2)
        return spectrum, None if self.restorer is None else measure_voice(wave, spectrum, self.sample_rate)

    def _embed(self, spectrum: Tensor, voice: Tensor | None) -> Tensor:
        neutral = spectrum if voice is None else neutralize(spectrum, voice)
        return self.encoder(neutral).transpose(1, 2)  # (B, F, T) -> (B, D, T) -> (B, T, D)


def _check(config: CodecConfig) -> None:
    """Refuse arguments of ``NeuralCodec`` that are incompatible."""
    rate, frame_rate, quantizer = config["sample_rate"], config["frame_rate"], config["quantizer"]
    if rate % frame_rate:
        raise ValueError(f"frame_rate {frame_rate} does not divide sample_rate {rate}")
    several = quantizer in ("residual", "factorised") and config["num_quantizers"] > 1
    if config["auxiliary"] == "semantic" and not (several and (rate, frame_rate) == (16000, 50)):
        raise ValueError("semantic distillation needs several codebooks, sample_rate 16000 and frame_rate 50")
    if config["tokens"] > 1 and quantizer != "single":
        raise ValueError("only a single codebook can have several tokens per frame")


QUANTIZERS: dict[str, Callable[[int, int, int], Quantizer]] = {
    "residual": ResidualVectorQuantizer,
    "factorised": FactorisedQuantizer,
    "scalar": ScalarQuantizer,
}


def _make_quantizer(config: CodecConfig) -> Quantizer:
    dim, size, count = config["dim"], config["codebook_size"], config["num_quantizers"]
    if config["auxiliary"] == "semantic":
        return SemanticQuantizer(dim, QUANTIZERS[config["quantizer"]](dim, size, count - 1))
    if config["quantizer"] == "single":
        return SingleVectorQuantizer(dim, size, count, config["tokens"])
    return QUANTIZERS[config["quantizer"]](dim, size, count)
