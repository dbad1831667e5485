"""AASIST and AASIST-L (clovaai/aasist). The files lack the fixed sinc bank; the other names are ours."""

from __future__ import annotations

from typing import Any

from spooftrace.official.base import LOGIT, Config, OfficialCheckpoint, adam, config, node


def _config(**sizes: Any) -> Config:
    return config({"class_path": "Waveform"}, node("AASIST", **sizes), adam(1e-4))


def _checkpoint(system: str, title: str, **sizes: Any) -> OfficialCheckpoint:
    return OfficialCheckpoint(system, title, "clovaai/aasist", LOGIT, lambda _width, _depth: _config(**sizes))


CHECKPOINTS = (
    _checkpoint("aasist", "AASIST"),
    _checkpoint(
        "aasist_l", "AASIST-L", channels=[32, 32, 24, 24, 24, 24], gat_dims=[24, 32], pool_ratios=[0.4, 0.5, 0.7]
    ),
)
