"""Released checkpoints of systems, one module a family: their names, and what their tensors do not tell."""

from __future__ import annotations

from spooftrace.official import aasist, attm, codecfake, codecfake_plus, nes2net, sastnet, sls, w2v2_aasist
from spooftrace.official.base import Release

RELEASES: tuple[Release, ...] = (
    *aasist.RELEASES,
    *w2v2_aasist.RELEASES,
    *sls.RELEASES,
    *nes2net.RELEASES,
    *attm.RELEASES,
    *codecfake.RELEASES,
    *codecfake_plus.RELEASES,
    *sastnet.RELEASES,
)
SYSTEMS = tuple(dict.fromkeys(release.system for release in RELEASES))
