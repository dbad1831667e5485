"""Match audio files whose names differ from the label file in letter case, Unicode form or leading zeros.

File systems and scripts change names: ``LA_E_0001`` becomes ``la_e_0001``, an accent becomes a separate character,
``7`` becomes ``00007``. Such a file is matched only if exactly one file and one name in the label file agree.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field

LEADING_ZEROS = re.compile(r"(?<!\d)0+(?=\d)")


def fold(name: str) -> str:
    """Normalise letter case and Unicode form.

    >>> fold("LA_E_0001")
    'la_e_0001'
    """
    return name.lower() if name.isascii() else unicodedata.normalize("NFC", name).casefold()


def fold_numbers(name: str) -> str:
    """Normalise as ``fold`` does, and remove leading zeros of numbers.

    >>> fold_numbers("LA_E_0001"), fold_numbers("a00/7")
    ('la_e_1', 'a0/7')
    """
    return LEADING_ZEROS.sub("", fold(name))


@dataclass
class Spelling:
    """Names of files that differ from the label file.

    Attributes:
        files: Name in the label file -> name of the file.
        ambiguous: Descriptions of files that fit several names, or names that several files fit.
    """

    files: dict[str, str] = field(default_factory=dict)
    ambiguous: list[str] = field(default_factory=list)


def respell(wanted: Collection[str], present: Collection[str]) -> Spelling:
    """Match names in a label file that have no file of the same name with files of another spelling.

    Args:
        wanted: Names in the label file.
        present: Names of files.

    >>> respell({"LA_E_0001", "LA_E_0002"}, {"la_e_0001", "LA_E_0002", "x"}).files
    {'LA_E_0001': 'la_e_0001'}
    >>> respell({"7"}, {"07", "007"}).ambiguous
    ['07 and 007 for 7']
    """
    spelling = Spelling()
    unused = set(present).difference(wanted)
    lacking = set(wanted).difference(present)
    normalisations: tuple[Callable[[str], str], ...] = (fold, fold_numbers)
    for normalise in normalisations:
        if not unused or not lacking:
            break
        spelling.ambiguous.clear()  # the looser normalisation reports them again
        names, files = _by_key(wanted, normalise), _by_key(unused, normalise)
        for key in sorted(files.keys() & {normalise(name) for name in lacking}):
            if len(names[key]) == len(files[key]) == 1:
                (name,), (file,) = names[key], files[key]
                spelling.files[name] = file
                lacking.discard(name)
                unused.discard(file)
            elif not lacking.isdisjoint(names[key]):
                spelling.ambiguous.append(f"{' and '.join(files[key])} for {' and '.join(names[key])}")
    return spelling


def _by_key(names: Iterable[str], normalise: Callable[[str], str]) -> dict[str, list[str]]:
    result: dict[str, list[str]] = {}
    for name in sorted(names, key=lambda name: (len(name), name)):
        result.setdefault(normalise(name), []).append(name)
    return result
