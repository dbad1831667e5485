"""Checksums of files at the time they were written, by which later changes and damage are noticed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from spooftrace.common.errors import InputError
from spooftrace.common.json_files import read_json_object
from spooftrace.common.record_forms import misfit
from spooftrace.common.records import SCORES_RECORD, FilesRecord, read_scores_record


def record_files(folder: Path, names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """File name -> SHA-256 of its content and number of its lines, for the record of what has been written.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / "scores.txt").write_text("utt1 0.5\\nutt2 0.7\\n")
    >>> record_files(folder, ["scores.txt"])["scores.txt"]["lines"]
    2
    """
    return {name: _look(folder / name) for name in names}


def changed_file(folder: Path, record: Mapping[str, Any], names: Iterable[str] | None = None) -> str | None:
    """What is wrong with the first file that has changed since it was recorded, in one line; None if none has.

    Args:
        folder: Where the files are.
        record: A record whose ``files`` is what ``record_files`` gave. Earlier versions had none: nothing is wrong.
        names: Look at these only.
    """
    if problem := misfit(record, FilesRecord):
        return f"{folder}: the record of its files is damaged: {problem}"
    for name, written in record.get("files", {}).items():
        if names is not None and name not in names:
            continue
        path = folder / name
        if path.name != name:  # a record of other origin must not have other files read
            return f"{folder}: its record names '{name[:80]}', which is no file of that folder"
        if not path.is_file():
            return f"{path}: is gone"
        present = _look(path)
        if present == written:
            continue
        if present["lines"] != written["lines"]:
            return f"{path}: has {present['lines']:,} lines, but {written['lines']:,} were written"
        return f"{path}: is not what was written"
    return None


def read_record(path: Path) -> dict[str, Any]:
    """A JSON record; empty where there is none or it is damaged."""
    try:
        return read_json_object(path)
    except (OSError, ValueError):
        return {}


def check_scores(path: str | Path) -> None:
    """Refuse a file of scores that is not what the scoring stage wrote; files of other programs have no record.

    Raises:
        InputError: It was cut, edited or damaged, or its record was.
    """
    path = Path(path)
    record = read_scores_record(path.with_name(SCORES_RECORD))
    problem = changed_file(path.parent, record, [path.name])
    if problem is None and "files" not in record and "utterances" in record and path.is_file():
        lines = _look(path)["lines"]  # of an earlier version, which recorded only how many there were
        if lines < record["utterances"]:
            problem = f"{path}: has {lines:,} lines, but {record['utterances']:,} utterances were scored"
    if problem:
        raise InputError(
            f"{problem} (by its {SCORES_RECORD}); score this set again, or evaluate a copy of the file elsewhere"
        )


def _look(path: Path) -> dict[str, Any]:
    digest, lines = sha256(), 0
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
            lines += chunk.count(b"\n")
    return {"sha256": digest.hexdigest(), "lines": lines}
