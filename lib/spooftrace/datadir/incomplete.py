"""What a data directory lacks of the set that its name stands for: the file ``incomplete.json``.

Figures on a part of a test set cannot be compared with those on all of it, nor can systems that were trained on a part
of a corpus. Every command that leaves something out writes it here, and commands that make a directory out of others
carry it over. Training, scoring and evaluation copy it into ``run.json``, ``scores.json`` and ``metrics.json``, and the
report marks the rows and figures concerned. A complete directory has no such file.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from spooftrace.common.errors import InputError
from spooftrace.common.json_files import json_text, parse_json
from spooftrace.common.text import read_text
from spooftrace.datadir.tables import write_text

FILE = "incomplete.json"
# What may be missing, as it reads after a number: "12 of 71,237 audio files missing from the corpus".
TRIALS = "trials missing from the protocol"
AUDIO = "audio files missing from the corpus"
WHOLE_SET = "set not in the corpus"
UNUSABLE = "utterances left out for unusable audio"
REJECTED = "copies rejected"
REPAIRED = "utterances left out by fix_data_dir.sh"
NOT_COMPARABLE = "INCOMPLETE, not comparable with figures on the whole set"


@dataclass(frozen=True)
class Gap:
    """One thing that is missing.

    Attributes:
        set: The data directory where it went missing, by its last name; others are made out of it.
        what: A phrase such as those above.
        missing: How many.
        of: Out of how many.
    """

    set: str
    what: str
    missing: int
    of: int

    def __str__(self) -> str:
        if not self.missing:  # the released number, but of other classes or attacks
            return f"{self.set}: other counts than the release has among {self.of:,} trials"
        return f"{self.set}: {self.missing:,} of {self.of:,} {self.what}"


def read_gaps(data: str | Path) -> list[Gap]:
    """What a data directory lacks; nothing for a complete one, or for anything that is no such directory.

    Raises:
        InputError: ``incomplete.json`` cannot be read as that.
    """
    path = Path(data) / FILE
    if not path.is_file():
        return []
    try:
        return gaps_of(parse_json(read_text(path)))
    except (ValueError, TypeError) as error:
        raise InputError(f"{path}: not a list of what is missing ({error}); prepare the data directory again") from None


def gaps_of(content: Iterable[Mapping[str, Any]]) -> list[Gap]:
    """Gaps as they stand in JSON.

    Raises:
        TypeError, ValueError: It is something else.
    """
    gaps = [Gap(**gap) for gap in content]
    for gap in gaps:
        if not all(isinstance(number, int) for number in (gap.missing, gap.of)):
            raise ValueError(f"{gap.missing!r} of {gap.of!r} are no counts")
    return gaps


def as_json(gaps: Iterable[Gap]) -> list[dict[str, Any]]:
    """Gaps as they stand in JSON files, each once."""
    return [asdict(gap) for gap in dict.fromkeys(gaps)]


def write_gaps(data: str | Path, gaps: Collection[Gap]) -> None:
    """Write down what a data directory lacks; without gaps the file goes."""
    text = json_text(as_json(gaps), sort_keys=False) + "\n" if gaps else ""
    write_text(Path(data) / FILE, text)


def replace_gaps(data: str | Path, kinds: Collection[str], gaps: Sequence[Gap]) -> None:
    """Write down ``gaps`` in the place of those of these kinds that went missing in this very directory."""
    name = Path(data).resolve().name
    kept = [gap for gap in read_gaps(data) if gap.set != name or gap.what not in kinds]
    write_gaps(data, [*kept, *gaps])


def carry_gaps(sources: Iterable[str | Path], dest: str | Path) -> None:
    """Let ``dest``, made out of ``sources``, lack what they lack."""
    write_gaps(dest, list(dict.fromkeys(gap for source in sources for gap in read_gaps(source))))
