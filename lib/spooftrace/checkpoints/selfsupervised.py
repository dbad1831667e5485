"""Checkpoints of self-supervised speech models, whoever wrote them -> a folder that transformers loads.

Families differ in the names of their tensors, not in the network: each has a module with the names. The settings come
from the checkpoint where it has them, else from the shapes; what neither tells is assumed as in the released models,
and said.
"""

from __future__ import annotations

import ast
import hashlib
import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from spooftrace.atomic import fsync_folder
from spooftrace.checkpoints import fairseq_wav2vec2, torchaudio_wav2vec2, unilm_wavlm
from spooftrace.checkpoints.restricted import read_checkpoint
from spooftrace.errors import InputError


@dataclass(frozen=True)
class Family:
    """Who names tensors how: ``mark`` is a tensor that only this family has."""

    mark: str
    rename: Callable[[Mapping[str, Tensor]], dict[str, Tensor]]
    left_out: tuple[str, ...]


FAMILIES = {  # The first whose mark is there: WavLM has fairseq's names and more.
    "unilm": Family(
        unilm_wavlm.MARK, partial(fairseq_wav2vec2.renamed, names=unilm_wavlm.NAMES), fairseq_wav2vec2.LEFT_OUT
    ),
    "fairseq": Family(fairseq_wav2vec2.MARK, fairseq_wav2vec2.renamed, fairseq_wav2vec2.LEFT_OUT),
    "torchaudio": Family(torchaudio_wav2vec2.MARK, torchaudio_wav2vec2.renamed, torchaudio_wav2vec2.LEFT_OUT),
}
# What --format may say, and the families that it covers: s3prl keeps the names of what it wraps.
FORMATS = {"fairseq": ("fairseq",), "unilm": ("unilm",), "s3prl": ("fairseq", "unilm"), "torchaudio": ("torchaudio",)}
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


@dataclass(frozen=True)
class Imported:
    """What was made of a checkpoint."""

    family: str
    model_type: str
    parameters: int
    sha256: str
    left_out: list[str]
    assumed: list[str]
    normalize: bool | None


def import_checkpoint(file: str | Path, folder: str | Path, format: str | None = None) -> Imported:
    """Writes ``file`` as a Hugging Face folder: config.json, model.safetensors, source.json, preprocessor_config.json.

    The last one says whether waves are normalised, and is left out where the checkpoint does not tell.

    Args:
        file: checkpoint of fairseq (wav2vec 2.0, XLS-R, MMS, HuBERT), unilm (WavLM), s3prl or torchaudio, or of a
            system that holds one of those under a prefix.
        folder: where to write, whole or not at all.
        format: one of ``FORMATS`` that it has to be; None: whichever it is.

    Raises:
        InputError: ``folder`` exists or cannot be written; ``file`` is damaged, asks for code, or is another model.
    """
    from safetensors import SafetensorError
    from transformers import Wav2Vec2FeatureExtractor

    file, folder = Path(file), Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder}: exists already; remove it or choose another --out")
    content = read_checkpoint(file)
    family, weights, left_out = find_weights(content, file, format)
    told = fairseq_wav2vec2.settings(content)
    try:
        model, assumed = _build(weights, told, left_out)
    except KeyError as error:
        raise InputError(f"{file}: no tensor {error.args[0]}: a model of another architecture") from error
    except Exception as error:  # Settings and shapes can contradict each other anywhere in transformers.
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{file}: its sizes do not fit together: {reason}") from error
    _check_names(model, weights, file)
    _check_finite(weights, file)
    model.load_state_dict({name: tensor.float().contiguous() for name, tensor in weights.items()}, assign=True)
    normalize = told.get("normalize")
    result = Imported(
        family=family,
        model_type=model.config.model_type,
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        sha256=_sha256(file),
        left_out=[f"{part} ({_tensors(count)})" for part, count in Counter(map(_part, left_out)).items()],
        assumed=assumed,
        normalize=normalize if isinstance(normalize, bool) else None,
    )
    folder.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        model.save_pretrained(work)
        if result.normalize is not None:
            Wav2Vec2FeatureExtractor(do_normalize=result.normalize).save_pretrained(work)
        source = {"file": file.name, "sha256": result.sha256, "family": family, "left_out": result.left_out}
        (work / "source.json").write_text(json.dumps(source | {"assumed": assumed}, indent=2) + "\n", encoding="utf-8")
        work.chmod(0o755)  # mkdtemp's folders and safetensors' files are for their owner alone.
        for path in work.iterdir():
            path.chmod(0o644)
        work.rename(folder)
        fsync_folder(folder.parent)
    except SafetensorError as error:  # Its kind of OSError.
        raise InputError(f"{folder}: cannot be written ({error}); make room and run it again") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return result


