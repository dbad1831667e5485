"""W2V2-AASIST on the fine-tuned XLS-R 300M (TakHemlata/SSL_Anti-spoofing)."""

from __future__ import annotations

from spooftrace.official.base import LOGIT, XLS_R, Config, OfficialCheckpoint, adam, config, finetuned, node


def _config(width: int, _depth: int) -> Config:
    return config(finetuned(XLS_R), node("W2V2AASIST", input_dim=width), adam(1e-6))


CHECKPOINTS = (
    OfficialCheckpoint(
        system="w2v2_aasist",
        title="W2V2-AASIST, LA and DF",
        repository="TakHemlata/SSL_Anti-spoofing",
        score=LOGIT,
        config=_config,
        ssl="fairseq",
    ),
)
