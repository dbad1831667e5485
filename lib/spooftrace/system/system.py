"""A system: streams, a back-end and a task, put together from a configuration."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor, nn

from spooftrace.backends.base import Backend, check_backend
from spooftrace.common.errors import InputError
from spooftrace.common.sample_rate import SAMPLE_RATE
from spooftrace.config.loading import build
from spooftrace.config.settings import Config
from spooftrace.frontends.base import FrontEnd
from spooftrace.system.weights import recorded_backend
from spooftrace.tasks import Task


class StreamShape(NamedTuple):
    """What a back-end has to know of a stream: its layout and the size of one feature vector."""

    layout: str
    dim: int


class System(nn.Module):
    """Front-ends of the live streams, the back-end, the task.

    Args:
        config: A configuration from :func:`spooftrace.config.load_config`.
        cached: Shape of each stream that is read from archives; its front-end is then not built at all.

    Raises:
        InputError: A layout, a width or the number of outputs does not fit between the parts.
    """

    def __init__(self, config: Config, cached: Mapping[str, StreamShape]) -> None:
        super().__init__()
        self.data = config.data
        self.streams = list(config.streams)
        frontends: dict[str, FrontEnd] = {
            name: build(node) for name, node in config.streams.items() if name not in cached
        }
        self.frontends = nn.ModuleDict(frontends)
        self.backend: Backend = check_backend(build(config.backend))
        self.task: Task = build(config.task)
        live = {name: StreamShape(frontend.layout, frontend.dim) for name, frontend in frontends.items()}
        self._check({name: {**cached, **live}[name] for name in self.streams})

    def _check(self, shapes: Mapping[str, StreamShape]) -> None:
        """Raise InputError if streams of these shapes, the back-end and the task do not fit together."""
        backend = type(self.backend).__name__
        if len(shapes) != len(self.backend.layouts):
            raise InputError(
                f"backend {backend} takes {len(self.backend.layouts)} streams, but the configuration has "
                f"{len(shapes)}: {', '.join(shapes)}"
            )
        for (name, shape), layouts in zip(shapes.items(), self.backend.layouts, strict=True):
            if shape.layout not in layouts:
                raise InputError(
                    f"stream '{name}' has the layout {shape.layout}, but backend {backend} takes {' or '.join(layouts)}"
                )
        width = self.backend.input_dim
        (name, shape), *others = shapes.items()
        if width and not others and width != shape.dim:
            raise InputError(
                f"stream '{name}' has {shape.dim} features a frame, but backend.init_args.input_dim is {width}"
            )
        if self.backend.num_outputs != self.task.num_outputs:
            raise InputError(
                f"backend.init_args.num_outputs is {self.backend.num_outputs}, but the task "
                f"{type(self.task).__name__} needs {self.task.num_outputs}"
            )

    @property
    def needs_wave(self) -> bool:
        """Whether a live stream computes from the waveform."""
        return len(self.frontends) > 0

    def forward(self, batch: Mapping[str, Any]) -> Tensor:
        """Outputs (B, num_outputs) of a batch from :class:`spooftrace.batching.batches.Batches`.

        Raises:
            InputError: A part does not take it; as a rule the utterances are too short.
        """
        features = []
        try:
            for name in self.streams:
                if name in self.frontends:
                    stream, _ = self.frontends[name](batch["wave"], batch["wave_len"])  # (B, N) -> (B, T, D)
                else:
                    stream = batch[name]  # (B, T, D), as stored
                features.append(stream)
            return self.backend(*features)
        except InputError:
            raise
        except ValueError as error:
            advice = f"--data.crop {self.data.crop} is too short for this system"
            if self.data.eval_crop == "full" and not self.training:
                advice = "--data.eval_crop windows scores all of it, too, and pads what is short to --data.crop samples"
            which = f"utterance '{batch['utt'][0]}' ({_length(batch)})"
            raise InputError(f"{which}: {error}; {advice}") from None

    def loss(self, outputs: Tensor, targets: Tensor, whole: Callable[[Tensor], Tensor] = lambda share: share) -> Tensor:
        """The loss that training minimises: that of the task, plus what ``Backend.total_loss`` adds to it.

        A loss over a batch, such as a weighted mean or a correlation, is not the mean of the losses of its shares, so
        it is computed on the batch of all ranks.

        Args:
            outputs: Outputs of this rank's share of the batch.
            targets: Targets of the same utterances.
            whole: Gathers the batch of all ranks, (B / world size, ...) -> (B, ...).
        """
        targets = whole(targets)
        loss = self.task.loss(whole(outputs), targets)
        return self.backend.total_loss(loss, targets, whole)

    def own_state(self) -> dict[str, Tensor]:
        """The weights that belong to the trained model: everything except frozen front-ends."""
        frozen = tuple(f"frontends.{name}." for name, frontend in self.frontends.items() if not frontend.finetune)
        return {key: value for key, value in self.state_dict().items() if not key.startswith(frozen or ("\0",))}

    def load_own_state(self, state: Mapping[str, Tensor], path: Path) -> None:
        """Load what :meth:`own_state` gave.

        Args:
            state: The weights.
            path: The file that they are from.

        Raises:
            InputError: They do not fit this system.
        """
        expected = self.own_state()
        wrong = sorted(
            set(expected.keys() ^ state.keys())
            | {key for key in expected.keys() & state.keys() if expected[key].shape != state[key].shape}
        )
        if wrong:
            backend = recorded_backend(path)
            hint = f"; they are weights of {backend}" if backend else ""
            raise InputError(f"{path}: {len(wrong)} weights do not fit config.yaml beside it, first {wrong[0]}{hint}")
        self.load_state_dict(state, strict=False)


def _length(batch: Mapping[str, Any]) -> str:
    """How long the utterances of a batch are, for a message."""
    if "wave" in batch:
        samples = int(batch["wave_len"][0])
        return f"{samples:,} samples ({samples / SAMPLE_RATE:.3f} s)"
    return ", ".join(f"{int(batch[key][0]):,} of '{key[:-4]}'" for key in batch if key.endswith("_len"))


def count_parameters(module: nn.Module, trainable: bool = False) -> int:
    """Number of parameters, or of those that are trained."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad or not trainable)
