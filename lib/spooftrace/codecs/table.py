"""The table of neural codecs, ``conf/codecs.yaml``: taxonomy, quantizers, bitrates, and the codecs of each corpus.

The comment at the top of that file describes its cells. An unknown, missing or contradictory cell is an error that
names the line. A codec with its first 8 codebooks has the name ``encodec_24khz_q8``, which ``utt2attack`` uses;
``utt2codec`` has the name without the number, ``encodec_24khz``.
"""

from __future__ import annotations

import difflib
import functools
import math
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from spooftrace.common.errors import InputError
from spooftrace.common.text import read_text

ROOT = Path(__file__).resolve().parents[3]  # <root>/lib/spooftrace/codecs/table.py
TABLE = ROOT / "conf" / "codecs.yaml"
TAXONOMY = {"vq": ("mvq", "svq", "sq"), "aux": ("none", "sem", "disent"), "dec": ("time", "freq")}
FIGURES = ("khz", "frame_rate", "quantizers", "codebook", "kbps")
CELLS = (*TAXONOMY, *FIGURES)  # what ``verified`` can name
REQUIRED = ("family", *CELLS, "source", "verified")
OPTIONAL = ("settings", "run", "arithmetic")
PROVIDERS = ("own", "encodec", "dac", "mimi", "xcodec")
LARGEST = 1_000_000  # larger values are typing errors
LABELS = ("utt2label", "utt2attack", "utt2vq", "utt2aux", "utt2dec", "utt2codec", "utt2nac")


@dataclass(frozen=True)
class Codec:
    """A row of the table; None is an unknown value. ``codebook`` and ``frame_rate`` have an entry per codebook."""

    name: str
    family: str
    vq: str
    aux: str
    dec: str
    khz: float | None
    frame_rate: tuple[float, ...] | None
    quantizers: int | None
    codebook: tuple[int, ...] | None
    kbps: float | None
    source: str
    verified: frozenset[str]
    settings: tuple[int, ...] = ()
    provider: str | None = None
    model: str | None = None
    arithmetic: str | None = None

    def computed_kbps(self, quantizers: int) -> float | None:
        """Return frame rate x log2(entries) of the first codebooks in kbit/s; None if a value is unknown."""
        if self.frame_rate is None or self.codebook is None or self.quantizers is None:
            return None
        bits = [rate * math.log2(size) for rate, size in zip(self.frame_rate, self.codebook, strict=True)]
        return sum(bits[:quantizers]) / 1000

    def setting(self, quantizers: int | None = None) -> CodecSetting:
        """Return this codec with its first ``quantizers`` codebooks, by default with all.

        Raises:
            InputError: The codec does not support this number.
        """
        if quantizers in (None, self.quantizers):
            return CodecSetting(self, self.quantizers)
        if quantizers not in self.settings:
            known = ", ".join(map(str, self.settings or (self.quantizers or "an unknown number of",)))
            raise InputError(f"codec '{self.name}': runs with {known} quantizers, not {quantizers}")
        return CodecSetting(self, quantizers)


@dataclass(frozen=True)
class CodecSetting:
    """A codec with its first ``quantizers`` codebooks; None if their number is unknown."""

    codec: Codec
    quantizers: int | None

    @property
    def name(self) -> str:
        """The name in ``utt2attack``: that of the codec, with ``_qN`` if the codec has several settings."""
        return f"{self.codec.name}_q{self.quantizers}" if self.codec.settings else self.codec.name

    @property
    def kbps(self) -> float | None:
        """Bitrate in kbit/s; None if unknown."""
        if self.quantizers is None or self.quantizers == self.codec.quantizers:
            return self.codec.kbps
        return self.codec.computed_kbps(self.quantizers)

    @property
    def nac(self) -> str:
        """The entry in ``utt2nac``: kHz, kbit/s, quantizers; ``-`` for unknown values.

        >>> find_setting("encodec_24khz_q8").nac
        '24 6 8'
        """
        return " ".join(map(_figure, (self.codec.khz, self.kbps, self.quantizers)))

    @property
    def labels(self) -> dict[str, str]:
        """Table of a data directory -> its entry for speech of this codec."""
        codec = self.codec
        return dict(
            zip(LABELS, ("spoof", self.name, codec.vq, codec.aux, codec.dec, codec.name, self.nac), strict=True)
        )


