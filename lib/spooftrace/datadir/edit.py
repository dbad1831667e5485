"""Data directories made out of others: repaired, cut down, joined."""

from __future__ import annotations

import re
import shutil
import zlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path

from spooftrace.common.errors import InputError
from spooftrace.datadir.checks import is_keyed_by_utterance, problems_in_tables
from spooftrace.datadir.directory import DataDir, known_files
from spooftrace.datadir.incomplete import REPAIRED, WHOLE_SET, Gap, carry_gaps, read_gaps, replace_gaps
from spooftrace.datadir.tables import (
    has_content,
    read_messy_table,
    select,
    spk2utt_from_utt2spk,
    table_path,
    table_text,
    write_text,
)

Tables = dict[str, dict[str, str]]
SHOWN = 20  # values of a table that a message names


def restrict(tables: Mapping[str, Mapping[str, str]], utts: Iterable[str]) -> Tables:
    """The same tables for a subset of the utterances (given sorted by bytes) and the recordings that they need."""
    utts = list(utts)
    result = {name: select(table, utts) for name, table in tables.items() if is_keyed_by_utterance(name, tables)}
    if "segments" in tables and "wav.scp" in tables:
        used = {value.split(maxsplit=1)[0] for value in result["segments"].values()}
        result["wav.scp"] = select(tables["wav.scp"], sorted(used))
    result["spk2utt"] = spk2utt_from_utt2spk(result["utt2spk"])
    return result


def fix(path: str | Path) -> list[str]:
    """Repair what needs no decision: order, blank and repeated lines, utterances that some file lacks, ``spk2utt``.

    The former version of every file that changes is kept in ``.backup`` inside the directory.

    Returns:
        What was done, one line each; empty if the directory was in order.

    Raises:
        InputError: No utterance is in all files, or something is wrong that only the user can decide: a key with two
            different values, an unknown label, a bad segment ... Then no file is touched.
    """
    path = Path(path)
    if not path.is_dir():
        raise InputError(f"{path}: no such data directory")
    done: list[str] = []
    tables: Tables = {}
    files: dict[str, Path] = {}
    for name in known_files(path):
        files[name] = table_path(path, name)
        tables[name], repairs = read_messy_table(files[name])
        if name != "spk2utt":  # is derived again in any case
            done += repairs
    if "utt2spk" not in tables:
        raise InputError(f"{path / 'utt2spk'}: no such file; prepare the data directory again (stage 1)")
    utts = dict.fromkeys(tables["utt2spk"])
    for name, table in tables.items():
        if is_keyed_by_utterance(name, tables):
            utts = {utt: None for utt in utts if utt in table}
    if "segments" in tables and "wav.scp" in tables:
        wav, segments = tables["wav.scp"], tables["segments"]
        utts = {utt: None for utt in utts if segments[utt].split(maxsplit=1)[0] in wav}
    if not utts:
        raise InputError(f"{path}: no utterance is in all of {', '.join(tables)}; prepare the data directory again")
    fixed = restrict(tables, utts)
    for name, table in fixed.items():
        if len(table) < len(tables.get(name, {})) and name != "spk2utt":
            done.append(f"{path / name}: kept {len(table)} of {len(tables[name])} entries, those that all files have")
    changed = [name for name, table in fixed.items() if not has_content(path / name, table_text(table, path / name))]
    done += [f"{path / name}: renamed from {file.name}" for name, file in files.items() if file.name != name]
    if "spk2utt" in changed:
        done.append(f"{path / 'spk2utt'}: derived from utt2spk")
    done += [f"{path / name}: sorted" for name in changed if not any(f"{path / name}:" in line for line in done)]
    if changed:
        for problem in problems_in_tables(path, fixed, allow_pipes=True):
            raise InputError(problem)
        (path / ".backup").mkdir(exist_ok=True)
        for name in set(changed) & set(tables):
            shutil.copy2(files[name], path / ".backup" / files[name].name)
    if lost := len(tables["utt2spk"]) - len(fixed["utt2spk"]):
        name = path.resolve().name
        before = sum(gap.missing for gap in read_gaps(path) if (gap.set, gap.what) == (name, REPAIRED))
        listed = before + len(tables["utt2spk"])
        replace_gaps(path, [REPAIRED], [Gap(name, REPAIRED, before + lost, listed)])
    DataDir.write(path, fixed, allow_pipes=True)
    return done


