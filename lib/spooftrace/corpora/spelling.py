"""Audio files whose names are spelt unlike those of the label file: letter case, Unicode form, zeros before numbers.

File systems and scripts change names: ``LA_E_0001`` becomes ``la_e_0001``, an accent becomes a letter of its own, ``7``
becomes ``00007``. Such a file is taken for the one of the label file only where no other file, and no other name of the
label file, could be meant.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field

LEADING_ZEROS = re.compile(r"(?<!\d)0+(?=\d)")


def fold(name: str) -> str:
    """A name without differences of letter case and Unicode form.

    >>> fold("LA_E_0001")
    'la_e_0001'
    """
    return name.lower() if name.isascii() else unicodedata.normalize("NFC", name).casefold()


def fold_numbers(name: str) -> str:
    """A name without these differences and without zeros before its numbers.

    >>> fold_numbers("LA_E_0001"), fold_numbers("a00/7")
    ('la_e_1', 'a0/7')
    """
    return LEADING_ZEROS.sub("", fold(name))


@dataclass
class Spelling:
    """How the files of a folder are spelt.

    Attributes:
        files: name in the label file -> name of the file, where they differ.
        ambiguous: what cannot be told apart, in words.
    """

    files: dict[str, str] = field(default_factory=dict)
    ambiguous: list[str] = field(default_factory=list)


def respell(wanted: Collection[str], present: Collection[str]) -> Spelling:
    """Match names that are in a label file but not among the files with files of another spelling.

    Args:
        wanted: names in the label file.
        present: names of files.

    >>> respell({"LA_E_0001", "LA_E_0002"}, {"la_e_0001", "LA_E_0002", "x"}).files
    {'LA_E_0001': 'la_e_0001'}
    >>> respell({"7"}, {"07", "007"}).ambiguous
    ['07 and 007 for 7']
    """
    spelling = Spelling()
    unused = set(present).difference(wanted)
    lacking = set(wanted).difference(present)
    readings: tuple[Callable[[str], str], ...] = (fold, fold_numbers)
    for reading in readings:
        if not unused or not lacking:
            break
        spelling.ambiguous.clear()  # a looser reading finds them again
        names, files = _by_key(wanted, reading), _by_key(unused, reading)
        for key in sorted(files.keys() & {reading(name) for name in lacking}):
            if len(names[key]) == len(files[key]) == 1:
                (name,), (file,) = names[key], files[key]
                spelling.files[name] = file
                lacking.discard(name)
                unused.discard(file)
            elif not lacking.isdisjoint(names[key]):
                spelling.ambiguous.append(f"{' and '.join(files[key])} for {' and '.join(names[key])}")
    return spelling


def _by_key(names: Iterable[str], reading: Callable[[str], str]) -> dict[str, list[str]]:
    result: dict[str, list[str]] = {}
    for name in sorted(names, key=lambda name: (len(name), name)):
        result.setdefault(reading(name), []).append(name)
    return result
