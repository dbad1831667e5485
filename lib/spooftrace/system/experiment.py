"""Load a trained system from the folder of its experiment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from spooftrace.common.errors import InputError
from spooftrace.config.loading import build, load_config
from spooftrace.config.settings import Config
from spooftrace.frontends.base import WEIGHTS, FrontEnd
from spooftrace.pretrained.finding import weights_in
from spooftrace.system.files import CONFIG, MODEL, recorded_frontends
from spooftrace.system.system import StreamShape, System
from spooftrace.system.weights import load_weights
from spooftrace.tasks import Task

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Experiment:
    """A trained system in its folder. The task and the system are built when they are first used.

    Attributes:
        path: Folder of the experiment.
        config: Its configuration.
        cached: Shapes of the streams that are read from archives; the system has no front-ends for them.
        device: Device of the system.
        model_sha256: SHA-256 of the model file if it is known already.
    """

    path: Path
    config: Config
    cached: Mapping[str, StreamShape] = field(default_factory=dict)
    device: torch.device = CPU
    model_sha256: str | None = None

    @property
    def model(self) -> Path:
        """The file of the trained weights."""
        return self.path / MODEL

    def with_cached(self, cached: Mapping[str, StreamShape], device: torch.device | None = None) -> Experiment:
        """The same experiment, not built yet, with other streams read from archives or on another device."""
        return replace(self, cached=dict(cached), device=device or self.device)

    def weights(self, prefix: str = "") -> dict[str, Tensor]:
        """The trained weights whose names begin with ``prefix``, on the CPU.

        Raises:
            InputError: The file is missing or damaged, or is not the one that ``run.json`` describes.
        """
        return load_weights(self.model, self.model_sha256, prefix)

    @cached_property
    def task(self) -> Task:
        """The task with its trained state, built without the rest of the system.

        Raises:
            InputError: The model file is damaged, or does not fit the task.
        """
        task: Task = build(self.config.task)
        expected = task.state_dict().keys()
        if not expected:
            return task
        state = {name.removeprefix("task."): value for name, value in self.weights("task.").items()}
        if state.keys() != expected:
            raise InputError(f"{self.model}: has no weights of {type(task).__name__}, the task in {CONFIG}")
        task.load_state_dict(state)
        return task

    @cached_property
    def system(self) -> System:
        """The trained system on ``device``, in eval mode.

        Raises:
            InputError: The model file is damaged, or does not fit the configuration; a pretrained front-end is not
                installed, or has other weights than in training.
        """
        weights = self.weights()
        with weights_in(self.path):
            system = System(self.config, self.cached)
        system.load_own_state(weights, self.model)
        system = system.eval().to(self.device)
        self._check_frontends(system)
        return system

    def _check_frontends(self, system: System) -> None:
        """Refuse pretrained weights of frozen front-ends other than those in ``run.json``.

        They are not in ``model.safetensors``: a pretrained model that was replaced in its folder would change the
        scores silently. Experiments of earlier versions and imported ones do not record these weights.
        """
        recorded = recorded_frontends(self.path)
        for name, frontend in system.frontends.items():
            known = recorded.get(name, {}).get(WEIGHTS)
            if (
                isinstance(frontend, FrontEnd)
                and frontend.frozen
                and known
                and frontend.fingerprint().get(WEIGHTS) != known
            ):
                raise InputError(
                    f"{self.path}: the pretrained model of stream '{name}' has other weights than in training (sha256 "
                    f"of the tensors in run.json: {known[:12]}...); restore the model that the system was trained with"
                )


def load_experiment(
    path: str | Path,
    overrides: Sequence[str] = (),
    cached: Mapping[str, StreamShape] | None = None,
    device: str | torch.device = CPU,
    model_sha256: str | None = None,
) -> Experiment:
    """Load the experiment that ``spooftrace train`` or ``spooftrace import-checkpoint`` wrote.

    Args:
        path: Folder of the experiment.
        overrides: Changes of its configuration, such as ``["--data.eval_crop", "full"]``.
        cached: Shapes of the streams whose features are read from archives; all other streams are computed from the
            waveform. By default all are, also those that were read from archives in training.
        device: Device of the system.
        model_sha256: SHA-256 of ``model.safetensors`` if it is known already.

    Returns:
        The experiment, with its ``config``, ``task`` and ``system``.

    Raises:
        InputError: There is no trained model in ``path``, or its configuration is damaged.

    Examples:
        >>> import tempfile
        >>> from spooftrace.config.loading import save_config
        >>> from spooftrace.system.weights import save_weights
        >>> exp = Path(tempfile.mkdtemp())
        >>> text = '''
        ... streams: {mel: {class_path: LogMel}}
        ... backend: {class_path: LinearProbe, init_args: {input_dim: 80}}
        ... task: {class_path: Detection}
        ... optimizer: {class_path: torch.optim.Adam, init_args: {lr: 0.001}}
        ... '''
        >>> _ = (exp / "mel.yaml").write_text(text, encoding="utf-8")
        >>> config = load_config([exp / "mel.yaml"])
        >>> save_config(config, exp / "config.yaml")  # this and the weights are what a training writes
        >>> save_weights(System(config, {}).own_state(), exp / "model.safetensors")

        >>> experiment = load_experiment(exp)
        >>> batch = {"wave": torch.zeros(2, 16000), "wave_len": torch.tensor([16000, 16000])}  # one second each
        >>> outputs = experiment.system(batch)
        >>> experiment.task.scores(outputs).shape
        torch.Size([2])
    """
    path = Path(path)
    if not (path / MODEL).exists():
        raise InputError(f"{path / MODEL}: no trained model there; run stage 4 (training) first")
    config = load_config([path / CONFIG], overrides)
    return Experiment(path, config, dict(cached or {}), torch.device(device), model_sha256)
