"""Published codecs that transformers carries, and EnCodec as Meta's own package computes it.

Each is called as its authors' example does: a whole recording at a time, through encoder, quantizer and decoder, with
the number of quantizers given explicitly (the libraries' own defaults are the least or the most there is).
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
    """How one class of transformers is used: where its configuration has what, what its ``forward`` is told."""

    model_class: str
    rate: Callable[[Any], int]
    hop: Callable[[Any], int]
    options: Callable[[Any, int], dict[str, Any]]  # configuration, number of quantizers -> arguments
    lost: Callable[[Any], int] = lambda config: 0  # samples that the decoder gives back less than it was sent


def _bandwidth(config: Any, quantizers: int) -> dict[str, float]:
    """The bandwidth (kbit/s) of the configuration that gives so many quantizers."""
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
    """The number of quantizers itself, as ``argument``; the configuration's ``held`` is how many there are."""

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
    """A codec of transformers, or with a ``.th`` file EnCodec of Meta's package (tools/install_encodec.sh).

    Args:
        kind: A key of ``KINDS``.
        model: A folder, a name on the Hugging Face hub (``spooftrace.pretrained.finding`` says where it is looked for),
            or for ``encodec`` the package's checkpoint, such as ``encodec_24khz-d7cc33bc.th``.
        quantizers: Number of codebooks.

    Raises:
        InputError: The weights cannot be had or are those of another model, this release of transformers lacks the
            class, or the model cannot run with so many quantizers.
    """
    if kind == "encodec" and model.endswith(".th"):
        return _load_package(model, quantizers)
    import transformers

    from spooftrace.pretrained.finding import from_pretrained

    about = KINDS[kind]
    model_class = getattr(transformers, about.model_class, None)
    if model_class is None:
        raise InputError(f"codec '{model}': transformers {transformers.__version__} has no {about.model_class}")
    network = from_pretrained(model_class, model).eval()
    hop, lost = about.hop(network.config), about.lost(network.config)
    try:
        options = about.options(network.config, quantizers)
    except ValueError as error:
        raise InputError(f"{model}: {error}") from None
    channels = getattr(network.config, "audio_channels", 1)

    @torch.inference_mode()
    def copy(wave: np.ndarray) -> np.ndarray:
        # Whole frames, of which something comes back for every sample of the wave.
        padded = F.pad(torch.from_numpy(wave), (0, lost + -(len(wave) + lost) % hop))  # (N,) -> (M,)
        padded = padded.expand(1, channels, -1)  # (M,) -> (1, C, M)
        made = network(padded, **options).audio_values  # (1, C, M') or (1, M')
        return _mono(made, len(wave))

    return Coder(about.rate(network.config), hop, copy)


def _load_package(checkpoint: str, quantizers: int) -> Coder:
    """EnCodec at 24 or 48 kHz, as the file's name says."""
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
        made = network(torch.from_numpy(wave).expand(1, network.channels, -1))  # (N,) -> (1, C, N)
        return _mono(made, len(wave))

    return Coder(network.sample_rate, network.encoder.hop_length, copy)


def _mono(made: Tensor, length: int) -> np.ndarray:
    """(1, C, M) or (1, M) -> (M,), at most ``length``: channels averaged, filling of the last frame cut off."""
    made = made[0].float()
    return (made.mean(0) if made.dim() > 1 else made)[:length].numpy()
