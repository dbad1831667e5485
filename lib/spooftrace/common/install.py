"""The commands that messages name for packages that are not installed."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[3]  # <root>/lib/spooftrace/common/install.py


def pip_install(package: str) -> str:
    """The command that installs a package for the Python that runs this; it works in the current folder as it is.

    In a checkout it takes the version that the project is tested with.
    """
    constraints = CHECKOUT / "tools" / "constraints.txt"
    pinned = ["-c", _shorter(constraints)] if constraints.is_file() else []
    return shlex.join([_shorter(Path(sys.executable)), "-m", "pip", "install", package, *pinned])


def _shorter(path: Path) -> str:
    """The path from the current folder, or from the root where that is shorter."""
    relative = os.path.relpath(path)
    return min(relative if os.sep in relative else f"./{relative}", str(path), key=len)
