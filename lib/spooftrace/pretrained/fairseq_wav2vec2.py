"""fairseq's wav2vec 2.0, XLS-R, MMS and HuBERT under transformers' names."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

MARK = "encoder.pos_conv.0.bias"  # in every checkpoint of this family, and of no other
# (fairseq's name as a regular expression, transformers' name); the first match counts.
NAMES = (
    (r"mask_emb", r"masked_spec_embed"),
    (r"(feature_extractor\.conv_layers\.\d+)\.0\.(.+)", r"\1.conv.\2"),
    # A LayerNorm per layer is inside another block; the GroupNorm of layer 0 is not.
    (r"(feature_extractor\.conv_layers\.\d+)\.2\.(?:1\.)?(weight|bias)", r"\1.layer_norm.\2"),
    (r"post_extract_proj\.(.+)", r"feature_projection.projection.\1"),
    (r"layer_norm\.(.+)", r"feature_projection.layer_norm.\1"),
    # Newer versions of torch keep a weight norm under parametrizations.
    (
        r"encoder\.pos_conv\.0\.(?:weight_g|parametrizations\.weight\.original0)",
        r"encoder.pos_conv_embed.conv.parametrizations.weight.original0",
    ),
    (
        r"encoder\.pos_conv\.0\.(?:weight_v|parametrizations\.weight\.original1)",
        r"encoder.pos_conv_embed.conv.parametrizations.weight.original1",
    ),
    (r"encoder\.pos_conv\.0\.bias", r"encoder.pos_conv_embed.conv.bias"),
    (r"encoder\.layers\.(\d+)\.self_attn_layer_norm\.(.+)", r"encoder.layers.\1.layer_norm.\2"),
    (r"encoder\.layers\.(\d+)\.self_attn\.([kvq]|out)_proj\.(.+)", r"encoder.layers.\1.attention.\2_proj.\3"),
    (r"encoder\.layers\.(\d+)\.fc1\.(.+)", r"encoder.layers.\1.feed_forward.intermediate_dense.\2"),
    (r"encoder\.layers\.(\d+)\.fc2\.(.+)", r"encoder.layers.\1.feed_forward.output_dense.\2"),
    (r"(encoder\.layers\.\d+\.final_layer_norm\..+)", r"\1"),
    (r"(encoder\.layer_norm\..+)", r"\1"),
)
# Parts for pre-training or speech recognition.
LEFT_OUT = ("quantizer.", "project_q.", "final_proj.", "label_embs_concat", "input_quantizer.", "target_glu.")


def renamed(weights: Mapping[str, Tensor], names: Sequence[tuple[str, str]] = NAMES) -> dict[str, Tensor]:
    """Rename ``weights`` to transformers' names; names without a rule stay unchanged."""
    patterns = [(re.compile(theirs), ours) for theirs, ours in names]
    result = {}
    for name, tensor in weights.items():
        rule = next(((theirs, ours) for theirs, ours in patterns if theirs.fullmatch(name)), None)
        result[rule[0].sub(rule[1], name) if rule else name] = tensor
    return result


def settings(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of the pre-trained model in a checkpoint's content; {} if it has none.

    They are in ``args`` (older fairseq), in ``cfg`` (unilm), in ``cfg`` under ``model`` and ``task`` (newer fairseq),
    or in ``model_cfg`` and ``task_cfg`` (s3prl). A fine-tuned model repeats the settings of its pre-trained model.
    """
    outer = content.get("cfg") or content.get("args") or content.get("model_cfg") or {}
    task = content.get("task_cfg") or outer.get("task")
    model = outer["model"] if isinstance(outer.get("model"), dict) else outer
    if pretrained := model.get("w2v_args"):
        return settings({"cfg": pretrained})
    result = dict(model)
    if isinstance(task, dict) and "normalize" in task:
        result["normalize"] = task["normalize"]
    # '${task.normalize}' refers to a value that was read from its own place above.
    return {key: value for key, value in result.items() if not (isinstance(value, str) and value.startswith("${"))}