@dataclass(frozen=True)
class CodecUse:
    """The codec of a corpus: its name for ``find_setting``, and whether the documentation of the corpus confirms it."""

    codec: str
    verified: bool


@dataclass(frozen=True)
class CodecTable:
    """Codecs by name, and corpus -> name in the corpus -> codec."""

    codecs: dict[str, Codec]
    corpora: dict[str, dict[str, CodecUse]]

    def find(self, name: str) -> CodecSetting:
        """Return the codec and setting of ``NAME`` or ``NAME_qN``.

        Raises:
            InputError: The codec is unknown (the message has similar names), or does not have this setting.
        """
        match = re.fullmatch(r"(.+)_q([1-9]\d*)", name)
        base, count = (match[1], int(match[2])) if match and name not in self.codecs else (name, None)
        if base not in self.codecs:
            raise InputError(f"codec '{name}': not in {TABLE.name}; {nearest(base, self.codecs)}")
        return self.codecs[base].setting(count)


@functools.cache
def codec_table(path: Path = TABLE) -> CodecTable:
    """Read the table; the result is cached.

    Raises:
        InputError: The file is missing, is not YAML, or a cell is wrong (file and line are named).
    """
    try:
        if not path.is_file():
            raise InputError(f"{path}: no such file; it is part of the repository, check it out again")
        text = read_text(path)
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        line = getattr(getattr(error, "problem_mark", None), "line", 0) + 1
        raise InputError(f"{path}:{line}: not YAML: {getattr(error, 'problem', error)}; correct the line") from None
    if root is None:
        raise InputError(f"{path}:1: is empty; check the repository out again")
    parts = {key: node for key, _, node in _entries(root, path, ("codecs", "corpora"))}
    codecs = {name: _codec(name, line, node, path) for name, line, node in _entries(parts["codecs"], path)}
    table = CodecTable(codecs, {})
    for corpus, _, node in _entries(parts["corpora"], path):
        table.corpora[corpus] = dict(_uses(node, path, table))
    return table


def find_setting(name: str) -> CodecSetting:
    """Return ``codec_table().find(name)``."""
    return codec_table().find(name)


def nearest(name: str, known: Collection[str]) -> str:
    """Return a hint for an unknown name: similar names, or all names.

    >>> nearest("opsu", ["opus", "mp3"])
    'did you mean opus?'
    """
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    if close:
        return f"did you mean {', '.join(close)}?"
    return f"known: {', '.join(known)}" if len(known) <= 20 else "'spooftrace codec list' shows all names"


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


def _entries(
    node: yaml.Node, path: Path, required: tuple[str, ...] = (), optional: tuple[str, ...] | None = None
) -> Iterator[tuple[str, int, yaml.Node]]:
    """Yield key, line and value node of a mapping; with ``required``, accept only these and ``optional`` keys."""
    line = node.start_mark.line + 1
    if not isinstance(node, yaml.MappingNode):
        raise InputError(f"{path}:{line}: expected 'name: value' entries")
    seen: set[str] = set()
    for key, value in node.value:
        at = f"{path}:{key.start_mark.line + 1}"
        if not isinstance(key, yaml.ScalarNode):
            raise InputError(f"{at}: the name of an entry must be one word")
        if key.value in seen:
            raise InputError(f"{at}: '{key.value}' is there twice; remove one")
        if required and key.value not in (*required, *(optional or ())):
            raise InputError(f"{at}: unknown cell '{key.value}'; {nearest(key.value, (*required, *(optional or ())))}")
        seen.add(key.value)
        yield key.value, key.start_mark.line + 1, value
    missing = [key for key in required if key not in seen]
    if missing:
        raise InputError(f"{path}:{line}: the cell '{missing[0]}' is missing; write ~ if its value is unknown")


