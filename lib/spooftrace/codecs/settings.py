"""Settings of the training of a codec."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class CodecTraining:
    """How a codec is trained.

    Args:
        seed: Of the initial weights and of every batch.
        max_steps: End of the training and of the learning-rate schedule.
        max_minutes: Stop earlier, with the schedule squeezed to fit; the result then depends on the machine's speed.
        batch_size: Crops of a step.
        crop_seconds: Their length.
        lr: Highest learning rate (AdamW).
        warmup_steps: Of linear growth to ``lr``; it stays until 40 % of the training, then falls to 5 % (cosine).
        quantizers: Each crop uses one of these numbers of codebooks, at random; the first quarter of a batch uses all.
        commitment: Weight of the commitment loss.
        convergence: Weight of the spectral convergence; it helps time-domain decoders.
        distillation: Weight of the semantic distillation, for a codec that has it.
        restoration: Weight of the distance of the restored spectrum, for a codec with disentanglement.
        initial: Weights file of another codec; what has the same name and shape starts from there.
        checkpoint_steps: Between two resumable checkpoints.
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
