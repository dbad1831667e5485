"""A system: streams, a back-end and a task, put together from a configuration."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file, save
from torch import Tensor, nn

from spooftrace.atomic import atomic_write
from spooftrace.backends.contract import check_backend
from spooftrace.config import build
from spooftrace.errors import InputError
from spooftrace.frontends.base import SAMPLE_RATE
from spooftrace.resuming import is_described


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

    def __init__(self, config: Mapping[str, Any], cached: Mapping[str, StreamShape]) -> None:
        super().__init__()
        self.data = config["data"]
        self.streams = list(config["streams"])
        self.frontends = nn.ModuleDict(
            {name: build(node) for name, node in config["streams"].items() if name not in cached}
        )
        self.backend: nn.Module = build(config["backend"])
        self.task: nn.Module = build(config["task"])
        live = {name: StreamShape(frontend.layout, frontend.dim) for name, frontend in self.frontends.items()}
        self._check({name: {**cached, **live}[name] for name in self.streams})

    def _check(self, shapes: Mapping[str, StreamShape]) -> None:
        """Raise InputError if streams of these shapes, the back-end and the task do not fit together."""
        check_backend(self.backend)
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
        wanted = getattr(self.backend, "input_dim", None)
        (name, shape), *others = shapes.items()
        if wanted is not None and not others and wanted != shape.dim:
            raise InputError(
                f"stream '{name}' has {shape.dim} features a frame, but backend.init_args.input_dim is {wanted}"
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
        """Outputs (B, num_outputs) of a batch from :class:`spooftrace.batches.Batches`.

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
            advice = f"--data.crop {self.data['crop']} is too short for this system"
            if self.data["eval_crop"] == "full" and not self.training:
                advice = "--data.eval_crop windows scores all of it, too, and pads what is short to --data.crop samples"
            which = f"utterance '{batch['utt'][0]}' ({_length(batch)})"
            raise InputError(f"{which}: {error}; {advice}") from None

    def loss(self, outputs: Tensor, targets: Tensor, whole: Callable[[Tensor], Tensor] = lambda share: share) -> Tensor:
        """What training minimises: the task's loss, and with it what the back-end has of its own (``total_loss``).

        ``whole`` makes the whole batch of what is only a share of one: a loss over a batch, such as a weighted mean or
        a correlation, is not the mean of those over its shares. The task and the back-end get the targets of the whole
        batch; a back-end applies ``whole`` itself to what it has kept of its share.
        """
        targets = whole(targets)
        loss = self.task.loss(whole(outputs), targets)
        return self.backend.total_loss(loss, targets, whole) if hasattr(self.backend, "total_loss") else loss

    def own_state(self) -> dict[str, Tensor]:
        """The weights that belong to the trained model: everything except frozen front-ends."""
        frozen = tuple(f"frontends.{name}." for name, frontend in self.frontends.items() if not frontend.finetune)
        return {key: value for key, value in self.state_dict().items() if not key.startswith(frozen or ("\0",))}

    def load_own_state(self, state: Mapping[str, Tensor], where: str) -> None:
        """Load what :meth:`own_state` gave; raises ``InputError`` when it does not fit this system."""
        expected = self.own_state()
        wrong = sorted(
            set(expected.keys() ^ state.keys())
            | {key for key in expected.keys() & state.keys() if expected[key].shape != state[key].shape}
        )
        if wrong:
            from spooftrace.checkpoints.systems import looks_like  # which imports this module

            prefix = "backend."
            backend = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
            like = looks_like(backend, official=False)
            hint = f"; they look like {' or '.join(like)}" if like else ""
            raise InputError(f"{where}: {len(wrong)} weights do not fit config.yaml beside it, first {wrong[0]}{hint}")
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


def save_weights(state: Mapping[str, Tensor], path: Path) -> None:
    """Write weights as safetensors, whole or not at all."""
    content = save({key: value.detach().cpu().contiguous() for key, value in state.items()})
    with atomic_write(path, "wb") as file:
        file.write(content)


def load_weights(path: Path, sha256: str | None = None) -> dict[str, Tensor]:
    """Read weights written by :func:`save_weights`.

    Args:
        path: The file.
        sha256: Its SHA-256, where it has been computed already.

    Raises:
        InputError: The file is missing or damaged, or is not the one that ``run.json`` beside it describes.
    """
    try:
        weights = load_file(path)
    except FileNotFoundError:
        raise InputError(f"{path}: no trained model there; run stage 4 (training) first") from None
    except Exception as error:  # safetensors raises its own error type for damaged files
        raise InputError(f"{path}: not a readable model file ({error}); train again") from None
    if not is_described(path, sha256):
        raise InputError(
            f"{path}: not the file that run.json beside it describes, so it is damaged or was replaced; run stage 4 "
            "(training) again, which makes it again from the checkpoints"
        )
    return weights


def pick_device(num_gpus: int) -> torch.device:
    """``cuda`` for one or more GPUs, ``cpu`` for none; raises ``InputError`` when the GPU is not there."""
    if num_gpus == 0:
        return torch.device("cpu")
    available = torch.cuda.device_count()
    if num_gpus and not (torch.version.cuda or torch.version.hip):
        raise InputError(
            f"--ngpu {num_gpus}: this torch {torch.__version__} is built for CPUs only; install a build of it for "
            "GPUs, or use --ngpu 0"
        )
    if num_gpus and not available:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        hint = "" if visible is None else f" with CUDA_VISIBLE_DEVICES={visible!r}"
        raise InputError(
            f"--ngpu {num_gpus}: torch {torch.__version__} finds no GPU here{hint}; see what nvidia-smi says, or use "
            "--ngpu 0"
        )
    if num_gpus > available:
        raise InputError(f"--ngpu {num_gpus}: {available} GPU(s) are available here; use --ngpu {available}")
    return torch.device("cuda")
