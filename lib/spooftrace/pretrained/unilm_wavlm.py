"""unilm's WavLM under transformers' names: those of fairseq, and the gated relative positions."""

from __future__ import annotations

from spooftrace.pretrained import fairseq_wav2vec2

MARK = "encoder.layers.0.self_attn.grep_a"
NAMES = (
    *fairseq_wav2vec2.NAMES,
    (r"encoder\.layers\.(\d+)\.self_attn\.grep_linear\.(.+)", r"encoder.layers.\1.attention.gru_rel_pos_linear.\2"),
    (r"encoder\.layers\.(\d+)\.self_attn\.grep_a", r"encoder.layers.\1.attention.gru_rel_pos_const"),
    # Only layer 0 has it: the other layers add the same bias.
    (r"encoder\.layers\.0\.self_attn\.relative_attention_bias\.(.+)", r"encoder.layers.0.attention.rel_attn_embed.\1"),
)
