"""Official checkpoints of whole systems, one module per family: tensor names and settings that tensors lack."""

from __future__ import annotations

from spooftrace.official import aasist, attm, codecfake, codecfake_plus, nes2net, sastnet, sls, w2v2_aasist
from spooftrace.official.base import OfficialCheckpoint

OFFICIAL_CHECKPOINTS: tuple[OfficialCheckpoint, ...] = (
    *aasist.CHECKPOINTS,
    *w2v2_aasist.CHECKPOINTS,
    *sls.CHECKPOINTS,
    *nes2net.CHECKPOINTS,
    *attm.CHECKPOINTS,
    *codecfake.CHECKPOINTS,
    *codecfake_plus.CHECKPOINTS,
    *sastnet.CHECKPOINTS,
)
SYSTEMS = tuple(dict.fromkeys(checkpoint.system for checkpoint in OFFICIAL_CHECKPOINTS))
