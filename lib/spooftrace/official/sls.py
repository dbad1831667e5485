"""XLS-R + SLS (QiShanZhang/SLSforASVspoof-2021-DF) and its public reproduction, which has the same names."""

from __future__ import annotations

from spooftrace.official.base import LOGIT, XLS_R, Config, OfficialCheckpoint, adam, config, finetuned, node


def _config(width: int, depth: int) -> Config:
    layers = range(1, depth + 1)  # before the final LayerNorm, fairseq's layer_results
    return config(finetuned(XLS_R, "layers", layers), node("SLS", input_dim=width), adam(1e-6))


CHECKPOINTS = (
    OfficialCheckpoint(
        system="sls",
        title="XLS-R + SLS, also its reproduction Yash-Sukhdeve/XLS-R-SLS-Deepfake-Detection",
        repository="QiShanZhang/SLSforASVspoof-2021-DF",
        score=LOGIT.replace("logit", "log-probability"),
        config=_config,
        ssl="fairseq",
    ),
)
