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
    """Rename ``weights`` to transformers' names and split packed projections; other names stay unchanged."""
    separate: dict[str, Tensor] = {}
    for name, tensor in weights.items():
        layer, packed, kind = name.partition(PACKED)
        if packed:
            queries, keys, values = tensor.chunk(3)  # (3 D, ...) -> 3 x (D, ...)
            projections = {"q": queries, "k": keys, "v": values}
            separate |= {f"{layer}attention.{part}_proj.{kind}": chunk for part, chunk in projections.items()}
        else:
            separate[name] = tensor
    return fairseq_wav2vec2.renamed(separate, NAMES)
