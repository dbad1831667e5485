"""Loading of codecs: those of the table, and our own."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from spooftrace.codecs.coder import Coder
from spooftrace.codecs.table import CELLS, ROOT, Codec, CodecSetting, find_setting
from spooftrace.common.english import counted
from spooftrace.common.errors import InputError

if TYPE_CHECKING:
    from spooftrace.codecs.codec import NeuralCodec


def find_codec(name: str, quantizers: int | None = None) -> CodecSetting:
    """Return a codec by name: ``NAME`` or ``NAME_qN`` of the table, or a file of ``spooftrace codec train``.

    Args:
        name: A name, or the path of a safetensors file.
        quantizers: Number of codebooks, instead of ``_qN``.

    Raises:
        InputError: The codec or setting is unknown, or the file is missing or unfit.
    """
    if name.endswith(".safetensors"):
        return own_codec(Path(name)).setting(quantizers)
    return find_setting(name if quantizers is None else f"{name}_q{quantizers}")


def load_coder(setting: CodecSetting, model: str | Path | None = None) -> Coder:
    """Load a codec of the table at a setting.

    Args:
        setting: A row of the table and a number of quantizers.
        model: Folder or file with the weights, instead of the weights that the table names.

    Raises:
        InputError: The table names no provider, the weights are missing, or the weights belong to a codec with another
            sampling rate or fewer quantizers, so the labels of the table would be wrong.
    """
    codec, count = setting.codec, setting.quantizers
    if codec.provider is None or codec.model is None or count is None:
        raise InputError(
            f"codec '{codec.name}': has no provider that runs it; 'spooftrace codec list' shows those that have one"
        )
    where = model or (own_weights(codec) if codec.provider == "own" else codec.model)
    coder = LOADERS[codec.provider](str(where), count)
    if codec.khz is not None and coder.rate != round(1000 * codec.khz):
        raise InputError(f"{where}: works at {coder.rate} Hz, but {codec.name} is at {codec.khz:g} kHz")
    return coder


def load_own(model: str, quantizers: int) -> Coder:
    """Load a codec of ``spooftrace codec train`` with its first ``quantizers`` codebooks.

    Args:
        model: The safetensors file.
        quantizers: Number of codebooks.

    Raises:
        InputError: The file is missing or unfit, or the codec has fewer codebooks.
    """
    from spooftrace.codecs.weights import load_codec

    codec = load_codec(model)
    copy = exact_copy(codec, quantizers)
    count = codec.config["num_quantizers"]
    if quantizers > count:
        raise InputError(f"{model}: has {counted(count, 'quantizer')}, not {quantizers}")
    return Coder(codec.sample_rate, codec.hop, copy)


def exact_copy(codec: NeuralCodec, quantizers: int) -> Callable[[np.ndarray], np.ndarray]:
    """Return the function wave -> copy of a codec, float32 (N,) -> float32 (N,), computed in float64.

    In float32 different processors differ in the last bits, then in the choice between two nearly equal codes, and
    finally in audible samples. In float64 nearly all differences vanish when the copy is rounded to 16 bits: no sample
    of the mini corpus differs with and without AVX2. It takes about as long as float32.
    """
    import torch

    codec = codec.double()
    return lambda wave: codec.copy(torch.from_numpy(wave)[None].double(), quantizers)[0].float().numpy()


# Configuration of our own codecs -> classes of the taxonomy.
OWN_CLASSES = {
    "vq": ("quantizer", {"residual": "mvq", "factorised": "mvq", "single": "svq", "scalar": "sq"}),
    "aux": ("auxiliary", {"none": "none", "semantic": "sem", "disentanglement": "disent"}),
    "dec": ("decoder", {"frequency": "freq", "time": "time"}),
}


def own_codec(path: Path) -> Codec:
    """Describe a file of ``spooftrace codec train`` as a row of the table, named after the file or its folder.

    Raises:
        InputError: The file is missing or unfit.
    """
    from spooftrace.codecs.weights import load_codec

    codec = load_codec(path)
    config = codec.config
    count, size = config["num_quantizers"], config["codebook_size"]
    name = path.parent.name if path.stem == "codec" else path.stem  # codec train writes EXP/codec.safetensors
    return Codec(
        name=re.sub(r"[^\w.+-]", "_", name) or "codec",
        family="spooftrace",
        vq=OWN_CLASSES["vq"][1][config["quantizer"]],
        aux=OWN_CLASSES["aux"][1][config["auxiliary"]],
        dec=OWN_CLASSES["dec"][1][config["decoder"]],
        khz=codec.sample_rate / 1000,
        frame_rate=(codec.frame_rate * config["tokens"],) * count,
        quantizers=count,
        codebook=(size,) * count,
        kbps=codec.kbps(count),
        source=str(path),
        verified=frozenset(CELLS),
        settings=tuple(range(1, count + 1)) if count > 1 else (),
        provider="own",
        model=str(path.resolve()),
    )


def own_weights(codec: Codec) -> Path:
    """Return the path of the weights of one of our own codecs; the table names files of this repository."""
    return ROOT / str(codec.model)


def _published(kind: str) -> Callable[[str, int], Coder]:
    def load(model: str, quantizers: int) -> Coder:
        from spooftrace.codecs.published import load_published  # transformers takes seconds

        return load_published(kind, model, quantizers)

    return load


LOADERS: dict[str, Callable[[str, int], Coder]] = {
    "own": load_own,
    **{kind: _published(kind) for kind in ("encodec", "dac", "mimi", "xcodec")},
}
