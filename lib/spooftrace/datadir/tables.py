"""Kaldi tables: text files of ``key value`` lines, one entry a line, sorted by the bytes of the key.

Python compares ``str`` by code point, which for UTF-8 is the order of the bytes, i.e. that of ``LC_ALL=C sort``. A
locale must never take part: look-ups, joins and splits here and in Kaldi's own tools rely on this one order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice, pairwise
from operator import lt
from pathlib import Path

from spooftrace.common.atomic import atomic_write
from spooftrace.common.errors import InputError
from spooftrace.common.text import MARK, decode, is_plain, read_bytes, read_lines, split_lines

NOT_IN_LINES = ("\n", "\r", "\0", MARK)  # what reading takes for something else than a part of the value
FIX = "run utils/fix_data_dir.sh on its folder"
EARLIER_NAMES = {"utt2attack": "utt2system"}  # table -> its file name in data directories of earlier versions


def current_name(name: str) -> str:
    """The name of a table, given that or the name that earlier versions wrote.

    >>> current_name("utt2system")
    'utt2attack'
    """
    return next((current for current, earlier in EARLIER_NAMES.items() if name == earlier), name)


def table_path(folder: str | Path, name: str) -> Path:
    """The file of a table in a data directory, under its current or its earlier name; it need not exist.

    This is the only place that knows of earlier names; all tables of data directories are read through it.

    Args:
        folder: The data directory.
        name: Name of the table; the earlier name works too.

    Raises:
        InputError: Both files exist and differ.
    """
    path = Path(folder) / current_name(name)
    if path.name not in EARLIER_NAMES:
        return path
    earlier = path.with_name(EARLIER_NAMES[path.name])
    if not earlier.is_file():
        return path
    if path.is_file() and path.read_bytes() != earlier.read_bytes():
        raise InputError(f"{path}: differs from {earlier.name}, its name in earlier versions; remove one of the two")
    return path if path.is_file() else earlier


def read_table(path: str | Path) -> dict[str, str]:
    """Read ``key value`` lines into a dict, key -> rest of the line.

    The file must be text (``spooftrace.common.text``), with at least two fields a line, nothing after the last field,
    strictly increasing keys. A missing newline at the end is accepted.

    Raises:
        InputError: The file is missing, or breaks one of these rules (the message gives the line number).

    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "wav.scp"
    >>> _ = path.write_text("utt1 audio/my file.wav\\nutt2 audio/b.flac\\n")
    >>> read_table(path)["utt1"]
    'audio/my file.wav'
    """
    lines = read_lines(path)
    try:
        # A generator: each two-item list dies at once, so that the garbage collector never walks a million of them.
        table = dict(line.split(maxsplit=1) for line in lines)
    except ValueError:
        raise InputError(_first_mistake(path, lines)) from None
    keys = list(table)
    sorted_and_unique = len(keys) == len(lines) and all(map(lt, keys, islice(keys, 1, None)))
    if not sorted_and_unique or _untidy(lines, keys):
        raise InputError(_first_mistake(path, lines))
    return table


def read_aligned_table(path: str | Path, keys: list[str], prefixes: list[str]) -> dict[str, str] | None:
    """Read a table that is expected to have the keys of another one: twice as fast as ``read_table`` and far smaller.

    A corpus has a million utterances in ten files with a few dozen labels: the result has the very strings of
    ``keys`` and one string object per distinct value, which more than halves the memory.

    Args:
        path: The file.
        keys: The expected keys in order.
        prefixes: Each key followed by a blank (made once for all tables).

    Returns:
        Key -> rest of the line; ``None`` if a line does not begin with its prefix or has stray white space: then
        ``read_table`` has to find out what is there.
    """
    lines = read_lines(path)
    if len(lines) != len(prefixes) or not all(map(str.startswith, lines, prefixes)):
        return None
    one: dict[str, str] = {}
    values = [line[len(prefix) :] for line, prefix in zip(lines, prefixes, strict=True)]
    values = list(map(one.setdefault, values, values))
    if any(map(_is_untidy, one)):
        return None
    return dict(zip(keys, values, strict=True))


def _untidy(lines: list[str], keys: list[str]) -> bool:
    """Whether white space ends a line or precedes a key, for lines that have two fields."""
    return lines != list(map(str.rstrip, lines)) or not all(map(str.startswith, lines, keys))


def _first_mistake(path: str | Path, lines: list[str]) -> str:
    """The message for the first line that breaks a rule of ``read_table``."""
    seen: dict[str, int] = {}
    previous = ""
    for number, line in enumerate(lines, 1):
        fields = line.split(maxsplit=1)
        if not fields:
            return f"{path}:{number}: empty line; {FIX}"
        key = fields[0]
        if len(fields) == 1:
            return f"{path}:{number}: nothing after the key '{key}'; add the value or remove the line"
        if line != line.rstrip() or not line.startswith(key):
            return f"{path}:{number}: white space (or a carriage return) at the start or end of the line; {FIX}"
        if key in seen:
            return f"{path}:{number}: key '{key}' is already on line {seen[key]}; {FIX}"
        if key < previous:
            return f"{path}:{number}: not sorted by bytes: '{key}' comes after '{previous}'; {FIX}"
        seen[key] = number
        previous = key
    raise AssertionError(f"{path} has no mistake")


def read_messy_table(path: str | Path) -> tuple[dict[str, str], list[str]]:
    """Read a table that may need repair: any order, blank lines, stray white space, repeated lines, any encoding.

    Returns the table sorted by key, and one line of text for each kind of repair that was needed.

    Raises:
        InputError: A key has two different values (which one is right only the user can know), or the file is missing.
    """
    table: dict[str, str] = {}
    repairs = {"lines that were empty or had no value": 0, "repeated lines": 0}
    data = read_bytes(path)
    for number, line in enumerate(split_lines(decode(data, path)), 1):
        fields = line.split(maxsplit=1)
        if len(fields) < 2:
            repairs["lines that were empty or had no value"] += 1
            continue
        key, value = fields[0], fields[1].rstrip()
        if key not in table:
            table[key] = value
        elif table[key] == value:
            repairs["repeated lines"] += 1
        else:
            raise InputError(f"{path}:{number}: key '{key}' has two values, '{table[key]}' and '{value}'; remove one")
    done = [] if is_plain(data) else [f"{path}: saved as UTF-8 without byte order mark, lines ending in LF"]
    return by_key(table), done + [f"{path}: removed {n} {what}" for what, n in repairs.items() if n]


def read_list(path: str | Path) -> list[str]:
    """The first field of every line that is not blank, in file order: a list of utterances or speakers.

    Raises:
        InputError: The file is missing or lists nothing.
    """
    keys = [line.split(maxsplit=1)[0] for line in read_lines(path) if line.strip()]
    if not keys:
        raise InputError(f"{path}: the list is empty; give one id a line")
    return keys


def write_table(path: str | Path, table: Mapping[str, str]) -> bool:
    """Write ``key value`` lines sorted by the bytes of the key, whole or not at all.

    A file that already has this content is left untouched, so that its time still tells when it changed.

    Returns:
        Whether the file was written.

    Raises:
        InputError: A key or value would not survive reading back (white space in a key, an empty value ...).
    """
    text = table_text(table, path)
    if has_content(path, text):
        return False
    with atomic_write(path) as file:
        file.write(text)
    return True


def write_text(path: str | Path, text: str) -> None:
    """Write a text whole or not at all; without text remove the file. A file that has this text is left untouched."""
    if not text:
        Path(path).unlink(missing_ok=True)
    elif not has_content(path, text):
        with atomic_write(path) as file:
            file.write(text)


def has_content(path: str | Path, text: str) -> bool:
    """Does the file exist with exactly this text?"""
    path = Path(path)
    data = text.encode("utf-8")
    return path.is_file() and path.stat().st_size == len(data) and path.read_bytes() == data


def table_text(table: Mapping[str, str], path: str | Path = "table") -> str:
    """The text of a table as ``write_table`` writes it; ``path`` is for messages only.

    Raises:
        InputError: As for ``write_table``.
    """
    check_table(table, path)
    return text_of(by_key(table))


def text_of(table: Mapping[str, str]) -> str:
    """The text of a table that is known to be sorted and to hold nothing that ``check_table`` refuses."""
    return "\n".join(map(" ".join, table.items())) + "\n" if table else ""


def check_table(table: Mapping[str, str], path: str | Path) -> None:
    """Make sure that a table survives being written and read back; ``path`` is for messages only.

    Raises:
        InputError: As for ``write_table``.
    """
    keys = "".join(table)
    if not all(table) or len(keys.split(maxsplit=1)) > 1 or keys != keys.strip() or MARK in keys or "\0" in keys:
        key = next(key for key in table if key.split() != [key] or MARK in key or "\0" in key)
        raise InputError(f"{path}: key {key!r} is empty or contains white space or a mark of no width; rename it")
    if any(map(_is_unusable, set(table.values()))):
        key, value = next((key, value) for key, value in table.items() if _is_unusable(value))
        raise InputError(f"{path}: key '{key}' has an unusable value {value!r}; give it one line of text")


def by_key(table: Mapping[str, str], like: Mapping[str, str] | None = None) -> dict[str, str]:
    """A copy of the table in the order of its keys.

    Args:
        table: The table.
        like: A sorted table that is likely to have the same keys, which is faster than sorting and saves memory.
    """
    if like and len(like) == len(table):
        copy = {**like, **table}  # the values of table, in the places that their keys have in like
        if len(copy) == len(table):
            return copy
    if all(map(lt, table, islice(table, 1, None))):
        return dict(table)  # many times as fast as building it anew
    return dict(sorted(table.items()))


def _is_untidy(value: str) -> bool:
    return not value or value[0].isspace() or value[-1].isspace()


def _is_unusable(value: str) -> bool:
    return _is_untidy(value) or any(character in value for character in NOT_IN_LINES)


def spk2utt_from_utt2spk(utt2spk: Mapping[str, str]) -> dict[str, str]:
    """Speaker -> its utterances joined by blanks, in the order of ``utt2spk``; speakers sorted by bytes.

    >>> spk2utt_from_utt2spk({"u1": "bob", "u2": "amy", "u3": "bob"})
    {'amy': 'u2', 'bob': 'u1 u3'}
    """
    groups: dict[str, list[str]] = {}
    for utt, speaker in utt2spk.items():
        groups.setdefault(speaker, []).append(utt)
    return {speaker: " ".join(groups[speaker]) for speaker in sorted(groups)}


def utt2spk_from_spk2utt(spk2utt: Mapping[str, str]) -> dict[str, str]:
    """The inverse of ``spk2utt_from_utt2spk``, sorted by utterance.

    Raises:
        InputError: An utterance is listed twice.
    """
    pairs = sorted((utt, speaker) for speaker, utts in spk2utt.items() for utt in utts.split())
    for (utt, first), (following, second) in pairwise(pairs):
        if utt == following:
            raise InputError(f"spk2utt: utterance '{utt}' is listed for '{first}' and again for '{second}'; remove one")
    return dict(pairs)


def select(table: Mapping[str, str], keys: Iterable[str]) -> dict[str, str]:
    """The entries of ``table`` with these keys, in their order; keys it does not have are passed over."""
    return {key: table[key] for key in keys if key in table}