def _value(node: yaml.Node, path: Path) -> Any:
    loader = yaml.SafeLoader("")
    try:
        return loader.construct_object(node, deep=True)
    except (yaml.YAMLError, ValueError) as error:  # a tag, an anchor inside itself, an impossible date
        raise InputError(f"{path}:{node.start_mark.line + 1}: unusable value; write a number or text") from error
    finally:
        loader.dispose()


def _codec(name: str, line: int, node: yaml.Node, path: Path) -> Codec:
    at = f"{path}:{line}: {name}"
    cells = {key: _value(value, path) for key, _, value in _entries(node, path, REQUIRED, OPTIONAL)}
    for key, known in TAXONOMY.items():
        if cells[key] not in known:
            raise InputError(f"{at}: {key} is '{cells[key]}'; use one of {', '.join(known)}")
    for key in ("family", "source"):
        if not isinstance(cells[key], str) or not cells[key]:
            raise InputError(f"{at}: {key} must be text")
    count = cells["quantizers"]
    for key in FIGURES:
        values = cells[key] if isinstance(cells[key], list) else [cells[key]]
        whole = key in ("quantizers", "codebook")
        kinds = (int,) if whole else (int, float)
        if values != [None] and not all(type(value) in kinds and 0 < value < LARGEST for value in values):
            raise InputError(f"{at}: {key} must be {'a whole number' if whole else 'a number'} above 0, or ~")
        if isinstance(cells[key], list) and (key not in ("frame_rate", "codebook") or len(values) != count):
            raise InputError(f"{at}: {key} has {len(values)} values for {count} quantizers")
    for key in ("frame_rate", "codebook"):
        if cells[key] is not None:
            cells[key] = tuple(cells[key]) if isinstance(cells[key], list) else (cells[key],) * (count or 1)
    cells["verified"] = _verified(cells["verified"], at)
    cells["settings"] = _settings(cells.get("settings"), count, at)
    run = cells.pop("run", None)
    if run is not None:
        good = isinstance(run, dict) and set(run) == {"provider", "model"} and isinstance(run["model"], str)
        if not good or run["provider"] not in PROVIDERS:
            raise InputError(f"{at}: run must be {{provider: {' | '.join(PROVIDERS)}, model: NAME}}")
        cells |= run
    return Codec(name=name, **cells)


def _verified(value: Any, at: str) -> frozenset[str]:
    if value in ("all", "none"):
        return frozenset(CELLS if value == "all" else ())
    if isinstance(value, list) and all(cell in CELLS for cell in value):
        return frozenset(value)
    raise InputError(f"{at}: verified must be all, none or a list of {', '.join(CELLS)}")


def _settings(value: Any, quantizers: int | None, at: str) -> tuple[int, ...]:
    if value is None:
        return ()
    if quantizers is not None:
        if value == "any":
            return tuple(range(1, quantizers + 1))
        counts = [count for count in range(1, quantizers + 1) if isinstance(value, list) and count in value]
        if counts and value == counts and counts[-1] == quantizers:
            return tuple(counts)
    raise InputError(f"{at}: settings must be any, or increasing numbers of quantizers up to all {quantizers}")


def _uses(node: yaml.Node, path: Path, table: CodecTable) -> Iterator[tuple[str, CodecUse]]:
    for name, line, value in _entries(node, path):
        cells = {key: _value(cell, path) for key, _, cell in _entries(value, path, ("codec", "verified"))}
        if type(cells["verified"]) is not bool or not isinstance(cells["codec"], str):
            raise InputError(f"{path}:{line}: {name}: codec must be a name, verified true or false")
        try:
            table.find(cells["codec"])
        except InputError as error:
            raise InputError(f"{path}:{line}: {name}: {error}") from None
        yield name, CodecUse(**cells)
