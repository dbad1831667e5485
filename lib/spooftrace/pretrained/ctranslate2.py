"""Whisper models in CTranslate2's binary format -> a Hugging Face folder.

``python -m spooftrace.cli.convert_ctranslate2 MODEL_BIN OUT_FOLDER`` expects the CTranslate2 model's ``config.json``
and ``tokenizer.json`` beside MODEL_BIN; transformers loads OUT_FOLDER as ``WhisperForConditionalGeneration``.

The format is that of CTranslate2's ``model_spec.py`` (binary version 6, little endian): header, named tensors, aliases.
Weights in float32, float16 and bfloat16 keep their type; int8 weights are converted to float32.
"""

from __future__ import annotations

import json
import math
import re
import struct
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from spooftrace.common.errors import InputError

BINARY_VERSION = 6
DTYPES = [torch.float32, torch.int8, torch.int16, torch.int32, torch.float16, torch.bfloat16]  # by CTranslate2's code
GELU = 3  # CTranslate2's code of the activation that Whisper uses


class _Cursor:
    """Read values one after the other from a file in memory, with a check of its end."""

    def __init__(self, path: Path):
        self.path = path
        self.data = bytearray(path.stat().st_size)
        with path.open("rb") as file:
            file.readinto(self.data)
        self.position = 0

    def take(self, size: int) -> int:
        """Skip ``size`` bytes and return their start."""
        start = self.position
        if start + size > len(self.data):
            raise InputError(
                f"{self.path}: not a whole CTranslate2 model: {size} bytes needed at byte {start} of {len(self.data)}; "
                "download it again"
            )
        self.position += size
        return start

    def integer(self, code: str) -> int:
        return struct.unpack_from(f"<{code}", self.data, self.take(struct.calcsize(f"<{code}")))[0]

    def string(self) -> str:
        size = self.integer("H")
        start = self.take(size)
        return self.data[start : start + size].rstrip(b"\0").decode("utf-8", errors="replace")


