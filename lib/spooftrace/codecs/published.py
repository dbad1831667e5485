"""Published codecs: those of transformers, and EnCodec of Meta's package.

Each codec is called as in its authors' example: a whole recording at once, through encoder, quantizer and decoder. The
number of quantizers is always explicit, because the defaults of the libraries are the minimum or the maximum.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from spooftrace.codecs.coder import Coder
from spooftrace.common.errors import InputError


@dataclass(frozen=True)
class Kind:
    """The interface of a model class of transformers.

    Attributes:
        model_class: Name of the class.
        rate: Configuration -> sampling rate in Hz.
        hop: Configuration -> samples of a frame.
        options: Configuration and number of quantizers -> arguments of ``forward``.
        lost: Configuration -> samples by which the output is shorter than the input.
    """

    model_class: str
    rate: Callable[[Any], int]
    hop: Callable[[Any], int]
    options: Callable[[Any, int], dict[str, Any]]
    lost: Callable[[Any], int] = lambda config: 0


def _bandwidth(config: Any, quantizers: int) -> dict[str, float]:
    """Return the bandwidth (kbit/s) of the configuration with this number of quantizers."""
    rate = getattr(config, "sampling_rate", None) or config.sample_rate
    frame_rate = -(-rate // _hop_of_bandwidths(config))
    bits = (config.codebook_size - 1).bit_length()
    counts = {max(1, int(1000 * kbps // (bits * frame_rate))): kbps for kbps in config.target_bandwidths}
    if quantizers not in counts:
        raise ValueError(f"runs with {', '.join(map(str, counts))} quantizers, not {quantizers}")
    return {"bandwidth": counts[quantizers]}


def _hop_of_bandwidths(config: Any) -> int:
    return prod(config.upsampling_ratios) if hasattr(config, "upsampling_ratios") else config.hop_length


def _count(argument: str, held: str) -> Callable[[Any, int], dict[str, Any]]:
    """Return options with the number of quantizers as ``argument``; the configuration has the maximum as ``held``."""

    def options(config: Any, quantizers: int) -> dict[str, Any]:
        if quantizers > getattr(config, held):
            raise ValueError(f"has {getattr(config, held)} quantizers, not {quantizers}")
        return {argument: quantizers}

    return options


KINDS = {
    "encodec": Kind("EncodecModel", lambda c: c.sampling_rate, _hop_of_bandwidths, _bandwidth),
    "xcodec": Kind("XcodecModel", lambda c: c.sample_rate, _hop_of_bandwidths, _bandwidth),
    "dac": Kind(
        "DacModel",
        lambda c: c.sampling_rate,
        lambda c: c.hop_length,
        _count("n_quantizers", "n_codebooks"),
        lost=lambda c: sum(prod(c.upsampling_ratios[i + 1 :]) for i, s in enumerate(c.upsampling_ratios) if s % 2),
    ),
    "mimi": Kind(
        "MimiModel",
        lambda c: c.sampling_rate,
        lambda c: round(c.sampling_rate / c.frame_rate),
        _count("num_quantizers", "num_quantizers"),
    ),
}


def load_published(kind: str, model: str, quantizers: int) -> Coder:
    """Load a codec of transformers, or for a ``.th`` file EnCodec of Meta's package (tools/install_encodec.sh).

    Args:
        kind: A key of ``KINDS``.
        model: A folder, a name on the Hugging Face hub (see ``spooftrace.pretrained``), or for ``encodec`` the
            checkpoint of the package, such as ``encodec_24khz-d7cc33bc.th``.
        quantizers: Number of codebooks.

    Raises:
        InputError: The weights are missing or belong to another model, this version of transformers lacks the class,
            or the model does not support this number of quantizers.
    """
    if kind == "encodec" and model.endswith(".th"):
        return _load_package(model, quantizers)
    import transformers

    from spooftrace.pretrained.finding import from_pretrained

    interface = KINDS[kind]
    model_class = getattr(transformers, interface.model_class, None)
    if model_class is None:
        raise InputError(f"codec '{model}': transformers {transformers.__version__} has no {interface.model_class}")
    network = from_pretrained(model_class, model).eval()
    hop, lost = interface.hop(network.config), interface.lost(network.config)
    try:
        options = interface.options(network.config, quantizers)
    except ValueError as error:
        raise InputError(f"{model}: {error}") from None
    channels = getattr(network.config, "audio_channels", 1)

    @torch.inference_mode()
    def copy(wave: np.ndarray) -> np.ndarray:
        # Pad to whole frames whose output covers every sample of the wave.
        padded = F.pad(torch.from_numpy(wave), (0, lost + -(len(wave) + lost) % hop))  # (N,) -> (M,)
        padded = padded.expand(1, channels, -1)  # (M,) -> (1, C, M)
        decoded = network(padded, **options).audio_values  # (1, C, M') or (1, M')
        return _mono(decoded, len(wave))

    return Coder(interface.rate(network.config), hop, copy)


def _load_package(checkpoint: str, quantizers: int) -> Coder:
    """Load EnCodec at 24 or 48 kHz, depending on the name of the file."""
    from spooftrace.pretrained.checkpoint_file import read_checkpoint
    from spooftrace.pretrained.packages import import_package

    khz = "48" if "48khz" in Path(checkpoint).name else "24"
    builder = getattr(import_package("encodec").EncodecModel, f"encodec_model_{khz}khz")
    network = builder(pretrained=False)
    try:
        network.load_state_dict(read_checkpoint(checkpoint))
    except (AttributeError, RuntimeError, TypeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{checkpoint}: not the encodec package's model at {khz} kHz: {reason}") from error
    bits = (network.quantizer.bins - 1).bit_length() * network.frame_rate
    counts = {int(1000 * kbps // bits): kbps for kbps in network.target_bandwidths}
    if quantizers not in counts:
        raise InputError(f"{checkpoint}: runs with {', '.join(map(str, counts))} quantizers, not {quantizers}")
    network.set_target_bandwidth(counts[quantizers])
    network.eval()

    @torch.inference_mode()
    def copy(wave: np.ndarray) -> np.ndarray:
        decoded = network(torch.from_numpy(wave).expand(1, network.channels, -1))  # (N,) -> (1, C, N)
        return _mono(decoded, len(wave))

    return Coder(network.sample_rate, network.encoder.hop_length, copy)


def _mono(decoded: Tensor, length: int) -> np.ndarray:
    """Average channels and cut the padding: (1, C, M) or (1, M) -> (N,), N at most ``length``."""
    decoded = decoded[0].float()
    return (decoded.mean(0) if decoded.dim() > 1 else decoded)[:length].numpy()
