"""Signals that end a training, with its work saved.

Queues announce the end of a job by SIGUSR1 or SIGUSR2, and end it, as most things do, by SIGTERM. On each of them a
training finishes its batch, saves, and exits: after SIGUSR1 and SIGUSR2 with status 75, sysexits.h's "try again later",
which the launchers take as the wish to be queued again; after SIGTERM with 143, as a shell reports it.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any

NOTICES = (signal.SIGUSR1, signal.SIGUSR2)
TRY_AGAIN = os.EX_TEMPFAIL


def status_of(signum: int) -> int:
    """The exit status of a process that this signal has ended."""
    return TRY_AGAIN if signum in NOTICES else 128 + signum


class Stopped(BaseException):
    """A signal has ended this training; what was done is saved. Not an error: nothing is to handle it on its way."""

    def __init__(self, signum: int, when: str) -> None:
        self.status = status_of(signum)
        super().__init__(f"stopped by {signal.Signals(signum).name} {when}")


class StopSignals:
    """The signals that end a training, taken while the block runs.

    At first, when there is nothing to save yet, they raise :class:`Stopped`. After ``wait`` they only make a note in
    ``received``, which the code that saves the work reads.
    """

    def __init__(self) -> None:
        self.received = 0
        self._waits = False
        self._before: dict[int, Callable[[int, FrameType | None], Any] | int | signal.Handlers | None] = {}

    def __enter__(self) -> StopSignals:
        self._before = {signum: signal.signal(signum, self._on_signal) for signum in (signal.SIGTERM, *NOTICES)}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for signum, handler in self._before.items():
            signal.signal(signum, handler)

    def wait(self) -> None:
        """From now on the code that saves the work reads ``received``."""
        self._waits = True
        for signum in self._before:  # Lightning has taken SIGTERM in between
            signal.signal(signum, self._on_signal)

    def _on_signal(self, signum: int, _frame: FrameType | None) -> None:
        self.received = self.received or signum
        if not self._waits:
            raise Stopped(signum, "before it began")
