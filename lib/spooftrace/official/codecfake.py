"""LCNN and W2V2-AASIST on a frozen layer of XLS-R (xieyuankun/Codecfake), which is not in the files.

The files are pickled modules instead of state dicts. Bona fide is output 0 in them, and output 1 here.
"""

from __future__ import annotations

from functools import partial

from spooftrace.official.base import LOG_ODDS, XLS_R, Config, OfficialCheckpoint, adam, config, detection, node


def _config(_width: int, _depth: int, backend: str) -> Config:
    # transformers' hidden_states[5]; its feature extractor normalises the wave after the crop
    stream = node("HuggingFace", model=XLS_R, output="last", layers=[5], normalize=True, normalize_eps=1e-7)
    return config(stream, node(backend), adam(5e-4, 5e-4), detection("difference", [1, 10]))


def _checkpoint(system: str, title: str, backend: str, last: str) -> OfficialCheckpoint:
    return OfficialCheckpoint(
        system=system,
        title=f"{title} of Codecfake",
        repository="xieyuankun/Codecfake",
        score=LOG_ODDS,
        config=partial(_config, backend=backend),
        swapped=last,
    )


CHECKPOINTS = (
    _checkpoint("lcnn", "LCNN", "LCNN", "fc_mu"),
    _checkpoint("w2v2_aasist", "W2V2-AASIST", "W2V2AASIST", "out_layer"),
)
