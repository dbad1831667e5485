"""How a codec of the table, or one of our own, is loaded and run."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from spooftrace.codecs.coder import Coder
from spooftrace.codecs.table import CELLS, ROOT, Codec, CodecSetting, find_setting
from spooftrace.common.errors import InputError

if TYPE_CHECKING:
    from spooftrace.codecs.codec import NeuralCodec


def find_codec(name: str, quantizers: int | None = None) -> CodecSetting:
    """The codec that a user names: one of the table, ``NAME`` or ``NAME_qN``, or a file of ``spooftrace codec train``.

    Args:
        name: A name, or the path of a safetensors file.
        quantizers: How many codebooks, instead of ``_qN``.

    Raises:
        InputError: No such codec or setting, or the file is missing or unfit.
    """
    if name.endswith(".safetensors"):
        return own_codec(Path(name)).setting(quantizers)
    return find_setting(name if quantizers is None else f"{name}_q{quantizers}")


def load_coder(setting: CodecSetting, model: str | Path | None = None) -> Coder:
    """The codec of the table at this setting.

    Args:
        setting: A row of the table and a number of quantizers.
        model: Folder or file with the weights, instead of what the table names.

    Raises:
        InputError: The table does not say how to run it, the weights cannot be had, or they are those of a codec with
            another sampling rate or fewer quantizers, which the labels would not describe.
    """
    codec, count = setting.codec, setting.quantizers
    if codec.provider is None or codec.model is None or count is None:
        raise InputError(
            f"codec '{codec.name}': known, but not run here: there is no provider for it; "
            "'spooftrace codec list' shows which there are"
        )
    where = model or (own_weights(codec) if codec.provider == "own" else codec.model)
    coder = LOADERS[codec.provider](str(where), count)
    if codec.khz is not None and coder.rate != round(1000 * codec.khz):
        raise InputError(f"{where}: works at {coder.rate} Hz, but {codec.name} is at {codec.khz:g} kHz")
    return coder


def load_own(model: str, quantizers: int) -> Coder:
    """A codec of ``spooftrace codec train`` with its first ``quantizers`` codebooks.

    Args:
        model: The safetensors file.
        quantizers: Number of codebooks.

    Raises:
        InputError: The file is missing or unfit, or the codec has fewer codebooks.
    """
    from spooftrace.codecs.codec import load_codec

    codec = load_codec(model)
    copy = exact_copy(codec, quantizers)
    held = codec.config["num_quantizers"]
    if quantizers > held:
        raise InputError(f"{model}: has {held} quantizers, not {quantizers}")
    return Coder(codec.sample_rate, codec.hop, copy)


def exact_copy(codec: NeuralCodec, quantizers: int) -> Callable[[np.ndarray], np.ndarray]:
    """What ``codec`` makes of a wave, float32 (N,) -> float32 (N,), computed in float64.

    In float32 processors differ in the last bits, then in the choice between two codes that are nearly as good, and the
    copies of a corpus in what is heard. In float64 the differences vanish when the copy is rounded to 16 bit, nearly
    always: with and without AVX2, no sample of the mini corpus differs. It takes about as long.
    """
    import torch

    codec = codec.double()
    return lambda wave: codec.copy(torch.from_numpy(wave)[None].double(), quantizers)[0].float().numpy()


# The configuration of our own codecs -> the words of the taxonomy.
OWN_CLASSES = {
    "vq": ("quantizer", {"residual": "mvq", "factorised": "mvq", "single": "svq", "scalar": "sq"}),
    "aux": ("auxiliary", {"none": "none", "semantic": "sem", "disentanglement": "disent"}),
    "dec": ("decoder", {"frequency": "freq", "time": "time"}),
}


def own_codec(path: Path) -> Codec:
    """The row that a file of ``spooftrace codec train`` would have in the table, named after the file or its folder.

    Raises:
        InputError: The file is missing or unfit.
    """
    from spooftrace.codecs.codec import load_codec

    codec = load_codec(path)
    count, size = codec.config["num_quantizers"], codec.config["codebook_size"]
    name = path.parent.name if path.stem == "codec" else path.stem  # codec train writes EXP/codec.safetensors
    return Codec(
        name=re.sub(r"[^\w.+-]", "_", name) or "codec",
        family="spooftrace",
        **{cell: words[codec.config[key]] for cell, (key, words) in OWN_CLASSES.items()},
        khz=codec.sample_rate / 1000,
        frame_rate=(codec.frame_rate * codec.config["tokens"],) * count,
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
    """Where the weights of one of our own codecs are: what the table names is in the repository."""
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
