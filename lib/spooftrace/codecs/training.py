"""Training of the small codecs. All random draws depend on (seed, step): a resumed run equals an uninterrupted one."""

from __future__ import annotations

import io
import math
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from spooftrace.codecs.codec import CodecOutput, NeuralCodec
from spooftrace.codecs.crops import Batch, CropSampler
from spooftrace.codecs.losses import MultiResolutionSpectralLoss, SpectralLosses
from spooftrace.codecs.quantizers import ResidualVectorQuantizer
from spooftrace.codecs.semantic import SemanticDistillation, Teacher, TeacherFeatures
from spooftrace.codecs.settings import CodecTraining
from spooftrace.codecs.weights import load_codec, save_codec
from spooftrace.common.atomic import atomic_write
from spooftrace.common.differences import difference_text, differences
from spooftrace.common.english import counted
from spooftrace.common.errors import InputError
from spooftrace.common.json_files import write_json
from spooftrace.common.lock import hold
from spooftrace.common.progress import Progress
from spooftrace.common.provenance import file_sha256
from spooftrace.datadir import DataDir
from spooftrace.pretrained.torch_file import read_torch_file

CHECKPOINT = "checkpoint.pt"
WEIGHTS = "codec.safetensors"
SUMMARY = "summary.json"
TEACHER = "teacher.npz"
LOCK = ".lock"
COUNTS = ("step", "seconds", "mel", "loss")  # the progress of a run
REMEDY = "remove it to start this training anew"


class Objective(nn.Module):
    """The training loss: reconstruction, commitment, and the auxiliary objective of the codec.

    Args:
        codec: The codec to train.
        settings: The weights of the terms.
        teacher: Features of the training data, for a codec with semantic distillation.
    """

    def __init__(self, codec: NeuralCodec, settings: CodecTraining, teacher: TeacherFeatures | None) -> None:
        super().__init__()
        self.settings = settings
        self.reconstruction = MultiResolutionSpectralLoss(codec.sample_rate)
        self.distillation = SemanticDistillation(codec.config["dim"], teacher) if teacher is not None else None

    def forward(self, output: CodecOutput, batch: Batch) -> tuple[Tensor, SpectralLosses]:
        """Return the loss of a step and its spectral terms."""
        losses = self.reconstruction(output.wave, batch.wave)
        loss = 2 * losses.mel + losses.magnitude + self.settings.commitment * output.commitment
        if self.settings.convergence:
            loss = loss + self.settings.convergence * losses.convergence
        if self.distillation is not None and output.semantic is not None:
            loss = loss + self.settings.distillation * self.distillation(output.semantic[:, :-1], batch.places)
        if output.restoration is not None:
            loss = loss + self.settings.restoration * output.restoration
        return loss, losses


def train_codec(
    data: str | Path,
    out: str | Path,
    codec_config: dict[str, Any],
    settings: CodecTraining,
    teacher: Teacher | None = None,
) -> NeuralCodec:
    """Train a codec. A stopped run is continued from its last checkpoint.

    Args:
        data: Data directory.
        out: Folder for ``checkpoint.pt`` and, at the end, ``codec.safetensors`` (float16) and ``summary.json``.
        codec_config: Arguments of ``NeuralCodec``.
        settings: Settings of the training.
        teacher: Computes the features that a codec with ``auxiliary: semantic`` learns to predict.

    Returns:
        The trained codec, in evaluation mode.

    Raises:
        InputError: ``out`` holds a run with other settings or a damaged checkpoint, the data or the initial weights
            cannot be read, or the settings are incompatible.
    """
    out = Path(out)
    with hold(out / LOCK, "training"):
        return _train(DataDir.read(data), out, codec_config, settings, teacher)


