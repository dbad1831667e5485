"""Settings of the training of a codec."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class CodecTraining:
    """Settings of a training.

    Args:
        seed: Seed of the initial weights and of all batches.
        max_steps: Number of training steps, and length of the learning-rate schedule.
        max_minutes: Maximum duration. The schedule is shortened to fit, so the result depends on the machine's speed.
        batch_size: Crops per step.
        crop_seconds: Length of a crop.
        lr: Maximum learning rate (AdamW).
        warmup_steps: Steps of linear warm-up to ``lr``, which is kept up to 40 % of the training and then falls to 5 %
            (cosine).
        quantizers: Numbers of codebooks. Each crop uses a random one; the first quarter of a batch uses the largest.
        commitment: Weight of the commitment loss.
        convergence: Weight of the spectral convergence; it helps time-domain decoders.
        distillation: Weight of the semantic distillation, for a codec that has it.
        restoration: Weight of the distance of the restored spectrum, for a codec with disentanglement.
        initial: Weights file of another codec, from which weights of the same name and shape are copied.
        checkpoint_steps: Steps between two checkpoints.
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
    convergence: float = 0.0
    distillation: float = 1.0
    restoration: float = 1.0
    initial: str | None = None
    checkpoint_steps: int = 500
