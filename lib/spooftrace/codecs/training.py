"""Training of the small codec. Every draw is a function of (seed, step): a resumed run equals an uninterrupted one."""

from __future__ import annotations

import io
import math
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from spooftrace.atomic import atomic_write
from spooftrace.audio import read_audio
from spooftrace.codecs.codec import NeuralCodec, save_codec
from spooftrace.codecs.losses import MultiResolutionSpectralLoss
from spooftrace.datadir import DataDir
from spooftrace.errors import InputError
from spooftrace.progress import Progress

CHECKPOINT = "checkpoint.pt"
WEIGHTS = "codec.safetensors"
QUIET = 0.012  # rms, a quarter of the usual level; crops below are pauses


@dataclass
class CodecTraining:
    """How a codec is trained.

    Args:
        seed: of the initial weights and of every batch.
        max_steps: end of the training and of the learning-rate schedule.
        max_minutes: stop earlier, with the schedule squeezed to fit; the result then depends on the machine's speed.
        batch_size: crops of a step.
        crop_seconds: their length.
        lr: highest learning rate (AdamW).
        warmup_steps: of linear growth to ``lr``; it stays until 40 % of the training, then falls to 5 % (cosine).
        quantizers: each crop uses one of these numbers of codebooks, at random; the first quarter of a batch uses all.
        commitment: weight of the commitment loss.
        checkpoint_steps: between two resumable checkpoints.
    """

    seed: int = 0
    max_steps: int = 10000
    max_minutes: float | None = None
    batch_size: int = 12
    crop_seconds: float = 0.64
    lr: float = 1e-3
    warmup_steps: int = 200
    quantizers: list[int] = field(default_factory=lambda: [1, 2, 4, 8])
    commitment: float = 0.25
    checkpoint_steps: int = 500