def _train(
    data: DataDir, out: Path, codec_config: dict[str, Any], settings: CodecTraining, teacher: Teacher | None
) -> NeuralCodec:
    torch.manual_seed(settings.seed)
    try:
        codec = NeuralCodec(**codec_config)
    except ValueError as error:
        raise InputError(f"codec settings: {error}") from None
    count = codec.config["num_quantizers"]
    if not 1 <= min(settings.quantizers) <= max(settings.quantizers) <= count:
        raise InputError(f"quantizers {settings.quantizers}: the codec has {counted(count, 'codebook')}")
    if settings.initial and not (out / CHECKPOINT).exists():  # a checkpoint replaces the initial weights
        start_from(codec, load_codec(settings.initial))
    sampler = CropSampler(data, codec, settings)
    targets = None
    if codec.config["auxiliary"] == "semantic":
        if teacher is None:
            raise ValueError("a codec with auxiliary: semantic needs a teacher to train it")
        targets = TeacherFeatures.of(sampler.waves, out / TEACHER, teacher)
    objective = Objective(codec, settings, targets)
    optimizer = _make_optimizer([*codec.parameters(), *objective.parameters()], settings.lr)
    run = Run(codec, objective, optimizer, {"codec": codec.config, "training": asdict(settings)})
    run.resume(out / CHECKPOINT)
    _run_steps(run, sampler, settings, out / CHECKPOINT)
    run.save(out / CHECKPOINT)
    save_codec(codec, out / WEIGHTS)
    _write_summary(out / SUMMARY, run, sampler)
    return codec.eval()


def _make_optimizer(parameters: list[nn.Parameter], lr: float) -> torch.optim.Optimizer:
    # Only matrices decay; biases, norms and layer scales do not.
    groups = [
        {"params": [p for p in parameters if p.dim() > 1], "weight_decay": 1e-3},
        {"params": [p for p in parameters if p.dim() <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=lr, betas=(0.8, 0.99))


def _run_steps(run: Run, sampler: CropSampler, settings: CodecTraining, checkpoint: Path) -> None:
    """Train from the current step to the end, and save a checkpoint every ``settings.checkpoint_steps`` steps."""
    codec, objective, optimizer = run.codec, run.objective, run.optimizer
    parameters = [*codec.parameters(), *objective.parameters()]
    codec.train()
    began = time.monotonic() - run.seconds
    with Progress("codec training", settings.max_steps) as progress:
        progress.advance(run.step)
        while (done := fraction_done(run.step, time.monotonic() - began, settings)) < 1:
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(run.step, done, settings)
            batch = sampler.batch(run.step)
            generator = torch.Generator().manual_seed(settings.seed * 1_000_003 + run.step)
            output = codec(batch.wave, batch.num_quantizers, generator)
            loss, losses = objective(output, batch)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            run.count_step(losses.mel.item(), loss.item(), time.monotonic() - began)
            progress.what = f"codec training, mel distance {run.mel:.3f}, loss {run.loss:.3f}, step"
            progress.advance()
            if run.step % settings.checkpoint_steps == 0:
                run.save(checkpoint)


def start_from(codec: NeuralCodec, other: NeuralCodec) -> None:
    """Copy the weights of ``other`` that have the same name and shape into ``codec``."""
    state = codec.state_dict()
    shared = {name: value for name, value in other.state_dict().items() if name in state}
    codec.load_state_dict({n: v for n, v in shared.items() if v.shape == state[n].shape}, strict=False)
    for module in codec.quantizer.modules():
        # Moving averages of other codebooks would overwrite the copied codebooks.
        if isinstance(module, ResidualVectorQuantizer) and module.started and not module.codebooks.any():
            module.started.fill_(False)


def fraction_done(step: int, seconds: float, settings: CodecTraining) -> float:
    """Return the completed fraction of the training by steps or by time, whichever is larger; may exceed 1."""
    by_time = seconds / 60 / settings.max_minutes if settings.max_minutes else 0.0
    return max(step / settings.max_steps, by_time)


def learning_rate(step: int, done: float, settings: CodecTraining) -> float:
    """Return the learning rate of a step, counted from 0, when the fraction ``done`` of the training is complete."""
    fall = min(max(done - 0.4, 0.0) / 0.6, 1.0)
    shape = 0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * fall))
    return settings.lr * shape * min(1.0, (step + 1) / settings.warmup_steps)


