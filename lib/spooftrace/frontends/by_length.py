"""Batch utterances of equal length, for networks whose output changes with padding."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor


def map_by_length(
    run: Callable[[Tensor], Tensor], wave: Tensor, wave_len: Tensor, time: int | None = None, frames: int = 0
) -> Tensor:
    """Apply ``run`` to the utterances of each length, and combine the results.

    Args:
        run: Maps b utterances of n samples, (b, n), to (b, ...).
        wave: (B, N), with B of at least 1.
        wave_len: (B,), at most N.
        time: Time axis of the results, counted from the end (-1, -2); None if they have none.
        frames: Size of the time axis for the batch, at least that of each result.

    Returns:
        (B, ...), zero after the end of each utterance.
    """
    output: Tensor | None = None
    for length in wave_len.unique().tolist():
        selected = (wave_len == length).nonzero().squeeze(1)
        part = run(wave[selected, :length])
        if output is None:
            shape = [len(wave), *part.shape[1:]]
            if time is not None:
                shape[time] = frames
            output = part.new_zeros(shape)
        target = output if time is None else output.narrow(time, 0, part.shape[time])
        target[selected] = part
    assert output is not None  # the batch is not empty
    return output
