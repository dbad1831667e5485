"""Descriptions of official checkpoints: settings that their tensors lack."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

XLS_R, WAVLM = "facebook/wav2vec2-xls-r-300m", "microsoft/wavlm-large"
BONAFIDE = "higher is more bona fide"
LOGIT = f"the bona fide logit, the score of the official code; {BONAFIDE}"
LOG_ODDS = f"the log-odds of bona fide; the official code writes their probability, 1 / (1 + exp(-score)); {BONAFIDE}"
Config = dict[str, Any]


@dataclass(frozen=True)
class OfficialCheckpoint:
    """Checkpoints of one system from one official repository.

    Attributes:
        system: Name on the command line, as in ``conf/systems``.
        title: Title in reports.
        repository: Repository of the official code on GitHub.
        score: Description of the score, its direction, and the score that the official code writes.
        config: Maps width and number of layers of the self-supervised model in the file (0 and 0 without one) to the
            configuration of the system.
        names: Official names of back-end tensors as regular expressions, with our names; the first match counts, and
            tensors without a match are unknown.
        left_out: Official names, as regular expressions, of tensors that the system does not need, with the reason.
        training_only: Our names of tensors that only training uses and no file holds, with initial values.
        ssl: Family of the self-supervised model in the file, None without one.
        swapped: Name of our last layer if the official code has bona fide and spoof in the opposite order.
        assumed: Settings of the official recipe that the tensors do not determine.
    """

    system: str
    title: str
    repository: str
    score: str
    config: Callable[[int, int], Config]
    names: Sequence[tuple[str, str]] = ((r"(.+)", r"\1"),)
    left_out: Sequence[tuple[str, str]] = ()
    training_only: Sequence[tuple[str, Sequence[float]]] = ()
    ssl: Literal["fairseq", "unilm"] | None = None
    swapped: str | None = None
    assumed: Sequence[str] = ()

    @property
    def detects(self) -> bool:
        """Whether the only output of the system is a bona fide score."""
        task = self.config(0, 0)["task"]
        return task["class_path"] == "Detection" or task["init_args"].get("table") == "utt2label"


def config(
    stream: Mapping[str, Any],
    backend: Mapping[str, Any],
    optimizer: Mapping[str, Any],
    task: Mapping[str, Any] | None = None,
    crop: int = 64600,
    eval_crop: Literal["first", "full"] = "first",
    others: Mapping[str, Any] | None = None,
) -> Config:
    """Build a configuration; ``stream``, ``backend``, ``optimizer`` and ``task`` are nodes, ``others`` further streams.

    The optimizer is the official one, for fine-tuning.
    """
    return {
        "streams": {"wave" if stream["class_path"] == "Waveform" else "ssl": dict(stream), **(others or {})},
        "backend": dict(backend),
        "task": dict(task or detection("logit")),
        "data": {"crop": crop, "pad": "repeat", "eval_crop": eval_crop},
        "optimizer": dict(optimizer),
    }


def node(class_path: str, **init_args: Any) -> Config:
    """Build ``{class_path: ..., init_args: ...}``."""
    return {"class_path": class_path, "init_args": init_args}


def detection(score: str, class_weight: Sequence[float] = (0.1, 0.9)) -> Config:
    """Build a detection task whose score is the bona fide logit or the log-odds (``difference``)."""
    return node("Detection", class_weight=list(class_weight), score=score)


def adam(lr: float, weight_decay: float = 1e-4, name: str = "Adam") -> Config:
    """Build an Adam optimizer."""
    return node(f"torch.optim.{name}", lr=lr, weight_decay=weight_decay)


def finetuned(model: str, output: str = "last", layers: Sequence[int] = (-1,), normalize: bool = False) -> Config:
    """Build a stream with a self-supervised model in the checkpoint; most official code does not normalise waves."""
    return node("HuggingFace", model=model, output=output, layers=list(layers), normalize=normalize, finetune=True)
