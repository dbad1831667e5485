"""Back-ends: features in, outputs out; one published model a file, torch and nothing else.

The contract. A back-end is an `nn.Module` whose `forward(x)` takes one batch and returns (B, num_outputs) raw outputs,
logits as a rule: no softmax, no loss. `x` is what its stream declares: waveforms (B, N) float32 at 16 kHz (AASIST),
frames (B, T, D) (Nes2NetX, LinearProbe) or vectors (B, D) (LinearProbe). `num_outputs` is a constructor argument and an
attribute of every back-end, and so is `input_dim`, the width D, wherever frames or vectors come in. An input of a wrong
shape raises a ValueError. Padding is not masked: batches hold crops of one length, or one utterance.

Names are what `class_path` in a configuration says. For detection the published class order is index 0 spoof,
index 1 bona fide.
"""

from spooftrace.backends.aasist import AASIST
from spooftrace.backends.linear import LinearProbe
from spooftrace.backends.nes2net import Nes2NetX

__all__ = ["AASIST", "LinearProbe", "Nes2NetX"]
