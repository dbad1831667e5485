"""``spooftrace codec list``: the codecs and channels, and which of them run on this machine."""

from __future__ import annotations

import shutil

from spooftrace.codecs.providers import own_weights
from spooftrace.codecs.table import Codec, codec_table
from spooftrace.derive.channels import IN_PROCESS, LINES

HEAD = ("codec", "family", "vq", "aux", "dec", "kHz", "codes/s", "Q", "entries", "kbit/s", "settings", "weights")
CELLS = ("vq", "aux", "dec", "khz", "frame_rate", "quantizers", "codebook", "kbps")


def print_table() -> None:
    """Print codecs and channels; ``?`` marks a value that has not been confirmed, ``-`` an unknown value."""
    rows = [HEAD, *(_row(codec) for codec in codec_table().codecs.values())]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    print("\n? not confirmed, - not known. NAME_qN: the first N of Q codebooks. Sources and corpora: conf/codecs.yaml.")
    print(f"\nchannels, in this process: {' '.join(IN_PROCESS)}")
    print(f"channels by ffmpeg ({'found' if shutil.which('ffmpeg') else 'not installed'}):")
    for kind, line in LINES.items():
        print(f"  {' '.join(f'{kind}_{kbps:g}k' for kbps in line.kbps)}")


def _row(codec: Codec) -> tuple[str, ...]:
    cells = [_cell(getattr(codec, cell)) + ("" if cell in codec.verified else "?") for cell in CELLS]
    cells = ["-" if cell == "-?" else cell for cell in cells]
    settings = f"1..{codec.quantizers}" if len(codec.settings) == codec.quantizers else _cell(codec.settings)
    return (codec.name, codec.family, *cells, settings if codec.settings else _cell(codec.quantizers), _weights(codec))


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, tuple):
        return " ".join(dict.fromkeys(map(_cell, value)))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _weights(codec: Codec) -> str:
    """Return ``here`` if the codec runs on this machine, the missing weights, or ``-`` without a provider."""
    if codec.model is None:
        return "-"
    if codec.provider == "own":
        return "here" if own_weights(codec).is_file() else f"no {codec.model}"
    from huggingface_hub import try_to_load_from_cache

    from spooftrace.pretrained.finding import find_folder

    available = find_folder(codec.model) or isinstance(try_to_load_from_cache(codec.model, "config.json"), str)
    return "here" if available else f"get {codec.model}"
