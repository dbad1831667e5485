"""Compute the scores, and optionally the embeddings, of data directories with a trained system."""

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
    """Output of a system for an utterance: one score (1,) or several (K,), and optionally the embedding (D,)."""

    utt: str
    scores: np.ndarray
    embedding: np.ndarray | None = None


class Scorer:
    """The trained system of an experiment, built once for all data directories with streams of the same shapes.

    On a CPU all front-ends are packed (``spooftrace.system.packing``), because scoring changes no weights.

    Args:
        experiment: The experiment; its configuration holds the scoring options.
        num_gpus: 1 to compute on the GPU.
        precision: Precision of the front-ends, as in stage 3; back-ends compute in float32.
        embeddings: Also compute embeddings.

    Raises:
        InputError: The device is missing, or does not support the precision.
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

        With windows, the score of an utterance is the mean of the scores of its windows. It is not the score of the
        mean output, which differs for losses whose score is not linear in the outputs (cosines). A mean stays on the
        scale of the score of a single window, and a threshold remains valid. Unlike a maximum, it does not grow with
        the number of windows or with a single outlier. Embeddings are averaged in the same way.

        Args:
            directory: The data directory.
            dump: Folder of stored streams.
            plan: The utterances of each batch.

        Yields:
            The scores and embedding of each utterance.

        Raises:
            InputError: The model is missing or does not fit the configuration, features are missing, an utterance is
                too short for the model, or a score is not finite.
        """
        # The audio has been compared by ``origin_of_scores``.
        cached = open_streams(self.config, dump, directory, check=False)
        system = self._load({name: stream.shape for name, stream in cached.items()})
        batches = make_batches("score", self.config, system, directory, dump, cached)
        utterances = batches.utterances
        index_of = {utt: index for index, utt in enumerate(utterances.utts)}
        indices = [[index_of[utt] for utt in batch] for batch in plan]
        options = utterances.options
        for groups in load(utterances, indices, options.eval_batch_size, options.num_workers):
            windows: dict[str, list[tuple[np.ndarray, ...]]] = {}
            for group in groups:
                for utt, *arrays in zip(group["utt"], *self._compute(group, directory), strict=True):
                    windows.setdefault(utt, []).append(tuple(arrays))
            for utt, outputs in windows.items():
                scores, *embedding = (
                    np.mean(values, axis=0, dtype=np.float64) for values in zip(*outputs, strict=True)
                )
                if not np.isfinite(scores).all():
                    cause = self._cause(groups)
                    raise InputError(f"{directory}: utterance '{utt}': the score is not finite; {cause}")
                yield Scored(utt, *(np.atleast_1d(mean).astype(np.float32) for mean in (scores, *embedding)))

    def _cause(self, groups: Sequence[Mapping[str, Any]]) -> str:
        """Return the cause of a score that is not finite, and the remedy."""
        if self.precision != "fp32":
            return "compute in --precision fp32"
        model = self.experiment.model
        for name, weight in self._system.state_dict().items():
            if weight.is_floating_point() and not weight.isfinite().all():
                return f"the model has NaN or infinite weights ({name}); train it again, or restore {model}"
        inputs = [value for group in groups for value in group.values() if isinstance(value, Tensor)]
        if all(value.isfinite().all() for value in inputs):
            return f"its audio is valid, but {model} computes NaN or infinite outputs for it; train the model again"
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
        """Compute the scores (B,) or (B, K) of a group and, if required, its embeddings (B, D)."""
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
        # With a margin loss the outputs are the embedding: the class weights of the loss are the last linear layer.
        if isinstance(task, Detection) and isinstance(task.criterion, MarginLoss):
            return outputs
        assert self._last_linear is not None
        return self._last_linear.input(len(outputs))


def _check_last_layer(backend: nn.Module) -> None:
    linear = [module for module in backend.modules() if isinstance(module, nn.Linear)]
    if all(module.out_features != backend.num_outputs for module in linear):
        raise InputError(
            f"--embeddings: {type(backend).__name__} has a separate last layer for each output, and no single embedding"
        )


class LastLinear:
    """Record the input of the linear layer of a back-end that runs last: the embedding of an utterance.

    Args:
        backend: The back-end.
    """

    def __init__(self, backend: nn.Module) -> None:
        self._input: Tensor | None = None
        for module in backend.modules():
            if isinstance(module, nn.Linear):
                module.register_forward_pre_hook(self._record)

    def _record(self, module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        (self._input,) = inputs

    def input(self, batch: int) -> Tensor:
        """Return the embeddings of the last batch.

        Back-ends of a fixed input length run the W windows of a long input as one batch (W * B, D) and average their
        outputs. The embeddings are averaged in the same way.

        Args:
            batch: Number of utterances in the batch, B.

        Returns:
            The embeddings (B, D).
        """
        assert self._input is not None
        return self._input.unflatten(0, (-1, batch)).mean(dim=0)  # (W * B, D) -> (W, B, D) -> (B, D)
