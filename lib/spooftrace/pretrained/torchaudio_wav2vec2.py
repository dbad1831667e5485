"""State dicts of torchaudio's Wav2Vec2Model (wav2vec 2.0, HuBERT, WavLM) under transformers' names."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from spooftrace.pretrained import fairseq_wav2vec2

MARK = "encoder.transformer.pos_conv_embed.conv.bias"
NAMES = (
    (r"mask_generator\.mask_embedding", r"masked_spec_embed"),
    (r"encoder\.feature_projection\.(.+)", r"feature_projection.\1"),
    (r"encoder\.transformer\.(.+\.conv\.)weight_g", r"encoder.\1parametrizations.weight.original0"),
    (r"encoder\.transformer\.(.+\.conv\.)weight_v", r"encoder.\1parametrizations.weight.original1"),
    (r"encoder\.transformer\.(.+)\.attention\.attention\.out_proj\.(.+)", r"encoder.\1.attention.out_proj.\2"),
    (r"encoder\.transformer\.(.+)", r"encoder.\1"),
)
LEFT_OUT = ("aux.", "logit_generator.")
PACKED = "attention.attention.in_proj_"  # WavLM's queries, keys and values in one matrix


def renamed(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """``weights`` under transformers' names, packed projections apart; what no rule knows keeps its name."""
    apart = {}
    for name, tensor in weights.items():
        layer, packed, kind = name.partition(PACKED)
        parts = zip("qkv", tensor.chunk(3), strict=True) if packed else ()  # (3 D, ...) -> 3 x (D, ...)
        apart |= {f"{layer}attention.{part}_proj.{kind}": one for part, one in parts} or {name: tensor}
    return fairseq_wav2vec2.renamed(apart, NAMES)
