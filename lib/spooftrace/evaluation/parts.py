"""Which utterances of a test set are judged together, besides all of them: those of a subset, those of an attack."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spooftrace.common.errors import InputError
from spooftrace.datadir import read_table, table_path
from spooftrace.evaluation.outputs import NOTHING
from spooftrace.evaluation.trials import first

Array = np.ndarray

PART_CONVENTION = (
    "Figures of a subset are those of its utterances and of all that are in none ('-', such as bona fide speech where "
    "subsets are of spoofed speech); those of an attack are of its utterances alone. null: nothing of it can be judged."
)
AXES = ("subset", "attack")


@dataclass(frozen=True)
class Part:
    """Some of the N utterances of a test set."""

    axis: str  # the property that they share: subset or attack
    name: str
    own: Array  # which are of this part, bool (N,)
    judged: Array  # the same and those that count for every part, bool (N,)


def parts_of(data: Path, utts: Sequence[str]) -> Iterator[Part]:
    """The subsets of ``utt2subset``, if there are two or more, and the attacks of ``utt2attack``, by name.

    Utterances without a subset (``-``) count for each; those without an attack for none. A table that is not there has
    no parts.

    Raises:
        InputError: a table that is malformed or lacks one of the utterances.
    """
    for axis in AXES:
        path = table_path(data, f"utt2{axis}")
        if not path.is_file():
            continue
        table = read_table(path)
        missing = [utt for utt in utts if utt not in table]
        if missing:
            raise InputError(
                f"{path}: nothing for {len(missing)} of {len(utts)} utterances ({first(missing)}); prepare the data "
                f"again ('{NOTHING}' where there is no {axis})"
            )
        values = np.array([table[utt] for utt in utts])
        names = [name for name in np.unique(values).tolist() if name != NOTHING]
        if axis == "subset" and len(names) == 1:
            continue
        for name in names:
            own = values == name
            yield Part(axis, name, own, own | (values == NOTHING) if axis == "subset" else own)