def find_weights(content: Any, file: Path, format: str | None = None) -> tuple[str, dict[str, Tensor], list[str]]:
    """The model inside a checkpoint's content.

    Returns:
        Its family, its tensors under transformers' names, and the names of those that were left out.

    Raises:
        InputError: there is none, or it is not of ``format``.
    """
    state = content if isinstance(content, dict) else {}
    for key in ("model", "model_weight", "state_dict", "model_state_dict"):
        if isinstance(state.get(key), dict):
            state = state[key]
    state = {name: tensor for name, tensor in state.items() if isinstance(tensor, Tensor)}
    for family, layout in FAMILIES.items():
        prefixes = [name[: -len(layout.mark)] for name in state if f".{name}".endswith(f".{layout.mark}")]
        if len(prefixes) > 1:
            raise InputError(f"{file}: holds {len(prefixes)} such models, under {', '.join(prefixes)}: which one?")
        if not prefixes:
            continue
        if format is not None and family not in FORMATS[format]:
            raise InputError(f"{file}: is of format {family}, not {format}")
        (prefix,) = prefixes
        inside = {name[len(prefix) :]: tensor for name, tensor in state.items() if name.startswith(prefix)}
        left_out = [name for name in state if not name.startswith(prefix)]
        left_out += [name for name in inside if name.startswith(layout.left_out)]
        kept = {name: tensor for name, tensor in inside.items() if not name.startswith(layout.left_out)}
        return family, layout.rename(kept), left_out
    some = f", only {', '.join(list(state)[:3])}, ..." if state else ""
    raise InputError(f"{file}: no weights of wav2vec 2.0, HuBERT or WavLM in it{some}")


def _build(weights: Mapping[str, Tensor], told: Mapping[str, Any], left_out: list[str]) -> tuple[Any, list[str]]:
    """The transformers model, without memory for its weights, and what had to be assumed about it."""
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
        sizes["conv_stride"] = [stride for _, _, stride in _convolutions(told["conv_feature_layers"])]
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


def _convolutions(text: str | list[Any]) -> list[list[int]]:
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


def _check_names(model: torch.nn.Module, weights: Mapping[str, Tensor], file: Path) -> None:
    expected = {name: tensor.shape for name, tensor in model.state_dict().items()}
    wrong = {
        "missing": sorted(expected.keys() - weights.keys()),
        "unexpected": sorted(weights.keys() - expected.keys()),
        "of another shape": sorted(n for n in expected.keys() & weights.keys() if expected[n] != weights[n].shape),
    }
    if any(wrong.values()):
        parts = [
            f"{len(names)} {what} ({', '.join(names[:5])}{', ...' if len(names) > 5 else ''})"
            for what, names in wrong.items()
            if names
        ]
        raise InputError(f"{file}: not a {type(model).__name__}: tensors {'; '.join(parts)}")


def _check_finite(weights: Mapping[str, Tensor], file: Path) -> None:
    wrong = [name for name, tensor in weights.items() if not tensor.isfinite().all()]
    if wrong:
        raise InputError(
            f"{file}: NaN or infinite values in {_tensors(len(wrong))}, first {wrong[0]}; download it again"
        )


def _sha256(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while block := stream.read(1 << 24):
            digest.update(block)
    return digest.hexdigest()


def _part(name: str) -> str:
    return name.split(".")[0]


def _tensors(count: int) -> str:
    return "1 tensor" if count == 1 else f"{count} tensors"
