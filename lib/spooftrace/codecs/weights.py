"""Weights of our own codecs in safetensors files."""

from __future__ import annotations

import json
import math
from pathlib import Path

from torch import Tensor

from spooftrace.codecs.codec import NeuralCodec
from spooftrace.codecs.quantizers import ResidualVectorQuantizer
from spooftrace.common.atomic import atomic_write
from spooftrace.common.errors import InputError
from spooftrace.common.json_files import parse_json


def only_for_training(name: str) -> bool:
    """Return whether an entry of the state dict is a buffer that only training needs."""
    return name.rpartition(".")[2] in ("usage", "sums", "started")


def save_codec(codec: NeuralCodec, path: str | Path, half: bool = True) -> None:
    """Write weights and configuration into a safetensors file, as float16 unless ``half`` is false.

    Raises:
        ValueError: A weight is too large for float16.
    """
    from safetensors.torch import save

    state = {name: value for name, value in codec.state_dict().items() if not only_for_training(name)}
    if half:
        _scale_vectors(state)
        state = {name: value.half() for name, value in state.items()}
        for name, value in state.items():
            if not value.isfinite().all():
                raise ValueError(f"{name}: too large for float16")
    state = {name: value.contiguous() for name, value in state.items()}
    with atomic_write(path, "wb") as file:
        file.write(save(state, metadata={"config": json.dumps(codec.config)}))


def _scale_vectors(state: dict[str, Tensor]) -> None:
    """Scale the vectors of a codec with disentanglement down to the range of float16.

    A layer norm follows their quantizer. Their scale therefore has no effect, and training lets it grow beyond float16.
    Division by a power of two does not round.
    """
    last = max((int(name.split(".")[1]) for name in state if name.startswith("encoder.")), default=0)
    names = (f"encoder.{last}.weight", f"encoder.{last}.bias", "quantizer.codebooks")
    if "restorer.norm.weight" not in state or not all(name in state for name in names):
        return
    largest = max(float(state["quantizer.codebooks"].abs().max()), 1024.0)
    factor = 2.0 ** -math.ceil(math.log2(largest / 1024))
    state |= {name: state[name] * factor for name in names}


def load_codec(path: str | Path) -> NeuralCodec:
    """Read a file of ``save_codec``; returns the codec in evaluation mode, float32.

    Raises:
        InputError: The file is missing, is not safetensors, or holds no codec.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            config = parse_json((file.metadata() or {})["config"])
            state = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118 (not a mapping)
        codec = NeuralCodec(**config)
        missing, unexpected = codec.load_state_dict(state, strict=False)
    except FileNotFoundError:
        raise InputError(f"{path}: no such codec file; train one with 'spooftrace codec train'") from None
    except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path}: not a codec file of 'spooftrace codec train' ({reason}); get it again") from None
    wrong = sorted(name for name in (*missing, *unexpected) if not only_for_training(name))
    if wrong:
        raise InputError(f"{path}: the weights do not fit their configuration (first: {wrong[0]}); get the file again")
    for module in codec.modules():
        if isinstance(module, ResidualVectorQuantizer):
            module.resume_from_codebooks()
    return codec.eval()
