"""Nes2Net, Nes2Net-X and Nes2Net-X-SeLU in three code bases of Liu-Tianchi."""

from __future__ import annotations

from functools import partial
from typing import Any, Literal

from spooftrace.official.base import (
    LOGIT,
    WAVLM,
    XLS_R,
    Config,
    OfficialCheckpoint,
    adam,
    config,
    finetuned,
    node,
)

BACKEND = (r"Nested_Res2Net_TDNN\.(.+)", r"\1")
AGGREGATION = (r"ssl_model\.(fc_att_merge\..+)", r"aggregation.\1")


def _dilation(dilation: int) -> str:
    return f"dilation: {dilation} (as in the official recipe)"


def _ctrsvdd(width: int, depth: int, backend: str, **options: Any) -> Config:
    # s3prl's hidden states: the input of each layer and the encoder's output; s3prl also normalises the wave.
    stream = finetuned(WAVLM, "layers", [*range(depth), -1], normalize=True)
    sizes = {"input_dim": width, "num_layers": depth + 1, "num_outputs": 1, "dilation": 1, "aggregation": "sea"}
    task = node("Detection", loss=node("spooftrace.tasks.losses.BinaryFocal"))
    # The official code scores whole recordings.
    return config(stream, node(backend, **sizes, **options), adam(1e-6, name="AdamW"), task, 64000, "full")


def _singing(system: str, title: str, backend: str, **options: Any) -> OfficialCheckpoint:
    return OfficialCheckpoint(
        system=system,
        title=f"{title}, CtrSVDD",
        repository="Liu-Tianchi/Nes2Net",
        score=LOGIT,
        config=partial(_ctrsvdd, backend=backend, **options),
        names=(BACKEND, AGGREGATION),
        ssl="unilm",
        assumed=(_dilation(1), f"activation: {options.get('activation', 'relu')} (Nes2Net-X and -SeLU: same tensors)"),
    )


def _speech(
    title: str, branch: str, ssl: Literal["fairseq", "unilm"], model: str, dilation: int, lr: float
) -> OfficialCheckpoint:
    def settings(width: int, _depth: int) -> Config:
        return config(finetuned(model), node("Nes2NetX", input_dim=width, dilation=dilation), adam(lr))

    return OfficialCheckpoint(
        system="nes2net_x",
        title=title,
        repository=f"Liu-Tianchi/Nes2Net_ASVspoof_ITW, branch {branch}",
        score=LOGIT,
        config=settings,
        names=(BACKEND,),
        ssl=ssl,
        assumed=(_dilation(dilation),),
    )


CHECKPOINTS = (
    _speech("Nes2Net-X, ASVspoof 2019 and 2021", "main", "fairseq", XLS_R, 2, 2.5e-7),
    _speech("Nes2Net-X, ASVspoof 5", "asvspoof5", "unilm", WAVLM, 1, 1e-6),
    _singing("nes2net", "Nes2Net", "Nes2Net"),
    _singing("nes2net_x", "Nes2Net-X", "Nes2NetX"),
    _singing("nes2net_x_selu", "Nes2Net-X-SeLU", "Nes2NetX", activation="selu"),
)
