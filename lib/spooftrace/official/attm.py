"""AttM + LSTM on the first layers of WavLM (pandarialTJU/AttM_INTERSPEECH24).

``feat_merge.linear_proj.1.inplace.*`` are weights that no output depends on, in the official model and in ours.
"""

from __future__ import annotations

from spooftrace.official.base import LOGIT, WAVLM, Config, OfficialCheckpoint, adam, config, finetuned, node


def _config(width: int, depth: int) -> Config:
    layers = range(1, depth + 1)  # the official code keeps the first 12, before any final LayerNorm
    backend = node("AttMLSTM", input_dim=width, num_layers=depth)
    return config(finetuned(WAVLM, "layers", layers), backend, adam(1e-4, name="AdamW"))


CHECKPOINTS = (
    OfficialCheckpoint(
        system="attm_lstm",
        title="AttM + LSTM",
        repository="pandarialTJU/AttM_INTERSPEECH24",
        score=LOGIT,
        config=_config,
        ssl="unilm",
    ),
)
