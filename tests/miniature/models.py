"""Pretrained models in miniature: the released architectures, layer for layer, with few numbers each, and random.

They lie in one folder under the names that the released ones have there, so that ``SPOOFTRACE_MODELS`` is all that a
system needs to take them.
"""

from __future__ import annotations

from pathlib import Path

import torch

WIDTH = 64  # of the layers; Nes2Net divides its input into 8 x 8 parts
CODEC_WIDTH = 16
SSL = {
    "hidden_size": WIDTH, "num_hidden_layers": 24, "num_attention_heads": 4, "intermediate_size": 32,
    "conv_dim": [8] * 7, "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 4,
    "feat_extract_norm": "layer", "do_stable_layer_norm": True,
}  # fmt: skip
SSL_BASE = SSL | {"num_hidden_layers": 12, "feat_extract_norm": "group", "do_stable_layer_norm": False}
WHISPER = {
    "d_model": WIDTH, "encoder_layers": 6, "encoder_attention_heads": 4, "encoder_ffn_dim": 32, "decoder_layers": 1,
    "decoder_attention_heads": 4, "decoder_ffn_dim": 32, "vocab_size": 8, "pad_token_id": 0, "bos_token_id": 1,
    "eos_token_id": 2, "decoder_start_token_id": 1, "max_target_positions": 4,
}  # fmt: skip
ENCODEC = {"num_filters": 2, "hidden_size": CODEC_WIDTH, "codebook_dim": CODEC_WIDTH, "num_lstm_layers": 1}
# name -> transformers' class, its configuration
MODELS = {
    "wav2vec2-xls-r-300m": ("Wav2Vec2", SSL | {"conv_bias": True}),
    "wav2vec2-base": ("Wav2Vec2", SSL_BASE),
    "wavlm-large": ("WavLM", SSL),
    "whisper-base": ("Whisper", WHISPER),
    "whisper-small": ("Whisper", WHISPER | {"encoder_layers": 2}),  # of 12: it is given 30 s of each utterance
    "encodec_24khz": ("Encodec", ENCODEC),
}


def save_models(folder: Path) -> None:
    """Write every model to ``folder/<name>`` as the hub has it: weights, their configuration, that of the input."""
    import transformers

    for name, (kind, settings) in MODELS.items():
        torch.manual_seed(0)
        config = getattr(transformers, f"{kind}Config")(**settings)
        model = getattr(transformers, f"{kind}Model")(config)
        if kind == "Encodec":
            for layer in model.quantizer.layers:
                torch.nn.init.normal_(layer.codebook.embed)  # zeros in a new model: every code would be the first
        model.save_pretrained(folder / name)
        if kind in ("Wav2Vec2", "WavLM"):
            (folder / name / "preprocessor_config.json").write_text('{"do_normalize": true}')
