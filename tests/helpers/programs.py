"""Programs that tests put on the PATH."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path


def install_python(path: Path, source: str, *flags: str) -> None:
    """Write a program that runs ``source`` with this Python.

    The kernel splits the first line of a script at blanks and cuts it at 127 or 255 bytes, so it cannot hold a Python
    whose path is long or has a blank. A shell script starts Python instead.

    Args:
        path: The program; its folder is created if missing.
        source: The Python code; ``sys.argv[0]`` ends in the program's name.
        flags: Options of Python, such as ``-I``.
    """
    script = path.parent / ".source" / path.name
    script.parent.mkdir(parents=True, exist_ok=True)
    script.write_text(source, encoding="utf-8")
    install_shell(path, f'exec {shlex.join([sys.executable, *flags, str(script)])} "$@"')


def install_shell(path: Path, source: str) -> None:
    """Write a program that runs ``source`` with the shell, and create its folder if missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{source}\n", encoding="utf-8")
    path.chmod(0o755)
