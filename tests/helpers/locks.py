"""Locks held by another process, because a POSIX lock never excludes its own holder."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HOLD = """
import sys
from pathlib import Path
from spooftrace.common.lock import hold
with hold(Path(sys.argv[1]), sys.argv[2]):
    print(flush=True)
    sys.stdin.read()
"""


@contextmanager
def held_elsewhere(path: Path, doing: str = "training") -> Iterator[int]:
    """Hold the lock in another process while the block runs, and yield the id of that process."""
    command = [sys.executable, "-c", HOLD, str(path), doing]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield process.pid
        finally:
            process.communicate()
