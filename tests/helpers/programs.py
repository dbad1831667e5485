"""Programs that tests put on the PATH."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path


def install_python(path: Path, source: str, *flags: str) -> None:
    """Make ``path`` a program that runs ``source`` with this Python.

    The kernel splits the first line of a script at blanks and cuts it at 127 or 255 bytes, so a Python whose path has a
    blank or is long cannot stand there. A shell script starts it instead.

    Args:
        path: the program; its folder is made where it is missing.
        source: what Python runs; ``sys.argv[0]`` ends in the program's name.
        flags: options of Python, such as ``-I``.
    """
    script = path.parent / ".source" / path.name
    script.parent.mkdir(parents=True, exist_ok=True)
    script.write_text(source, encoding="utf-8")
    install_shell(path, f'exec {shlex.join([sys.executable, *flags, str(script)])} "$@"')


def install_shell(path: Path, source: str) -> None:
    """Make ``path`` a program that runs ``source`` with the shell; its folder is made where it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{source}\n", encoding="utf-8")
    path.chmod(0o755)