def read_ctranslate2(path: str | Path) -> tuple[str, dict[str, Tensor]]:
    """Read a CTranslate2 ``model.bin``.

    Returns:
        The name of the model's specification (``WhisperSpec``) and its tensors by CTranslate2 name, aliases resolved.

    Raises:
        InputError: The file is missing, of another version, cut short or damaged.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    cursor = _Cursor(path)
    if (version := cursor.integer("I")) != BINARY_VERSION:
        raise InputError(f"{path}: CTranslate2 binary version {version}, only {BINARY_VERSION} can be read")
    specification = cursor.string()
    cursor.integer("I")  # revision of the specification
    tensors: dict[str, Tensor] = {}
    for _ in range(cursor.integer("I")):
        name = cursor.string()
        tensors[name] = _tensor(cursor, name)
    for _ in range(cursor.integer("I")):
        alias, name = cursor.string(), cursor.string()
        if name not in tensors:
            raise InputError(f"{path}: damaged: alias {alias!r} of the missing tensor {name!r}; download it again")
        tensors[alias] = tensors[name]
    if extra := len(cursor.data) - cursor.position:
        raise InputError(f"{path}: damaged: {extra} bytes after the end of the model; download it again")
    return specification, tensors


def _tensor(cursor: _Cursor, name: str) -> Tensor:
    shape = [cursor.integer("I") for _ in range(cursor.integer("B"))]
    code, size = cursor.integer("B"), cursor.integer("I")
    if code >= len(DTYPES) or size != math.prod(shape) * DTYPES[code].itemsize:
        facts = f"{name!r} has type {code}, shape {shape}, {size} bytes"
        raise InputError(f"{cursor.path}: damaged: {facts}; download it again")
    start = cursor.take(size)
    count = math.prod(shape)
    if count == 0:
        return torch.empty(shape, dtype=DTYPES[code])
    return torch.frombuffer(cursor.data, dtype=DTYPES[code], count=count, offset=start).reshape(shape)


class _Block:
    """Tensors under one prefix of the CTranslate2 names; a missing tensor raises ``InputError``."""

    def __init__(self, path: Path, tensors: dict[str, Tensor], prefix: str = ""):
        self.path, self.tensors, self.prefix = path, tensors, prefix

    def __getitem__(self, name: str) -> Tensor:
        name = self.prefix + name
        if name not in self.tensors:
            raise InputError(f"{self.path}: no tensor {name!r}: not a Whisper model, or of an unknown layout")
        return self.tensors[name]

    def under(self, prefix: str) -> _Block:
        return _Block(self.path, self.tensors, f"{self.prefix}{prefix}/")

    def layers(self) -> list[_Block]:
        pattern = re.compile(re.escape(self.prefix) + r"layer_(\d+)/")
        numbers = {int(match[1]) for match in map(pattern.match, self.tensors) if match}
        return [self.under(f"layer_{number}") for number in range(len(numbers))]

    def linear(self) -> dict[str, Tensor]:
        """Return weight and bias of a linear or convolution layer; int8 weights are round(weight x row scale)."""
        weight = self["weight"]
        if weight.dtype == torch.int8:
            scale = self["weight_scale"].float().reshape(-1, *[1] * (weight.ndim - 1))  # (out,) -> (out, 1, ...)
            weight = weight.float() / scale
        return {"weight": weight, "bias": self["bias"]}

    def norm(self) -> dict[str, Tensor]:
        return {"weight": self["gamma"], "bias": self["beta"]}


def _attention(block: _Block, ours: str, norm: str, cross: bool) -> dict[str, Tensor]:
    """Convert an attention layer; CTranslate2 packs the projections, and stores zeros for the bias that keys lack."""
    packs = [("q",), ("k", "v")] if cross else [("q", "k", "v")]
    weights = {f"{norm}.{name}": tensor for name, tensor in block.under("layer_norm").norm().items()}
    for number, pack in enumerate(packs):
        for kind, tensor in block.under(f"linear_{number}").linear().items():
            for name, part in zip(pack, tensor.chunk(len(pack)), strict=True):  # (3 D, ...) -> 3 x (D, ...)
                if (name, kind) != ("k", "bias"):
                    weights[f"{ours}.{name}_proj.{kind}"] = part
    for kind, tensor in block.under(f"linear_{len(packs)}").linear().items():
        weights[f"{ours}.out_proj.{kind}"] = tensor
    return weights


def _layer(block: _Block, decoder: bool) -> dict[str, Tensor]:
    weights = _attention(block.under("self_attention"), "self_attn", "self_attn_layer_norm", cross=False)
    if decoder:
        weights |= _attention(block.under("attention"), "encoder_attn", "encoder_attn_layer_norm", cross=True)
    feed_forward = block.under("ffn")
    for ours, tensors in (
        ("final_layer_norm", feed_forward.under("layer_norm").norm()),
        ("fc1", feed_forward.under("linear_0").linear()),
        ("fc2", feed_forward.under("linear_1").linear()),
    ):
        weights |= {f"{ours}.{kind}": tensor for kind, tensor in tensors.items()}
    return weights


def whisper_weights(model_bin: str | Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Convert a Whisper model to transformers' names.

    Returns:
        The sizes as arguments of ``WhisperConfig``, and the state dict of
        ``WhisperForConditionalGeneration``, with ``proj_out`` (tied to the token embeddings) included.

    Raises:
        InputError: The file cannot be read, or holds another kind of model.
    """
    path = Path(model_bin)
    specification, tensors = read_ctranslate2(path)
    if specification != "WhisperSpec":
        raise InputError(f"{path}: a CTranslate2 model of kind {specification!r}, expected 'WhisperSpec'")
    encoder, decoder = _Block(path, tensors).under("encoder"), _Block(path, tensors).under("decoder")
    if decoder["activation"].tolist() != GELU:
        raise InputError(f"{path}: activation {decoder['activation'].tolist()}, not GELU ({GELU}): not a Whisper model")

    weights = {"model.decoder.embed_tokens.weight": decoder["embeddings/weight"]}
    weights["proj_out.weight"] = weights["model.decoder.embed_tokens.weight"]
    for name in ("conv1", "conv2"):
        weights |= {f"model.encoder.{name}.{kind}": t for kind, t in encoder.under(name).linear().items()}
    sizes: dict[str, Any] = {}
    for side, block in (("encoder", encoder), ("decoder", decoder)):
        weights[f"model.{side}.embed_positions.weight"] = block["position_encodings/encodings"]
        weights |= {f"model.{side}.layer_norm.{kind}": t for kind, t in block.under("layer_norm").norm().items()}
        layers = block.layers()
        for number, layer in enumerate(layers):
            prefix = f"model.{side}.layers.{number}"
            weights |= {f"{prefix}.{name}": tensor for name, tensor in _layer(layer, side == "decoder").items()}
        sizes |= {
            f"{side}_layers": len(layers),
            f"{side}_attention_heads": int(block["num_heads"]),
            f"{side}_ffn_dim": len(block["layer_0/ffn/linear_0/bias"]),
        }
    model_dim, mel_bins = weights["model.encoder.conv1.weight"].shape[:2]
    sizes |= {
        "d_model": model_dim,
        "num_mel_bins": mel_bins,
        "vocab_size": len(weights["model.decoder.embed_tokens.weight"]),
        "max_source_positions": len(weights["model.encoder.embed_positions.weight"]),
        "max_target_positions": len(weights["model.decoder.embed_positions.weight"]),
    }
    return sizes, weights


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({error}); it belongs beside model.bin, download it again") from error


