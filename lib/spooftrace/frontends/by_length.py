"""Networks that let padding into their numbers, kept away from it: only utterances of one length run together."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor


def map_by_length(
    run: Callable[[Tensor], Tensor], wave: Tensor, wave_len: Tensor, time: int | None = None, frames: int = 0
) -> Tensor:
    """Applies ``run`` to the utterances of each length at once, and puts the results together.

    Args:
        run: (b, n) of b whole utterances of n samples -> (b, ...).
        wave: (B, N).
        wave_len: (B,), none above N.
        time: Axis of the results that is as long as the utterance, counted from the end (-1, -2); None: there is none.
        frames: Size of that axis for the batch; what ``run`` gives is shorter or equal.

    Returns:
        (B, ...), zero after the end of each utterance.
    """
    output = None
    for length in wave_len.unique().tolist():
        chosen = (wave_len == length).nonzero().squeeze(1)
        part = run(wave[chosen, :length])
        if output is None:
            shape = [len(wave), *part.shape[1:]]
            if time is not None:
                shape[time] = frames
            output = part.new_zeros(shape)
        place = output if time is None else output.narrow(time, 0, part.shape[time])
        place[chosen] = part
    return output