def evenly_spaced(items: Sequence[str], count: int) -> list[str]:
    """``count`` items at equal distances, the first one included.

    >>> evenly_spaced("abcdef", 3)
    ['a', 'c', 'e']
    """
    return [items[index * len(items) // count] for index in range(count)]


def choose(data: DataDir, how: str, count: int) -> list[str]:
    """Choose utterances of a data directory, the same ones every time.

    Args:
        data: The directory.
        how: ``spaced`` (evenly over the sorted list), ``first``, ``last``, ``shortest`` (needs ``utt2dur`` or
            ``segments``), ``per-spk`` (up to ``count`` of every speaker, evenly spaced), or ``speakers`` (whole
            speakers, in an order that does not depend on their names' beginning, until there are ``count``
            utterances or more).
        count: How many; for ``per-spk`` the number per speaker.

    Raises:
        InputError: ``count`` is below 1 or above the number of utterances, or durations are missing.
    """
    utts = data.utts
    if count < 1 or (count > len(utts) and how != "per-spk"):
        raise InputError(f"{data.path}: cannot choose {count} of {len(utts)} utterances; give a number from 1 to that")
    if how in ("per-spk", "speakers"):
        speakers = {spk: line.split() for spk, line in spk2utt_from_utt2spk(data.table("utt2spk")).items()}
        if how == "per-spk":
            return sorted(utt for own in speakers.values() for utt in evenly_spaced(own, min(count, len(own))))
        chosen: list[str] = []
        for speaker in sorted(speakers, key=lambda name: (zlib.crc32(name.encode()), name)):
            if len(chosen) < count:
                chosen += speakers[speaker]
        return sorted(chosen)
    if how == "shortest":
        seconds = durations(data)
        return sorted(sorted(utts, key=lambda utt: (seconds[utt], utt))[:count])
    simple: dict[str, Callable[[], list[str]]] = {
        "spaced": lambda: evenly_spaced(utts, count),
        "first": lambda: utts[:count],
        "last": lambda: utts[-count:],
    }
    return simple[how]()


def where(data: DataDir, conditions: Iterable[str]) -> list[str]:
    """The utterances that meet all conditions.

    Args:
        data: The directory.
        conditions: ``utt2cond=C01,C02`` (the value is one of these) or ``utt2source!=acesinger`` (is none of these).

    Raises:
        InputError: A condition is not of this form, its table is not there, or has no such value.
    """
    utts = data.utts
    for condition in conditions:
        parsed = re.fullmatch(r"(utt2\w+)(!?=)(.+)", condition)
        if not parsed:
            raise InputError(f"'{condition}' is not a condition; give utt2NAME=VALUE,VALUE or utt2NAME!=VALUE,VALUE")
        name, comparison, listed = parsed.groups()
        table = data.table(name)
        values, known = set(listed.split(",")), sorted(set(table.values()))
        for value in sorted(values.difference(known)):
            more = f" and {len(known) - SHOWN} more" if len(known) > SHOWN else ""
            raise InputError(f"{data.path / name}: no value is '{value}'; known are {', '.join(known[:SHOWN])}{more}")
        utts = [utt for utt in utts if (table[utt] in values) == (comparison == "=")]
    return utts


def durations(data: DataDir) -> dict[str, float]:
    """Utterance -> seconds, from ``utt2dur`` or else ``segments``.

    Raises:
        InputError: The directory has neither.
    """
    if "utt2dur" in data.tables:
        return {utt: float(value) for utt, value in data.tables["utt2dur"].items()}
    if "segments" in data.tables:
        spans = {utt: value.split()[1:] for utt, value in data.tables["segments"].items()}
        return {utt: float(end) - float(start) for utt, (start, end) in spans.items()}
    raise InputError(f"{data.path / 'utt2dur'}: no such file; durations are needed here, prepare the directory with it")


def subset(data: DataDir, utts: Collection[str], dest: str | Path, source: str = "the list") -> DataDir:
    """Write the part of ``data`` that has these utterances to ``dest``.

    Raises:
        InputError: An utterance is not in ``data``, nothing is left, or ``dest`` is the directory itself.
    """
    if Path(dest).resolve() == data.path.resolve():
        raise InputError(f"{dest}: is the source itself; give the subset another directory")
    known = data.tables["utt2spk"]
    for utt in utts:
        if utt not in known:
            raise InputError(
                f"{source}: utterance '{utt}' is not in {data.path}, whose ids are like '{next(iter(known))}'; "
                "remove it from the list"
            )
    if not utts:
        raise InputError(f"{source}: leaves no utterance of {data.path}; choose others")
    made = DataDir.write(dest, restrict(data.tables, sorted(set(utts))), allow_pipes=True)
    carry_notes([data.path], dest)
    return made


def combine(dest: str | Path, sources: Sequence[str | Path]) -> tuple[DataDir, list[str]]:
    """Join data directories into ``dest``. A file that one of them lacks is left out.

    Where only some have ``segments``, whole files become segments from 0 to their ``utt2dur``. A source that the corpus
    does not have (stage 1 with ``--allow-partial`` left it out) is passed over, and ``dest`` is incomplete.

    Returns:
        The new directory, and the names of the files left out.

    Raises:
        InputError: An id has different content in two sources, durations are missing, or ``dest`` is a source.
    """
    if Path(dest).resolve() in {Path(source).resolve() for source in sources}:
        raise InputError(f"{dest}: is one of the sources; give the result another directory")
    prepared = [source for source in sources if not _is_left_out(source)]
    if not prepared:
        raise InputError(f"{dest}: none of its sources could be prepared; get more of the corpus")
    parts = [DataDir.read(source, allow_pipes=True) for source in prepared]
    contents = [dict(part.tables) for part in parts]
    if any("segments" in tables for tables in contents):
        for part, tables in zip(parts, contents, strict=True):
            if "segments" not in tables:
                seconds = part.table("utt2dur")
                tables["segments"] = {utt: f"{utt} 0 {seconds[utt]}" for utt in part.utts}
    everywhere = set.intersection(*(set(tables) for tables in contents)) - {"spk2utt"}
    anywhere = set.union(*(set(tables) for tables in contents)) - {"spk2utt"}
    joined: Tables = {}
    for name in sorted(everywhere):
        table = joined[name] = {}
        for part, tables in zip(parts, contents, strict=True):
            before = len(table)
            table.update(tables[name])
            if len(table) == before + len(tables[name]):
                continue
            for key, value in tables[name].items():  # some key was there before: was it the same?
                other = next(p.path for p, t in zip(parts, contents, strict=True) if key in t[name])
                first = next(t[name][key] for t in contents if key in t[name])
                if value != first:
                    raise InputError(
                        f"{part.path / name}: '{key}' has '{value}', but in {other} '{first}'; rename or remove one"
                    )
    made = DataDir.write(dest, joined, allow_pipes=True)
    carry_notes(sources, dest)
    return made, sorted(anywhere - everywhere)


def carry_notes(sources: Iterable[str | Path], dest: str | Path) -> None:
    """Carry over to ``dest``, made out of ``sources``, their convention and what they lack."""
    folders = [Path(source) for source in sources]
    carry_convention([folder for folder in folders if not _is_left_out(folder)], dest)
    carry_gaps(folders, dest)


def _is_left_out(path: str | Path) -> bool:
    """Whether this is the place of a set that the corpus does not have."""
    return not (Path(path) / "utt2spk").exists() and any(gap.what == WHOLE_SET for gap in read_gaps(path))


def carry_convention(sources: Iterable[Path], dest: str | Path) -> None:
    """Let ``dest``, made out of ``sources``, be evaluated as they are: the word in their file ``convention``.

    Where they differ, or one has none, ``dest`` gets none and is evaluated plainly.
    """
    files = [source / "convention" for source in sources]
    words = {file.read_text(encoding="utf-8") if file.is_file() else "" for file in files}
    write_text(Path(dest) / "convention", words.pop() if len(words) == 1 else "")