class CropSampler:
    """Random crops of a data directory, all of it in memory as 16-bit samples (two bytes each: 115 MB an hour).

    Args:
        data: data directory; every utterance counts in proportion to its length.
        codec: for its rate, hop and level.
        settings: for the seed, batch size and crop length.
    """

    def __init__(self, data: DataDir, codec: NeuralCodec, settings: CodecTraining) -> None:
        self.settings, self.hop, self.level = settings, codec.hop, codec.level
        self.length = round(settings.crop_seconds * codec.frame_rate) * codec.hop
        self.waves: list[np.ndarray] = []
        self.gains: list[float] = []
        with Progress("reading audio", len(data.utts)) as progress:
            for utt in data.utts:
                path, start, end = data.audio(utt)
                wave = read_audio(path, codec.sample_rate, start, end)
                loudness = float(np.sqrt(np.mean(wave.astype(np.float64) ** 2)))
                if loudness > 1e-4:
                    self.waves.append(np.rint(wave.clip(-1, 1) * 32767).astype(np.int16))
                    self.gains.append(codec.level / loudness / 32767)
                progress.advance()
        if not self.waves:
            raise InputError(f"{data.path}: all utterances are silent; nothing to train on")
        lengths = np.array([len(wave) for wave in self.waves], np.float64)
        self.cumulative = np.cumsum(lengths / lengths.sum())

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Crops (B, N) and the number of codebooks (B,) that each is to use, the same for the same step."""
        draws = np.random.default_rng([self.settings.seed, step])
        crops = []
        while len(crops) < self.settings.batch_size:
            index = min(int(np.searchsorted(self.cumulative, draws.random())), len(self.waves) - 1)
            wave = self.waves[index]
            # Whole hops, so that a frame sees the same samples whenever it is drawn.
            start = int(draws.integers(max(len(wave) - self.length, 0) // self.hop + 1)) * self.hop
            crop = wave[start : start + self.length].astype(np.float32) * np.float32(self.gains[index])
            crop = np.pad(crop, (0, self.length - len(crop)))
            loudness = float(crop.std())
            if loudness < QUIET and len(self.waves) > 1:
                continue
            # Half-way to the common level, and 4 dB either way: the codec should not depend on an exact level.
            gain = self.level / (0.5 * loudness + 0.5 * self.level) * 10 ** (draws.uniform(-4, 4) / 20)
            crops.append(crop * np.float32(gain))
        counts = draws.choice(self.settings.quantizers, self.settings.batch_size)
        counts[: self.settings.batch_size // 4] = max(self.settings.quantizers)
        return torch.from_numpy(np.stack(crops)), torch.from_numpy(counts)


def train_codec(
    data: str | Path, out: str | Path, codec_config: dict[str, Any], settings: CodecTraining
) -> NeuralCodec:
    """Train a codec; a run that was stopped goes on from its last checkpoint.

    Args:
        data: data directory.
        out: folder for ``checkpoint.pt`` and, at the end, ``codec.safetensors`` (float16).
        codec_config: arguments of :class:`NeuralCodec`.
        settings: how to train.

    Returns:
        The trained codec, in evaluation mode.

    Raises:
        InputError: ``out`` holds a run with other settings or a damaged checkpoint; the data cannot be read.
    """
    out = Path(out)
    torch.manual_seed(settings.seed)
    codec = NeuralCodec(**codec_config)
    if not 1 <= min(settings.quantizers) <= max(settings.quantizers) <= codec.quantizer.num_quantizers:
        raise InputError(f"quantizers {settings.quantizers}: the codec has {codec.quantizer.num_quantizers} codebooks")
    # Weight decay is for matrices only; biases, norms and layer scales stay free.
    groups = [
        {"params": [p for p in codec.parameters() if p.dim() > 1], "weight_decay": 1e-3},
        {"params": [p for p in codec.parameters() if p.dim() <= 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=settings.lr, betas=(0.8, 0.99))
    config = {"codec": codec.config, "training": asdict(settings)}
    step, seconds = _resume(out / CHECKPOINT, codec, optimizer, config)
    sampler = CropSampler(DataDir.read(data), codec, settings)
    loss_function = MultiResolutionSpectralLoss(codec.sample_rate)
    codec.train()
    began = time.monotonic() - seconds
    mel = math.nan
    with Progress("codec training", settings.max_steps) as progress:
        progress.advance(step)
        while (done := fraction_done(step, time.monotonic() - began, settings)) < 1:
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(step, done, settings)
            wave, counts = sampler.batch(step)
            generator = torch.Generator().manual_seed(settings.seed * 1_000_003 + step)
            output = codec(wave, counts, generator)
            losses = loss_function(output.wave, wave)
            loss = 2 * losses.mel + losses.magnitude + settings.commitment * output.commitment
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(codec.parameters(), 1.0)
            optimizer.step()
            step += 1
            # An average over some 50 steps; single batches jump about.
            mel = losses.mel.item() if math.isnan(mel) else 0.98 * mel + 0.02 * losses.mel.item()
            progress.what = f"codec training, mel distance {mel:.3f}, step"
            progress.advance()
            if step % settings.checkpoint_steps == 0:
                _save(out / CHECKPOINT, codec, optimizer, config, step, time.monotonic() - began)
    _save(out / CHECKPOINT, codec, optimizer, config, step, time.monotonic() - began)
    save_codec(codec, out / WEIGHTS)
    return codec.eval()


def fraction_done(step: int, seconds: float, settings: CodecTraining) -> float:
    """Share of the training that is over, from 0 to 1 and beyond, by steps or by time, whichever is further on."""
    by_time = seconds / 60 / settings.max_minutes if settings.max_minutes else 0.0
    return max(step / settings.max_steps, by_time)


def learning_rate(step: int, done: float, settings: CodecTraining) -> float:
    """Learning rate of a step (counted from 0) when the share ``done`` of the training is over."""
    fall = min(max(done - 0.4, 0.0) / 0.6, 1.0)
    shape = 0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * fall))
    return settings.lr * shape * min(1.0, (step + 1) / settings.warmup_steps)


def _save(
    path: Path,
    codec: NeuralCodec,
    optimizer: torch.optim.Optimizer,
    config: dict[str, Any],
    step: int,
    seconds: float,
) -> None:
    state = {"codec": codec.state_dict(), "optimizer": optimizer.state_dict(), "config": config}
    buffer = io.BytesIO()
    torch.save({**state, "step": step, "seconds": seconds}, buffer)
    with atomic_write(path, "wb") as file:
        file.write(buffer.getbuffer())


def _resume(
    path: Path, codec: NeuralCodec, optimizer: torch.optim.Optimizer, config: dict[str, Any]
) -> tuple[int, float]:
    """Load a checkpoint if there is one; returns the steps done and the seconds spent."""
    if not path.exists():
        return 0, 0.0
    try:
        state = torch.load(path, weights_only=True)
    except Exception as error:
        # torch.load raises whatever the damaged part makes it raise
        raise InputError(f"{path}: damaged checkpoint ({str(error).splitlines()[0]}); remove it") from None
    if state["config"] != config:
        raise InputError(f"{path}: was trained with other settings; give another --out, or remove it to start anew")
    codec.load_state_dict(state["codec"])
    optimizer.load_state_dict(state["optimizer"])
    return state["step"], state["seconds"]
