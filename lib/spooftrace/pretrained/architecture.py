"""Build the transformers network of given weights from their shapes and the settings of the checkpoint."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

CLASSES = {
    "wav2vec2": ("Wav2Vec2Config", "Wav2Vec2Model"),
    "hubert": ("HubertConfig", "HubertModel"),
    "wavlm": ("WavLMConfig", "WavLMModel"),
}
SETTINGS = {  # name in fairseq and unilm -> name in transformers
    "activation_dropout": "activation_dropout",
    "activation_fn": "hidden_act",
    "attention_dropout": "attention_dropout",
    "dropout": "hidden_dropout",
    "dropout_input": "feat_proj_dropout",
    "encoder_attention_heads": "num_attention_heads",
    "encoder_layerdrop": "layerdrop",
    "layer_norm_first": "do_stable_layer_norm",
}
HEADS = {768: 12, 1024: 16, 1280: 16, 1920: 16}  # width of the official models -> attention heads
KERNELS, STRIDES = [10, 3, 3, 3, 3, 2, 2], [5, 2, 2, 2, 2, 2, 2]
MAX_DISTANCE = 800  # of WavLM's relative positions, in every official model


def build_model(
    weights: Mapping[str, Tensor], settings: Mapping[str, Any], left_out: Sequence[str]
) -> tuple[Any, list[str]]:
    """Build a transformers model on the meta device.

    Args:
        weights: Tensors under transformers' names.
        settings: Settings of the checkpoint, {} if it has none.
        left_out: Names of further tensors of the checkpoint, some of which distinguish HuBERT from wav2vec 2.0.

    Returns:
        The model, and a line for each size that is an assumption.

    Raises:
        KeyError: A tensor of every such model is missing.
        ValueError: Neither the settings nor the official models determine a size.
    """
    import transformers

    kind = _kind(weights, settings, left_out)
    sizes = _sizes(weights, settings, kind)
    assumptions = _assumptions(weights, settings, sizes)
    sizes |= {name: value for name, (value, _) in assumptions.items()}
    assumed = [f"{name}: {json.dumps(value)} ({reason})" for name, (value, reason) in assumptions.items()]
    if not settings:
        assumed.append("dropout: transformers' default (only fine-tuning uses it)")
    config_class, model_class = (getattr(transformers, name) for name in CLASSES[kind])
    with torch.device("meta"):  # names and shapes only: the weights are assigned later, not copied
        return model_class(config_class(**sizes)), assumed


def _kind(weights: Mapping[str, Tensor], settings: Mapping[str, Any], left_out: Sequence[str]) -> str:
    """Return ``wavlm``, ``hubert`` or ``wav2vec2``."""
    if "encoder.layers.0.attention.gru_rel_pos_const" in weights:
        return "wavlm"
    name = str(settings.get("_name") or settings.get("arch"))
    return "hubert" if name.startswith("hubert") or "label_embs_concat" in left_out else "wav2vec2"


def _sizes(weights: Mapping[str, Tensor], settings: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """Return arguments of the model's configuration that shapes and settings determine."""
    convolutions: list[Tensor] = []
    while (name := f"feature_extractor.conv_layers.{len(convolutions)}.conv.weight") in weights:
        convolutions.append(weights[name])
    positions = weights["encoder.pos_conv_embed.conv.parametrizations.weight.original1"]  # (D, D / groups, K)
    width = weights["feature_projection.projection.weight"].shape[0]
    sizes: dict[str, Any] = {
        "hidden_size": width,
        "num_hidden_layers": len({name.split(".")[2] for name in weights if name.startswith("encoder.layers.")}),
        "intermediate_size": weights["encoder.layers.0.feed_forward.intermediate_dense.weight"].shape[0],
        "conv_dim": [kernel.shape[0] for kernel in convolutions],
        "conv_kernel": [kernel.shape[2] for kernel in convolutions],
        "conv_bias": "feature_extractor.conv_layers.0.conv.bias" in weights,
        "feat_extract_norm": "layer" if _has_layer_norms(weights) else "group",
        "num_conv_pos_embeddings": positions.shape[2],
        "num_conv_pos_embedding_groups": width // positions.shape[1],
    }
    sizes |= {ours: settings[theirs] for theirs, ours in SETTINGS.items() if settings.get(theirs) is not None}
    if "conv_feature_layers" in settings:
        sizes["conv_stride"] = [stride for _, _, stride in parse_convolutions(settings["conv_feature_layers"])]
    if "masked_spec_embed" not in weights:
        sizes["mask_time_prob"] = 0.0  # without it transformers has no such parameter either
    if kind == "hubert":
        sizes["feat_proj_layer_norm"] = "feature_projection.layer_norm.weight" in weights
    if kind == "wavlm":
        sizes["num_attention_heads"] = weights["encoder.layers.0.attention.gru_rel_pos_const"].shape[1]
        sizes["num_buckets"] = weights["encoder.layers.0.attention.rel_attn_embed.weight"].shape[0]
        if "max_distance" in settings:
            sizes["max_bucket_distance"] = settings["max_distance"]
    return sizes


def _assumptions(
    weights: Mapping[str, Tensor], settings: Mapping[str, Any], sizes: Mapping[str, Any]
) -> dict[str, tuple[Any, str]]:
    """Return the sizes that only the official models determine: name -> value and reason."""
    assumptions: dict[str, tuple[Any, str]] = {}
    width, kernels = sizes["hidden_size"], sizes["conv_kernel"]
    if "num_buckets" in sizes and "max_bucket_distance" not in sizes:
        assumptions["max_bucket_distance"] = (MAX_DISTANCE, "as in every official WavLM")
    if "num_attention_heads" not in sizes:
        if width not in HEADS:
            raise ValueError(f"no official model has {width} features; the number of attention heads is unknown")
        assumptions["num_attention_heads"] = (HEADS[width], f"as in the official models of {width} features")
    if "conv_stride" not in sizes:
        if kernels != KERNELS:
            raise ValueError(f"no official model has convolutions of {kernels}; their strides are unknown")
        assumptions["conv_stride"] = (STRIDES, "as in the official models with these kernels")
    if "do_stable_layer_norm" not in sizes:
        reason = "goes with the norm of the convolutions in the official models"
        assumptions["do_stable_layer_norm"] = (_has_layer_norms(weights), reason)
    return assumptions


def _has_layer_norms(weights: Mapping[str, Tensor]) -> bool:
    return "feature_extractor.conv_layers.1.layer_norm.weight" in weights


def parse_convolutions(text: str | list[Any]) -> list[list[int]]:
    """Parse fairseq's ``[(512,10,5)] + [(512,3,2)] * 4`` into [width, kernel, stride] per layer, without running it.

    Raises:
        ValueError: The text is not a list of (width, kernel, stride).
    """

    def value(node: ast.AST) -> Any:
        if isinstance(node, (ast.List, ast.Tuple)):
            return [value(element) for element in node.elts]
        if isinstance(node, ast.Constant) and isinstance(node.value, int):
            return node.value
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            return value(node.left) + value(node.right)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
            layers, times = value(node.left), value(node.right)
            if isinstance(layers, list) and times < 100 and len(layers) < 100:
                return layers * times
        raise ValueError(f"conv_feature_layers {text!r} is not a list of (width, kernel, stride)")

    return text if isinstance(text, list) else value(ast.parse(text.strip(), mode="eval").body)
