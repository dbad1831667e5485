"""Splitting: for array jobs into N parts of nearly equal size, and into two parts that share no speaker, codec ..."""

from __future__ import annotations

import zlib
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise
from pathlib import Path
from typing import TypeVar

from spooftrace.common.atomic import atomic_write
from spooftrace.common.errors import InputError
from spooftrace.datadir.directory import DataDir, known_files
from spooftrace.datadir.edit import evenly_spaced, restrict
from spooftrace.datadir.tables import table_path

Item = TypeVar("Item")


def split_evenly(items: Sequence[Item], parts: int) -> list[Sequence[Item]]:
    """Consecutive parts; the first ``len(items) % parts`` are one longer.

    Raises:
        InputError: Fewer items than parts.

    >>> [len(part) for part in split_evenly(range(10), 3)]
    [4, 3, 3]
    """
    if not 1 <= parts <= len(items):
        raise InputError(f"cannot split {len(items)} entries into {parts} parts; use fewer jobs")
    size, longer = divmod(len(items), parts)
    ends = [index * size + min(index, longer) for index in range(parts + 1)]
    return [items[start:end] for start, end in pairwise(ends)]


def split_by_speaker(utts: Sequence[str], utt2spk: Mapping[str, str], parts: int) -> list[list[str]]:
    """Parts that never share a speaker: consecutive speakers, in the order in which they first occur in ``utts``.

    Every boundary is the one between two speakers that is nearest to the even split, as far as that leaves every part
    a speaker. Within a part the order of ``utts`` stays.

    Raises:
        InputError: Fewer speakers than parts, or an utterance without a speaker.
    """
    counts: dict[str, int] = {}
    for utt in utts:
        if utt not in utt2spk:
            raise InputError(f"utterance '{utt}' is not in utt2spk; take the utt2spk of the same data directory")
        counts[utt2spk[utt]] = counts.get(utt2spk[utt], 0) + 1
    if not 1 <= parts <= len(counts):
        raise InputError(
            f"cannot split {len(counts)} speakers into {parts} parts; use fewer jobs or split by utterance"
        )
    reached = [0, *accumulate(counts.values())]  # utterances of the first k speakers
    cuts = [0]
    for part in range(1, parts):
        ideal = len(utts) * part / parts
        cut = bisect_left(reached, ideal)
        if ideal - reached[cut - 1] <= reached[cut] - ideal:
            cut -= 1
        cuts.append(min(max(cut, cuts[-1] + 1), len(counts) - (parts - part)))  # every part gets a speaker
    cuts.append(len(counts))
    part_of: dict[str, int] = {}
    speakers = list(counts)
    for part, (start, end) in enumerate(pairwise(cuts)):
        part_of.update(dict.fromkeys(speakers[start:end], part))
    result: list[list[str]] = [[] for _ in range(parts)]
    for utt in utts:
        result[part_of[utt2spk[utt]]].append(utt)
    return result


def split_disjoint(data: DataDir, name: str, share: float) -> tuple[list[str], list[str]]:
    """Two parts of a data directory that share no value of a table: speakers, codecs, attacks ...

    Whole values go to the first part, in an order that does not depend on the beginning of their names, each if the
    part then is nearer to its share; the same ones every time. ``-`` is no value: bona fide speech has no codec, and of
    such utterances the same share goes to the first part, evenly spaced. Speakers must all be known.

    Args:
        data: The directory.
        name: The table, such as ``utt2spk`` or ``utt2codec``.
        share: Share of the utterances that the first part is to have, between 0 and 1.

    Returns:
        The utterances of the first part and the others, each sorted.

    Raises:
        InputError: No such table, or less than two values in it, a share not between 0 and 1, or an unknown speaker.
    """
    if not name.startswith("utt2"):
        raise InputError(f"'{name}' is not a table of utterances; give one such as utt2spk")
    if not 0 < share < 1:
        raise InputError(f"a share of {share:g} is not between 0 and 1; give one such as 0.1")
    groups: dict[str, list[str]] = {}
    for utt, value in data.table(name).items():
        groups.setdefault(value, []).append(utt)
    free = groups.pop("-", [])
    if free and name == "utt2spk":
        raise InputError(
            f"{data.path / name}: the speaker of '{free[0]}' is unknown, '-'; leave such utterances out first"
        )
    if len(groups) < 2:
        raise InputError(f"{data.path / name}: has {len(groups)} values, two parts need 2; split by another table")
    order = sorted(groups, key=lambda value: (zlib.crc32(value.encode()), value))
    goal = share * sum(map(len, groups.values()))
    first: list[str] = []
    for value in order:
        if abs(len(first) + len(groups[value]) - goal) < abs(len(first) - goal):
            first += groups[value]
    if not first:
        first = groups[min(order, key=lambda value: len(groups[value]))]
    elif len(first) == sum(map(len, groups.values())):
        kept = set(groups[min(order, key=lambda value: len(groups[value]))])
        first = [utt for utt in first if utt not in kept]
    chosen = {*first, *evenly_spaced(free, round(share * len(free)))}
    return sorted(chosen), [utt for utt in data.utts if utt not in chosen]


def split_dir(path: str | Path, parts: int, per_utt: bool = False) -> list[Path]:
    """Write ``path/splitN/1`` ... ``N``, by speaker, or with ``per_utt`` ``path/splitNutt/1`` ..., by utterance.

    Nothing is done when the split was made from the files as they are now.

    Returns:
        The directories of the parts.

    Raises:
        InputError: The directory is not sound, or has fewer speakers (utterances) than parts.
    """
    path = Path(path)
    folder = path / f"split{parts}{'utt' if per_utt else ''}"
    folders = [folder / str(number) for number in range(1, parts + 1)]
    inputs = [(name, table_path(path, name).stat()) for name in known_files(path)]
    stamp = "".join(f"{name} {stat.st_size} {stat.st_mtime_ns}\n" for name, stat in inputs)
    done = folder / ".done"
    if done.is_file() and done.read_text() == stamp and all((part / "utt2spk").is_file() for part in folders):
        return folders
    data = DataDir.read(path, allow_pipes=True)
    try:
        lists = split_evenly(data.utts, parts) if per_utt else split_by_speaker(data.utts, data.table("utt2spk"), parts)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    done.unlink(missing_ok=True)
    for part, utts in zip(folders, lists, strict=True):
        DataDir.write(part, restrict(data.tables, utts), allow_pipes=True)
    with atomic_write(done) as file:
        file.write(stamp)
    return folders
