"""Notes on the audio that a command has read: counted by kind, and printed once, at the end.

Threads and other processes read audio too, so each note is a line in a file, which the command reads when it is done.
Outside of a command a note is a Python warning.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path

from spooftrace.common.errors import display

FOLDER = "SPOOFTRACE_AUDIO_NOTES"  # environment variable: where the processes of a command write their notes
# Kind -> what is said of a file, and of several.
KINDS = {
    "understated": (
        "holds more audio than its header says, all of which is read",
        "hold more audio than their headers say, all of which is read",
    ),
    "unended": (
        "lacks the mark that ends it and may be cut short",
        "lack the mark that ends them and may be cut short",
    ),
    "silent": ("is digital silence", "are digital silence"),
    "noise": (
        "has no signal, only noise of the last bits",
        "have no signal, only noise of the last bits",
    ),
    "offset": ("has a constant offset (DC)", "have a constant offset (DC)"),
    "antiphase": (
        "is antiphase stereo: its channels cancel out when they are averaged",
        "are antiphase stereo: their channels cancel out when they are averaged",
    ),
    "one-sided": (
        "has a silent channel, so that the average is quieter",
        "have a silent channel, so that the average is quieter",
    ),
    "beyond": (
        "has samples beyond full scale [-1, 1], perhaps integers saved as floating-point numbers",
        "have samples beyond full scale [-1, 1], perhaps integers saved as floating-point numbers",
    ),
    "clipped": ("is clipped", "are clipped"),
}
_noted: set[tuple[str, str, str]] = set()


class AudioWarning(UserWarning):
    """An audio file has a property that may make a result wrong."""


def note(path: str | Path, kind: str, detail: str = "") -> None:
    """Note something about a file, once in a process.

    Args:
        path: The file.
        kind: A key of ``KINDS``.
        detail: Numbers, for a single file.
    """
    folder = os.environ.get(FOLDER)
    if folder is None or not Path(folder).is_dir():
        words = f"{KINDS[kind][0]} ({detail})" if detail else KINDS[kind][0]
        warnings.warn(f"{display(path)}: {words}", AudioWarning, stacklevel=3)
        return
    entry = (folder, kind, os.fspath(path))
    if entry not in _noted:
        _noted.add(entry)
        # One short write to a file that is open for appending is not torn by those of other processes.
        line = json.dumps([kind, os.fspath(path), detail]) + "\n"  # ASCII, whatever the name
        file = os.open(Path(folder) / "notes", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        with open(file, "wb") as notes:
            notes.write(line.encode())


class Notes:
    """The notes of a command."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self) -> dict[str, dict[str, str]]:
        """Kind -> file -> detail: kinds in the order of ``KINDS``, files by name, as threads finish in any order."""
        notes: dict[str, dict[str, str]] = {kind: {} for kind in KINDS}
        path = self._folder / "notes"
        if path.exists():
            for line in path.read_text(encoding="ascii").splitlines():
                kind, name, detail = json.loads(line)
                notes[kind].setdefault(name, detail)
        return {kind: dict(sorted(files.items())) for kind, files in notes.items() if files}

    def lines(self, names: Mapping[str, str] | None = None) -> list[str]:
        """A line for each kind: how many files, and the first of them.

        Args:
            names: What a file is called in the line, where that is not its path.
        """
        result = []
        for kind, files in self.read().items():
            first, detail = next(iter(files.items()))
            name = display((names or {}).get(first, first))
            singular, plural = KINDS[kind]
            if len(files) == 1:
                result.append(f"1 audio file {singular}{f' ({detail})' if detail else ''}: {name}")
            else:
                result.append(f"{len(files):,} audio files {plural}, first {name}{f' ({detail})' if detail else ''}")
        return result


@contextlib.contextmanager
def gathered(program: str, names: Mapping[str, str] | None = None, own: bool = False) -> Iterator[Notes | None]:
    """Gather the notes of this process and of those that it starts, and print them to stderr at the end.

    Does nothing in a process that was started by one which gathers notes already.

    Args:
        program: Begins each line.
        names: As for ``Notes.lines``.
        own: Gather apart from a command that gathers already.
    """
    outer = os.environ.get(FOLDER)
    if outer is not None and not own and Path(outer).is_dir():
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="spooftrace-") as folder:
        os.environ[FOLDER] = folder
        notes = Notes(Path(folder))
        try:
            yield notes
        finally:
            if outer is None:
                del os.environ[FOLDER]
            else:
                os.environ[FOLDER] = outer
            for line in notes.lines(names):
                print(f"{program}: warning: {line}", file=sys.stderr)
