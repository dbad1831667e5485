"""Codec parsing: sampling rate, bitrate and number of quantizers of the codec that made an utterance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from spooftrace.common.errors import InputError
from spooftrace.datadir import DataDir
from spooftrace.tasks.base import Task, format_table

COLUMNS = ("khz", "kbps", "quantizers")
UNKNOWN = "-"


class Parsing(Task):
    """kHz, kbit/s and number of quantizers by regression: the sum of three mean squared errors.

    Outputs (B, 3) are targets standardised by the mean and standard deviation of the training set, which gives them
    equal weights; scores are in natural units. Unknown values (``-`` in ``utt2nac``) are ignored.

    Source: Chetia Phukan et al., arXiv 2506.12627 (NACSP, HYDRA). The paper does not define the scale of the targets;
    its errors are in natural units, like ours.

    >>> task = Parsing()
    >>> task.fit([(16.0, 2.0, 4.0), (24.0, 6.0, 8.0)])
    >>> task.scores(torch.tensor([[0.0, 1.0, -1.0]]))
    tensor([[20.,  6.,  4.]])
    """

    label_file = "utt2nac"
    num_outputs = len(COLUMNS)
    selects_by = ("dev_rmse",)
    mean: Tensor
    deviation: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(len(COLUMNS)))
        self.register_buffer("deviation", torch.ones(len(COLUMNS)))

    def target(self, label: str) -> tuple[float, ...]:
        try:
            values = tuple(float("nan") if field == UNKNOWN else float(field) for field in label.split())
        except ValueError:
            values = ()
        if len(values) != len(COLUMNS):
            raise InputError(f"'{label}' is not kHz, kbit/s and quantizers ('{UNKNOWN}' where unknown)")
        if np.isnan(values).all():
            raise InputError("no codec parameters to predict")
        return values

    def targets(self, data: DataDir) -> list[Any]:
        self._refuse_without_parameters(data)
        return super().targets(data)

    def _refuse_without_parameters(self, data: DataDir) -> None:
        """Raise ``InputError`` for an utterance without parameters: bona fide, or of no or an unknown codec."""
        nac, labels = data.table(self.label_file), data.tables.get("utt2label", {})
        codecs = data.tables.get("utt2codec", {})
        for number, utt in enumerate(data.utts, 1):
            if set(nac[utt].split()) != {UNKNOWN}:
                continue
            where = f"{data.path / self.label_file}:{number}: {utt}"
            if labels.get(utt) == "bonafide":
                advice = "only codec speech has parameters: subset_data_dir.sh --where utt2label=spoof leaves it out"
                raise InputError(f"{where} is bona fide; {advice}")
            codec = codecs.get(utt, UNKNOWN)
            if codec == UNKNOWN:
                raise InputError(f"{where} was made by no codec; leave it out of the data directory")
            row = f"{codec}: {{khz: ..., kbps: ..., quantizers: ...}}"
            raise InputError(f"{where}: codec '{codec}' has no parameters; add '{row}' to conf/codecs.yaml and prepare")

    def check(self, targets: Sequence[Any], where: Path) -> None:
        """Accept any targets: only those of the training set must vary, see ``fit``."""

    def fit(self, targets: Sequence[Any]) -> None:
        """Set mean and standard deviation of the training set; raise ``InputError`` for a constant target."""
        values = np.array(targets, np.float64)  # (N, 3)
        for column, name in enumerate(COLUMNS):
            known = values[~np.isnan(values[:, column]), column]
            if known.size == 0 or np.ptp(known) == 0:
                what = f"always {known[0]:g}" if known.size else "never known"
                raise InputError(
                    f"{self.label_file} of the training set: {name} is {what} and cannot be learned; "
                    "train on codecs that differ in it"
                )
        self.mean = torch.tensor(np.nanmean(values, 0), dtype=torch.float32)
        self.deviation = torch.tensor(np.nanstd(values, 0), dtype=torch.float32)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        standardised = (targets.to(outputs.dtype) - self.mean) / self.deviation  # (B, 3)
        known = ~standardised.isnan()
        squares = (outputs - standardised.nan_to_num()).square() * known  # (B, 3)
        return (squares.sum(0) / known.sum(0).clamp(min=1)).sum()  # (B, 3) -> (3,) -> ()

    def scores(self, outputs: Tensor) -> Tensor:
        return outputs * self.deviation + self.mean  # (B, 3)

    def format_scores(self, utts: Sequence[str], scores: np.ndarray) -> list[str]:
        return format_table(COLUMNS, utts, scores)

    def dev_metrics(self, scores: np.ndarray, targets: np.ndarray) -> Mapping[str, float]:
        """Compute ``dev_rmse``, the mean over the standardised targets, and the RMSE of each target in its unit."""
        rmse = np.sqrt(np.nanmean((scores.astype(np.float64) - targets) ** 2, axis=0))  # (N, 3) -> (3,)
        each = {f"dev_rmse_{name}": float(value) for name, value in zip(COLUMNS, rmse, strict=True)}
        return {"dev_rmse": float(np.nanmean(rmse / self.deviation.cpu().numpy())), **each}
