"""W2V2-AASIST on the fine-tuned XLS-R 300M (TakHemlata/SSL_Anti-spoofing), and CodecFake+'s binary baseline."""

from __future__ import annotations

from spooftrace.checkpoints.releases.base import (
    LOG_ODDS,
    LOGIT,
    XLS_R,
    Config,
    Release,
    adam,
    config,
    detection,
    finetuned,
    node,
)


def _config(width: int, _depth: int, score: str = "logit") -> Config:
    return config(finetuned(XLS_R), node("W2V2AASIST", input_dim=width), adam(1e-6), detection(score))


RELEASES = (
    Release(
        system="w2v2_aasist",
        title="W2V2-AASIST, LA and DF",
        repository="TakHemlata/SSL_Anti-spoofing",
        trained_on="ASVspoof 2019 LA",
        score=LOGIT,
        config=_config,
        ssl="fairseq",
    ),
    Release(
        system="w2v2_aasist",
        title="S_BIN of CodecFake+",
        repository="ResponsibleGenAI/CodecFake-Source-Tracing",
        trained_on="CodecFake+ (CoRS)",
        score=LOG_ODDS,
        config=lambda width, depth: _config(width, depth, "difference"),
        # The graph part is a branch there, beside those of other tasks in other models.
        names=((r"binary_branch\.(.+)", r"\1"), (r"((?:LL|first_bn1?|encoder|attention)\..+)", r"\1")),
        ssl="fairseq",
    ),
)
