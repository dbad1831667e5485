"""Settings of augmentation in a configuration, and the check of their combination."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from spooftrace.common.errors import InputError


@dataclass
class Noise:
    """Recorded noise, e.g. MUSAN, from the files of an scp, at a signal-to-noise ratio drawn from ``snr`` (dB)."""

    scp: str
    snr: tuple[float, float] = (0.0, 15.0)
    prob: float = 0.5


@dataclass
class Reverb:
    """Room impulse responses from the files of an scp."""

    scp: str
    prob: float = 0.5


@dataclass
class Codecs:
    """Codecs, of which one is drawn from ``names``; ``spooftrace.audio.channels`` describes them."""

    names: list[Literal["mulaw", "alaw", "gsm", "mp3", "vorbis", "opus"]]
    prob: float = 0.5


@dataclass
class SpecAugment:
    """Masks of random size; the defaults are the mild policy (SM) of the paper.

    Args:
        time_masks: Number of masked time spans.
        max_frames: Maximum frames of a span.
        max_share: Maximum length of a span as a fraction of the utterance.
        dim_masks: Number of masked bands of neighbouring dimensions.
        max_dims: Maximum dimensions of a band.
    """

    time_masks: int = 2
    max_frames: int = 70
    max_share: float = 0.2
    dim_masks: int = 2
    max_dims: int = 15


class AugmentOptions(Protocol):
    """The settings that ``spooftrace.audio.augment.Augmentation`` reads; None or 0 disables a step."""

    reverb: Reverb | None
    noise: Noise | None
    codec: Codecs | None
    spec_augment: SpecAugment | None

    @property
    def rawboost(self) -> int: ...


AUGMENTATIONS = {"noise": Noise, "reverb": Reverb, "codec": Codecs, "spec_augment": SpecAugment}


def check_augmentation(data: Mapping[str, Any], where: str) -> None:
    """Refuse incompatible settings.

    Args:
        data: The section ``data`` of a configuration, as plain dictionaries.
        where: The files of the configuration, for messages.

    Raises:
        InputError: The waveform is augmented although a stream is cached, frames are masked although no stream is
            cached, a probability is outside of 0 to 1, a range is empty, or no codec is given.
    """
    turned_on = [name for name in ("rawboost", *AUGMENTATIONS) if data[name]]
    of_waves = [name for name in turned_on if name != "spec_augment"]
    if of_waves and data["cached"]:
        raise InputError(
            f"{where}: data.{of_waves[0]} changes the waveform, which the cached stream '{data['cached'][0]}' would "
            f"not show; take it out of data.cached or out of the augmentation"
        )
    if data["spec_augment"] and not data["cached"]:
        raise InputError(f"{where}: data.spec_augment masks cached frames, but data.cached is empty")
    for name in turned_on:
        prob = data[name].get("prob", 1.0) if name in AUGMENTATIONS else 1.0
        if not 0 <= prob <= 1:
            raise InputError(f"{where}: data.{name}.prob is {prob}; a probability lies between 0 and 1")
    if data["noise"] and data["noise"]["snr"][0] > data["noise"]["snr"][1]:
        raise InputError(f"{where}: data.noise.snr is {data['noise']['snr']}; write the lower value first")
    if data["codec"] and not data["codec"]["names"]:
        raise InputError(f"{where}: data.codec.names is empty; name a codec or leave data.codec out")
