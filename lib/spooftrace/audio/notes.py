"""Notes on the audio that a command reads, counted by kind and printed at the end.

Threads and child processes read audio, too. Each note is therefore a line in a file, which the command reads at the
end. Outside of a command a note is a Python warning.
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

FOLDER = "SPOOFTRACE_AUDIO_NOTES"  # environment variable: folder for the notes of all processes of a command
# Kind -> sentence about one file, sentence about several files.
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
        "has a silent channel, which makes the average quieter",
        "have a silent channel, which makes the average quieter",
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
    """Note a property of a file, at most once in a process.

    Args:
        path: The file.
        kind: A key of ``KINDS``.
        detail: Numbers, printed for the first file of a kind.
    """
    folder = os.environ.get(FOLDER)
    if folder is None or not Path(folder).is_dir():
        words = f"{KINDS[kind][0]} ({detail})" if detail else KINDS[kind][0]
        warnings.warn(f"{display(path)}: {words}", AudioWarning, stacklevel=3)
        return
    entry = (folder, kind, os.fspath(path))
    if entry not in _noted:
        _noted.add(entry)
        # Appending a short line is atomic: writes of other processes do not interleave with it.
        line = json.dumps([kind, os.fspath(path), detail]) + "\n"  # ASCII, whatever the name
        file = os.open(Path(folder) / "notes", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        with open(file, "wb") as notes:
            notes.write(line.encode())


class Notes:
    """The notes of a command."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self) -> dict[str, dict[str, str]]:
        """Return kind -> file -> detail, sorted by ``KINDS`` and by file, because threads finish in any order."""
        notes: dict[str, dict[str, str]] = {kind: {} for kind in KINDS}
        path = self._folder / "notes"
        if path.exists():
            for line in path.read_text(encoding="ascii").splitlines():
                kind, name, detail = json.loads(line)
                notes[kind].setdefault(name, detail)
        return {kind: dict(sorted(files.items())) for kind, files in notes.items() if files}

    def lines(self, names: Mapping[str, str] | None = None) -> list[str]:
        """Return a line for each kind, with the number of files and the first file.

        Args:
            names: Path -> name to print instead.
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
    """Gather the notes of this process and its children, and print them to stderr at the end.

    Does nothing in a child of a process that gathers notes.

    Args:
        program: Name at the beginning of each line.
        names: As for ``Notes.lines``.
        own: Gather separately even if a parent gathers notes.

    Yields:
        The notes; None if a parent gathers them.
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
