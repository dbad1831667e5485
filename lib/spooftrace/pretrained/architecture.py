"""The network that tensors under transformers' names are the weights of: its sizes from their shapes and settings."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

CLASSES = {
    "wav2vec2": ("Wav2Vec2Config", "Wav2Vec2Model"),
    "hubert": ("HubertConfig", "HubertModel"),
    "wavlm": ("WavLMConfig", "WavLMModel"),
}
SETTINGS = {  # fairseq's and unilm's name -> transformers'
    "activation_dropout": "activation_dropout",
    "activation_fn": "hidden_act",
    "attention_dropout": "attention_dropout",
    "dropout": "hidden_dropout",
    "dropout_input": "feat_proj_dropout",
    "encoder_attention_heads": "num_attention_heads",
    "encoder_layerdrop": "layerdrop",
    "layer_norm_first": "do_stable_layer_norm",
}
HEADS = {768: 12, 1024: 16, 1280: 16, 1920: 16}  # width of the released models -> attention heads
KERNELS, STRIDES = [10, 3, 3, 3, 3, 2, 2], [5, 2, 2, 2, 2, 2, 2]
MAX_DISTANCE = 800  # of WavLM's relative positions, in every released model


def build(weights: Mapping[str, Tensor], told: Mapping[str, Any], left_out: list[str]) -> tuple[Any, list[str]]:
    """The transformers model, without memory for its weights, and what had to be assumed about it.

    Args:
        weights: The tensors.
        told: Settings of the checkpoint, {} where it has none.
        left_out: Names of further tensors of the checkpoint; some tell HuBERT from wav2vec 2.0.

    Raises:
        KeyError: A tensor that every such model has is not there.
        ValueError: Neither the settings nor the released models tell a size.
    """
    import transformers

    gates = weights.get("encoder.layers.0.attention.gru_rel_pos_const")
    name = str(told.get("_name") or told.get("arch"))
    hubert = name.startswith("hubert") or "label_embs_concat" in left_out
    kind = "wavlm" if gates is not None else "hubert" if hubert else "wav2vec2"
    convolutions = []
    while (name := f"feature_extractor.conv_layers.{len(convolutions)}.conv.weight") in weights:
        convolutions.append(weights[name])
    positions = weights["encoder.pos_conv_embed.conv.parametrizations.weight.original1"]  # (D, D / groups, K)
    width = weights["feature_projection.projection.weight"].shape[0]
    layered = "feature_extractor.conv_layers.1.layer_norm.weight" in weights
    sizes: dict[str, Any] = {
        "hidden_size": width,
        "num_hidden_layers": len({name.split(".")[2] for name in weights if name.startswith("encoder.layers.")}),
        "intermediate_size": weights["encoder.layers.0.feed_forward.intermediate_dense.weight"].shape[0],
        "conv_dim": [one.shape[0] for one in convolutions],
        "conv_kernel": [one.shape[2] for one in convolutions],
        "conv_bias": "feature_extractor.conv_layers.0.conv.bias" in weights,
        "feat_extract_norm": "layer" if layered else "group",
        "num_conv_pos_embeddings": positions.shape[2],
        "num_conv_pos_embedding_groups": width // positions.shape[1],
    }
    sizes |= {ours: told[theirs] for theirs, ours in SETTINGS.items() if told.get(theirs) is not None}
    if "masked_spec_embed" not in weights:
        sizes["mask_time_prob"] = 0.0  # transformers then has none either.
    if kind == "hubert":
        sizes["feat_proj_layer_norm"] = "feature_projection.layer_norm.weight" in weights

    assumed = []

    def assume(name: str, value: Any, why: str) -> None:
        sizes[name] = value
        assumed.append(f"{name}: {json.dumps(value)} ({why})")

    if gates is not None:
        sizes["num_attention_heads"] = gates.shape[1]
        sizes["num_buckets"] = weights["encoder.layers.0.attention.rel_attn_embed.weight"].shape[0]
        if "max_distance" in told:
            sizes["max_bucket_distance"] = told["max_distance"]
        else:
            assume("max_bucket_distance", MAX_DISTANCE, "as in every released WavLM")
    if "num_attention_heads" not in sizes:
        if width not in HEADS:
            raise ValueError(f"no released model has {width} features, so the number of attention heads is unknown")
        assume("num_attention_heads", HEADS[width], f"as in the released models of {width} features")
    if "conv_feature_layers" in told:
        sizes["conv_stride"] = [stride for _, _, stride in convolutions_of(told["conv_feature_layers"])]
    elif sizes["conv_kernel"] == KERNELS:
        assume("conv_stride", STRIDES, "as in the released models with these kernels")
    else:
        raise ValueError(f"no released model has convolutions of {sizes['conv_kernel']}, so their strides are unknown")
    if "do_stable_layer_norm" not in sizes:
        assume("do_stable_layer_norm", layered, "goes with the norm of the convolutions in the released models")
    if not told:
        assumed.append("dropout: transformers' default (only fine-tuning uses it)")

    config_class, model_class = (getattr(transformers, name) for name in CLASSES[kind])
    with torch.device("meta"):  # Names and shapes only: the weights are then put in place, not copied.
        return model_class(config_class(**sizes)), assumed


def convolutions_of(text: str | list[Any]) -> list[list[int]]:
    """(width, kernel, stride) of each layer, from fairseq's ``[(512,10,5)] + [(512,3,2)] * 4``, without running it."""

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
        raise ValueError(f"conv_feature_layers {text!r} is no list of (width, kernel, stride)")

    return text if isinstance(text, list) else value(ast.parse(text.strip(), mode="eval").body)