def _special_tokens(path: Path) -> dict[str, int]:
    tokens = {token["content"]: token["id"] for token in _read_json(path).get("added_tokens", [])}
    for name in ("endoftext", "startoftranscript", "transcribe", "translate", "notimestamps"):
        if f"<|{name}|>" not in tokens:
            raise InputError(f"{path}: no token <|{name}|>: not a Whisper tokenizer")
    return tokens


def _generation_settings(tokens: dict[str, int], hints: dict[str, Any], vocab_size: int) -> dict[str, Any]:
    """Return settings of transformers' ``generate`` from Whisper's special tokens (content -> id)."""
    settings: dict[str, Any] = {
        "no_timestamps_token_id": tokens["<|notimestamps|>"],
        "suppress_tokens": hints.get("suppress_ids"),
        "begin_suppress_tokens": hints.get("suppress_ids_begin"),
        "alignment_heads": hints.get("alignment_heads"),
        # OpenAI's rule (whisper/model.py): English-only models have one token fewer, but have the language tokens.
        "is_multilingual": vocab_size >= 51865,
    }
    if settings["is_multilingual"]:
        settings["task_to_id"] = {task: tokens[f"<|{task}|>"] for task in ("transcribe", "translate")}
        languages = set(hints.get("lang_ids", []))
        settings["lang_to_id"] = {token: number for token, number in tokens.items() if number in languages}
    return settings


def convert_whisper(model_bin: str | Path, folder: str | Path) -> None:
    """Convert ``model_bin`` with the ``config.json`` and ``tokenizer.json`` beside it to a Hugging Face folder.

    Raises:
        InputError: A file is missing or damaged.
    """
    from transformers import (
        GenerationConfig,
        WhisperConfig,
        WhisperFeatureExtractor,
        WhisperForConditionalGeneration,
        WhisperTokenizer,
    )

    model_bin, folder = Path(model_bin), Path(folder)
    try:
        sizes, weights = whisper_weights(model_bin)
        tokens = _special_tokens(model_bin.with_name("tokenizer.json"))
        ids: dict[str, Any] = dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"), tokens["<|endoftext|>"])
        ids["decoder_start_token_id"] = tokens["<|startoftranscript|>"]
        with torch.device("meta"):  # names and shapes only: the weights are assigned, not copied
            model = WhisperForConditionalGeneration(WhisperConfig(**sizes, **ids))
        model.load_state_dict(weights, assign=True)
    except InputError:
        raise
    except (RuntimeError, ValueError, TypeError, ArithmeticError) as error:  # contradictory sizes
        raise InputError(f"{model_bin}: not a Whisper model: {' '.join(str(error).split())[:200]}") from error
    hints = _read_json(model_bin.with_name("config.json"))
    model.tie_weights()
    model.config.dtype = weights["model.encoder.conv1.weight"].dtype
    model.generation_config = GenerationConfig(
        **ids, max_length=sizes["max_target_positions"], **_generation_settings(tokens, hints, sizes["vocab_size"])
    )
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    WhisperFeatureExtractor(feature_size=sizes["num_mel_bins"]).save_pretrained(folder)
    WhisperTokenizer.from_pretrained(model_bin.parent).save_pretrained(folder)
