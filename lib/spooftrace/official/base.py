"""What is known about a released checkpoint without reading it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

XLS_R, WAVLM = "facebook/wav2vec2-xls-r-300m", "microsoft/wavlm-large"
BONAFIDE = "higher is more bona fide"
LOGIT = f"the bona fide logit, which is what the official code writes; {BONAFIDE}"
LOG_ODDS = f"the log-odds of bona fide; the official code writes their probability, 1 / (1 + exp(-score)); {BONAFIDE}"
Config = dict[str, Any]


@dataclass(frozen=True)
class OfficialCheckpoint:
    """Checkpoints that one official repository writes for one system.

    Attributes:
        system: What the command line says, as in ``conf/systems``.
        title: The checkpoints, in words.
        repository: Of the official code, on GitHub.
        score: What the system's score is, which way it points, and what the official code writes.
        config: Width and number of layers of the self-supervised model in the file (0 and 0 without one) ->
            what ``spooftrace.config`` needs to build the system. Nothing of it is told by the tensors.
        names: Official name of each tensor of the back-end as a regular expression, and ours; the first that fits
            counts, and a tensor that none fits is unknown.
        left_out: Official name of each tensor that the system does without, as a regular expression, and why.
        training_only: Our name of each tensor that only training uses and no file holds, and what it starts from.
        ssl: Family of the self-supervised model in the file, None where there is none.
        swapped: Our last layer, where the official code has bona fide and spoof the other way round.
        assumed: What the tensors leave open and the official recipe tells.
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
        """Whether the system gives an utterance one score, that of bona fide speech, and nothing else."""
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
    """A configuration; ``stream``, ``backend``, ``optimizer`` and ``task`` are nodes, ``others`` further streams.

    Training is over, but a configuration names its optimizer: it is the official one, a start for fine-tuning.
    """
    return {
        "streams": {"wave" if stream["class_path"] == "Waveform" else "ssl": dict(stream), **(others or {})},
        "backend": dict(backend),
        "task": dict(task or detection("logit")),
        "data": {"crop": crop, "pad": "repeat", "eval_crop": eval_crop},
        "optimizer": dict(optimizer),
    }


def node(class_path: str, **init_args: Any) -> Config:
    """``{class_path: ..., init_args: ...}``."""
    return {"class_path": class_path, "init_args": init_args}


def detection(score: str, class_weight: Sequence[float] = (0.1, 0.9)) -> Config:
    """The task, with the bona fide logit as score or the log-odds (``difference``)."""
    return node("Detection", class_weight=list(class_weight), score=score)


def adam(lr: float, weight_decay: float = 1e-4, name: str = "Adam") -> Config:
    """The optimizer."""
    return node(f"torch.optim.{name}", lr=lr, weight_decay=weight_decay)


def finetuned(model: str, output: str = "last", layers: Sequence[int] = (-1,), normalize: bool = False) -> Config:
    """A self-supervised model whose weights are in the checkpoint; the official code takes waves as they are."""
    return node("HuggingFace", model=model, output=output, layers=list(layers), normalize=normalize, finetune=True)