class Run:
    """The progress of a training and its checkpoint.

    Args:
        codec: The codec, saved in the checkpoint.
        objective: The training loss, saved in the checkpoint.
        optimizer: The optimizer, saved in the checkpoint.
        config: Settings of codec and training. A checkpoint with other settings is refused.
    """

    def __init__(
        self, codec: NeuralCodec, objective: Objective, optimizer: torch.optim.Optimizer, config: dict[str, Any]
    ) -> None:
        self.codec, self.objective, self.optimizer, self.config = codec, objective, optimizer, config
        self._stateful: dict[str, nn.Module | torch.optim.Optimizer] = {
            "codec": codec, "objective": objective, "optimizer": optimizer,
        }  # fmt: skip
        self.step, self.seconds, self.mel, self.loss = 0, 0.0, math.nan, math.nan
        initial = config["training"]["initial"]
        self.initial_sha256 = file_sha256(Path(initial)) if initial and Path(initial).is_file() else None

    def count_step(self, mel: float, loss: float, seconds: float) -> None:
        """Record a step: its mel distance and loss, and the seconds of the training so far."""
        first = self.step == 0
        # Moving averages over about 50 steps, because single batches vary.
        self.mel = mel if first else 0.98 * self.mel + 0.02 * mel
        self.loss = loss if first else 0.98 * self.loss + 0.02 * loss
        self.step, self.seconds = self.step + 1, seconds

    def save(self, path: Path) -> None:
        """Write the checkpoint."""
        state = {name: owner.state_dict() for name, owner in self._stateful.items()}
        counts = {name: getattr(self, name) for name in (*COUNTS, "initial_sha256")}
        buffer = io.BytesIO()
        torch.save({**state, **counts, "config": self.config}, buffer)
        with atomic_write(path, "wb") as file:
            file.write(buffer.getbuffer())

    def resume(self, path: Path) -> None:
        """Load the checkpoint if it exists."""
        if not path.exists():
            return
        state = read_torch_file(path, REMEDY)
        needed = {*self._stateful, *COUNTS, "config"}
        if not isinstance(state, dict) or not needed <= state.keys():
            raise InputError(f"{path}: not a checkpoint of a codec; {REMEDY}")
        if changes := list(self._changes(state)):
            raise InputError(
                f"{path}: was trained with other settings: {'; '.join(changes)}; give another --out, or {REMEDY}"
            )
        try:
            for name, owner in self._stateful.items():
                owner.load_state_dict(state[name])
        except (RuntimeError, ValueError, KeyError) as error:
            reason = " ".join(str(error).split())[:160]
            raise InputError(f"{path}: does not fit its own settings ({reason}); {REMEDY}") from None
        for name in COUNTS:
            setattr(self, name, state[name])

    def _changes(self, state: dict[str, Any]) -> Iterator[str]:
        """Yield the settings that differ from those of a checkpoint and change the result."""
        for key, saved, given in differences(state["config"], self.config):
            if key == "training.checkpoint_steps":
                continue
            if key == "training.initial" and given is not None and self.initial_sha256 == state.get("initial_sha256"):
                continue  # the same file at another path
            hint = " (the learning rate of every step depends on it)" if key == "training.max_steps" else ""
            yield difference_text(key, saved, given) + hint


def _write_summary(path: Path, run: Run, sampler: CropSampler) -> None:
    """Write the settings, the amount of data, the duration and the final losses of a training."""
    summary = {
        **run.config,
        "parameters": sum(p.numel() for p in run.codec.parameters()),
        "utterances": len(sampler.waves),
        "audio_minutes": round(sampler.seconds / 60, 1),
        "steps": run.step,
        "minutes": round(run.seconds / 60, 1),
        "mel": round(run.mel, 4),
        "loss": round(run.loss, 4),
    }
    write_json(path, summary, sort_keys=False)
