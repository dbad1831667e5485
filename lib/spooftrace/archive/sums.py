"""Checksums of the entries of an ark, in a table beside it: ``key CRC32 [note]``, so that the ark stays Kaldi's.

A CRC-32 detects damage by failing disks and interrupted copies: every change of up to 32 consecutive bits, and all but
one in 4 billion of other changes. It does not detect deliberate changes of both files. It is computed three to four
times as fast as a cryptographic hash.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from spooftrace.archive.reader import AGAIN, ArchiveReader
from spooftrace.common.atomic import atomic_write
from spooftrace.common.errors import InputError


def line_of(key: str, checksum: int, note: str = "") -> str:
    """A line of the table.

    >>> line_of("utt1", 255, "16000 samples")
    'utt1 000000ff 16000 samples\\n'
    """
    return f"{key} {checksum:08x} {note}".rstrip() + "\n"


def read_sums(path: str | Path, missing_ok: bool = False) -> Iterator[tuple[str, int, str]]:
    """``(key, checksum, note)`` line by line; a last line without an end, of a killed process, does not count.

    Args:
        path: The table.
        missing_ok: A table that is not there has no lines.

    Raises:
        InputError: The file is missing, or a line is not ``key CRC32 [note]``.
    """
    try:
        with open(path, encoding="utf-8", newline="\n") as file:
            for number, line in enumerate(file, 1):
                if not line.endswith("\n"):
                    return
                try:
                    key, checksum, *note = line[:-1].split(" ", 2)
                    yield key, int(checksum, 16), note[0] if note else ""
                except ValueError:
                    raise InputError(f"{path}:{number}: not 'key checksum'; {AGAIN}") from None
    except FileNotFoundError:
        if not missing_ok:
            raise InputError(f"{path}: no such file; {AGAIN}") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: not UTF-8 text; {AGAIN}") from None


def merge_sums(path: Path, parts: Sequence[Path], notes: Mapping[str, str] | None = None) -> None:
    """Join tables into one, sorted by key; ``notes`` replace those of their keys."""
    lines = {}
    for part in parts:
        for key, checksum, note in read_sums(part):
            lines[key] = line_of(key, checksum, (notes or {}).get(key, note))
    with atomic_write(path) as file:
        file.writelines(lines[key] for key in sorted(lines))


def damaged_entries(scp: Path, sums: Path, keys: Collection[str] | None = None) -> Iterator[tuple[str, str]]:
    """Read every entry of an archive and give ``(key, what is wrong with it)`` for those that are not as written.

    Args:
        scp: The archive; its arks lie beside it.
        sums: Its checksums.
        keys: Look at these entries only.

    Raises:
        InputError: One of the two tables cannot be read.
    """
    with ArchiveReader(scp, beside=True) as reader:
        without = dict.fromkeys(reader if keys is None else (key for key in reader if key in keys))
        for key, checksum, _ in read_sums(sums):
            if keys is not None and key not in keys:
                continue
            if key not in reader:
                yield key, f"{scp} lacks it"
                continue
            without.pop(key, None)
            try:
                present = reader.checksum(key)
            except InputError as error:
                yield key, str(error)
                continue
            if present != checksum:
                yield key, f"{reader.place(key)}: the bytes are not those that were written"
        for key in without:
            yield key, f"{sums} has no checksum of it"
