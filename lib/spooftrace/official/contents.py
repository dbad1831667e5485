"""Split the checkpoint of a system into its back-end and its self-supervised model, if it has one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from spooftrace.common.errors import InputError
from spooftrace.pretrained import fairseq_wav2vec2
from spooftrace.pretrained.convert import build_network, find_weights, locate_weights
from spooftrace.pretrained.state_dict import select_weights

PRETRAINING_ONLY = "for pre-training only"


@dataclass(frozen=True)
class CheckpointContents:
    """Contents of a system's checkpoint.

    Attributes:
        backend: Tensors of the back-end under official names.
        family: Family of the self-supervised model, None without one.
        ssl: Tensors of the self-supervised model under transformers' names.
        network: The transformers model of these tensors, on the meta device.
        dropped: Name of each tensor that the system does not need, with the reason.
        assumed: Sizes of the model that the tensors do not determine.
        notes: Remarks about containers, wrappers and prefixes.
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
    """Split the content of a checkpoint; for ``choice`` see ``spooftrace.pretrained.state_dict.select_weights``.

    Raises:
        InputError: The file has no weights, several sets and no choice, or an incomplete self-supervised model.
    """
    weights = select_weights(content, file, choice, any_prefix=True)
    state = weights.tensors
    if not state:
        raise InputError(f"{file}: has no tensors: not a checkpoint of weights")
    location = locate_weights(state, file)
    if location is None:
        return CheckpointContents(state, dropped=weights.dropped, assumed=weights.assumed, notes=weights.notes)
    family, prefix = location
    backend = {name: tensor for name, tensor in state.items() if not name.startswith(prefix)}
    _, ssl, left_out = find_weights(state, file)
    pretraining = [name for name in left_out if name not in backend]
    settings = fairseq_wav2vec2.settings(content) if isinstance(content, dict) else {}
    network, assumed = build_network(ssl, settings, pretraining, file)
    return CheckpointContents(
        backend,
        family,
        ssl,
        network,
        {**weights.dropped, **dict.fromkeys(pretraining, PRETRAINING_ONLY)},
        [*weights.assumed, *assumed],
        weights.notes,
    )
