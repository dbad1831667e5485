"""A system's checkpoint taken apart: the back-end, and the self-supervised model if there is one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from spooftrace.common.errors import InputError
from spooftrace.pretrained import fairseq_wav2vec2
from spooftrace.pretrained.convert import find_weights, locate, network_of
from spooftrace.pretrained.state_dict import select_weights

PRETRAINING_ONLY = "for pre-training only"


@dataclass(frozen=True)
class CheckpointContents:
    """A system's checkpoint taken apart.

    Attributes:
        backend: Tensors of the back-end under official names.
        family: Of the self-supervised model, None where there is none.
        ssl: Its tensors under transformers' names.
        network: The transformers model that they are the weights of, itself without memory for them.
        dropped: Name of each tensor that the system does without, and why it is dropped.
        assumed: What the tensors do not tell of the model.
        notes: What was recognised around the weights.
    """

    backend: Mapping[str, Tensor]
    family: str | None = None
    ssl: Mapping[str, Tensor] = field(default_factory=dict)
    network: Any = None
    dropped: Mapping[str, str] = field(default_factory=dict)
    assumed: Sequence[str] = ()
    notes: Sequence[str] = ()

    @property
    def sizes(self) -> tuple[int, int]:
        """Width and number of layers of the self-supervised model; 0 and 0 without one."""
        return (0, 0) if self.network is None else (self.network.config.hidden_size, len(self.network.encoder.layers))


def split_checkpoint(content: Any, file: Path, choice: str | None = None) -> CheckpointContents:
    """What is in a checkpoint's content; ``choice`` as in ``spooftrace.pretrained.state_dict.select_weights``.

    Raises:
        InputError: There are no weights, several and no choice, or its self-supervised model is not whole.
    """
    weights = select_weights(content, file, choice, any_prefix=True)
    state = weights.tensors
    if not state:
        raise InputError(f"{file}: no tensors in it: not a checkpoint of weights")
    place = locate(state, file)
    if place is None:
        return CheckpointContents(state, dropped=weights.dropped, assumed=weights.assumed, notes=weights.notes)
    family, prefix = place
    backend = {name: tensor for name, tensor in state.items() if not name.startswith(prefix)}
    _, ssl, left_out = find_weights(state, file)
    pretraining = [name for name in left_out if name not in backend]
    settings = fairseq_wav2vec2.settings(content) if isinstance(content, dict) else {}
    network, assumed = network_of(ssl, settings, pretraining, file)
    return CheckpointContents(
        backend,
        family,
        ssl,
        network,
        {**weights.dropped, **dict.fromkeys(pretraining, PRETRAINING_ONLY)},
        [*weights.assumed, *assumed],
        weights.notes,
    )
