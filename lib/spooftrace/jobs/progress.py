"""How far a job is: a line rewritten in place on a terminal, a new one now and then elsewhere. Short jobs are quiet."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable

PROGRESS_SECONDS = 15.0  # between progress lines in a log
TERMINAL_SECONDS = 0.5  # between updates of the progress line on a terminal


class Progress:
    """Shows ``LAUNCHER: DONE/TOTAL done; more`` on the error stream."""

    def __init__(self, launcher: str) -> None:
        self.launcher = launcher
        self._shown_before = False
        self._show_at = time.monotonic() + TERMINAL_SECONDS
        if not sys.stderr.isatty():
            self._show_at += PROGRESS_SECONDS

    def show(self, done: int, total: int, more: Callable[[], str]) -> None:
        """Call this as often as you like; ``more`` is called only when a line is due."""
        terminal = sys.stderr.isatty()
        finished = done == total and self._shown_before
        if time.monotonic() < self._show_at and not (terminal and finished):
            return
        self._show_at = time.monotonic() + (TERMINAL_SECONDS if terminal else PROGRESS_SECONDS)
        self._shown_before = True
        text = "; ".join(part for part in (f"{self.launcher}: {done}/{total} done", more()) if part)
        if terminal:
            columns = shutil.get_terminal_size().columns - 1
            print("\r" + text[:columns].ljust(columns), end="\n" if finished else "", file=sys.stderr, flush=True)
        else:
            print(text, file=sys.stderr, flush=True)
