"""Settings of the training of a codec."""

from __future__ import annotations

from dataclasses import dataclass, field


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
        convergence: weight of the spectral convergence; it helps time-domain decoders.
        distillation: weight of the semantic distillation, for a codec that has it.
        restoration: weight of the distance of the restored spectrum, for a codec with disentanglement.
        initial: weights file of another codec; what has the same name and shape starts from there.
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
    convergence: float = 0.0
    distillation: float = 1.0
    restoration: float = 1.0
    initial: str | None = None
    checkpoint_steps: int = 500
