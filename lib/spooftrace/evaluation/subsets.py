"""Subsets of a test set with metrics of their own: the official subsets, and the utterances of each attack."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spooftrace.common.errors import InputError
from spooftrace.datadir import read_table
from spooftrace.datadir.tables import table_path
from spooftrace.evaluation.outputs import NO_VALUE
from spooftrace.evaluation.trials import first

Array = np.ndarray

SUBSET_CONVENTION = (
    "Metrics of an official subset are computed on its utterances and on those without a subset ('-', such as bona "
    "fide speech where subsets divide the spoofed speech); metrics of an attack on its utterances alone. null: there "
    "is no utterance to evaluate."
)
AXES = ("subset", "attack")


@dataclass(frozen=True)
class Subset:
    """Some of the N utterances of a test set.

    Attributes:
        axis: The property that they share: ``subset`` or ``attack``.
        name: Its value.
        own: Utterances with this value, bool (N,).
        judged: Utterances that are evaluated together: ``own``, and those without a subset, bool (N,).
    """

    axis: str
    name: str
    own: Array
    judged: Array


def subsets_of(data: Path, utts: Sequence[str]) -> Iterator[Subset]:
    """The values of ``utt2subset``, if there are at least two, and those of ``utt2attack``, sorted by name.

    Utterances without a subset (``-``) belong to all subsets; those without an attack to none. Both
    tables are optional.

    Args:
        data: Data directory of the test set.
        utts: The N utterances to evaluate.

    Raises:
        InputError: A table is malformed or lacks one of the utterances.
    """
    for axis in AXES:
        path = table_path(data, f"utt2{axis}")
        if not path.is_file():
            continue
        table = read_table(path)
        missing = [utt for utt in utts if utt not in table]
        if missing:
            raise InputError(
                f"{path}: no entry for {len(missing)} of {len(utts)} utterances ({first(missing)}); prepare the data "
                f"again ('{NO_VALUE}' for utterances without {axis})"
            )
        values = np.array([table[utt] for utt in utts])
        names = [name for name in np.unique(values).tolist() if name != NO_VALUE]
        if axis == "subset" and len(names) == 1:
            continue
        for name in names:
            own = values == name
            yield Subset(axis, name, own, own | (values == NO_VALUE) if axis == "subset" else own)
