"""A trained system at work on data directories: scores, and embeddings if they are asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from spooftrace.batching.build import make_batches, open_streams
from spooftrace.batching.loader import load
from spooftrace.common.errors import InputError
from spooftrace.system.devices import pick_device
from spooftrace.system.experiment import Experiment
from spooftrace.system.packing import InPrecision, Precision, check_precision, pack
from spooftrace.system.system import StreamShape, System
from spooftrace.tasks import Detection
from spooftrace.tasks.losses import MarginLoss


class Scored(NamedTuple):
    """What a system says of an utterance: its score (1,), or several (K,), and its embedding (D,)."""

    utt: str
    scores: np.ndarray
    embedding: np.ndarray | None = None


class Scorer:
    """The trained system of an experiment, built once for all data directories with streams of the same shapes.

    Nothing is trained any more, so on a CPU the front-ends are packed (``spooftrace.system.packing``), fine-tuned or
    not.

    Args:
        experiment: The experiment; its configuration says how to score.
        num_gpus: 1 to compute on the GPU.
        precision: Of the front-ends, as in stage 3; back-ends compute in float32.
        embeddings: Also compute embeddings.

    Raises:
        InputError: The device is not there, or does not compute in this precision.
    """

    def __init__(
        self,
        experiment: Experiment,
        num_gpus: int = 0,
        precision: Precision = "fp32",
        embeddings: bool = False,
    ) -> None:
        self.experiment, self.config = experiment, experiment.config
        self.precision: Precision = precision
        self.embeddings = embeddings
        self.device = pick_device(num_gpus)
        check_precision(precision, self.device)
        self._shapes: Mapping[str, StreamShape] | None = None
        self._system: System
        self._last_linear: LastLinear | None = None

    def score(self, directory: Path, dump: Path, plan: Sequence[Sequence[str]]) -> Iterator[Scored]:
        """Score the utterances of ``plan``, batch by batch.

        With windows, the score of an utterance is the mean of its windows' scores. The mean of the outputs before they
        become a score would be something else for losses whose score is not linear in them (cosines), while a mean of
        scores lies on the scale of one window's score, so that a threshold keeps its meaning; and it grows neither
        with the number of windows nor with one odd window, as a maximum would. Embeddings are averaged the same way.

        Raises:
            InputError: No trained model, or one of another system; features are missing; an utterance is too short for
                the model; a score is not a finite number.
        """
        # The audio was compared when the origin of these scores was determined.
        cached = open_streams(self.config, dump, directory, check=False)
        system = self._load({name: stream.shape for name, stream in cached.items()})
        batches = make_batches("score", self.config, system, directory, dump, cached)
        utterances = batches.utterances
        place = {utt: index for index, utt in enumerate(utterances.utts)}
        indices = [[place[utt] for utt in batch] for batch in plan]
        options = utterances.options
        for groups in load(utterances, indices, options.eval_batch_size, options.num_workers):
            windows: dict[str, list[tuple[np.ndarray, ...]]] = {}
            for group in groups:
                for utt, *arrays in zip(group["utt"], *self._compute(group, directory), strict=True):
                    windows.setdefault(utt, []).append(tuple(arrays))
            for utt, found in windows.items():
                scores, *embedding = (np.mean(part, axis=0, dtype=np.float64) for part in zip(*found, strict=True))
                if not np.isfinite(scores).all():
                    cause = self._cause(groups)
                    raise InputError(f"{directory}: utterance '{utt}': the score is not a finite number; {cause}")
                yield Scored(utt, *(np.atleast_1d(mean).astype(np.float32) for mean in (scores, *embedding)))

    def _cause(self, groups: Sequence[Mapping[str, Any]]) -> str:
        """Why scores of these groups are no finite numbers, and what to do."""
        if self.precision != "fp32":
            return "compute in --precision fp32"
        model = self.experiment.model
        for name, weight in self._system.state_dict().items():
            if weight.is_floating_point() and not weight.isfinite().all():
                return f"the model has NaN or infinite weights ({name}); train it, or get {model}, again"
        inputs = [value for group in groups for value in group.values() if isinstance(value, Tensor)]
        if all(value.isfinite().all() for value in inputs):
            return f"its audio is good, but {model} gives NaN or infinite outputs for it; train the model again"
        return "its audio or features have NaN or infinite values; check them"

    def _load(self, shapes: Mapping[str, StreamShape]) -> System:
        if self._shapes != shapes:
            system = self.experiment.with_cached(shapes, self.device).system
            for name, frontend in system.frontends.items():
                if self.device.type == "cpu" and frontend.packable:
                    pack(frontend, self.precision)
                if self.precision != "fp32":
                    system.frontends[name] = InPrecision(frontend, self.precision, self.device)
            if self.embeddings:
                _check_last_layer(system.backend)
                self._last_linear = LastLinear(system.backend)
            self._system, self._shapes = system, shapes
        return self._system

    def _compute(self, group: Mapping[str, Any], directory: Path) -> list[np.ndarray]:
        """Scores (B,) or (B, K) of a group and, if asked for, embeddings (B, D)."""
        moved = {key: value.to(self.device) if isinstance(value, Tensor) else value for key, value in group.items()}
        try:
            with torch.inference_mode():
                outputs = self._system(moved)
                results = [self._system.task.scores(outputs)]
                if self._last_linear is not None:
                    results.append(self._embedding(outputs))
        except InputError as error:
            raise InputError(f"{directory}: {error}") from None
        except (RuntimeError, MemoryError) as error:
            if "allocate" not in str(error) and not isinstance(error, MemoryError):
                raise
            advice = "lower --data.eval_batch_size or score --data.eval_crop windows"
            raise InputError(f"{directory}: utterance '{group['utt'][0]}': not enough memory; {advice}") from None
        return [result.float().cpu().numpy() for result in results]

    def _embedding(self, outputs: Tensor) -> Tensor:
        task = self._system.task
        # Margin losses take the outputs themselves for the embedding: their directions are the last linear layer.
        if isinstance(task, Detection) and isinstance(task.criterion, MarginLoss):
            return outputs
        assert self._last_linear is not None
        return self._last_linear.input(len(outputs))


def _check_last_layer(backend: nn.Module) -> None:
    linear = [module for module in backend.modules() if isinstance(module, nn.Linear)]
    if all(module.out_features != backend.num_outputs for module in linear):
        raise InputError(
            f"--embeddings: {type(backend).__name__} has a last layer for each of its outputs, and no single embedding"
        )


class LastLinear:
    """Looks at the linear layer of a back-end that runs last: its input is the embedding of an utterance."""

    def __init__(self, backend: nn.Module) -> None:
        self._seen: Tensor | None = None
        for module in backend.modules():
            if isinstance(module, nn.Linear):
                module.register_forward_pre_hook(self._look)

    def _look(self, module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        (self._seen,) = inputs

    def input(self, batch: int) -> Tensor:
        """The embeddings (B, D) of the batch of ``batch`` utterances that has just gone through.

        Back-ends of a fixed length run W windows of a long input as one batch (W * B, D) and average their outputs,
        which here is done with the embeddings.
        """
        assert self._seen is not None
        return self._seen.unflatten(0, (-1, batch)).mean(dim=0)  # (W * B, D) -> (W, B, D) -> (B, D)
