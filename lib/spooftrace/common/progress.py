"""Progress of anything longer than a few seconds: a bar on a terminal, a line now and then in a log."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any

from spooftrace.common.english import duration

LOG_SECONDS = 15.0


class Progress:
    """Counts up to ``total``; with ``audio`` (seconds of sound) also tells the real-time factor and the time left.

    The real-time factor (RTF) is the time taken per second of audio: 0.1 is ten times faster than playing it.

    >>> with Progress("scoring eval", total=2) as progress:
    ...     progress.advance(2)
    >>> with Progress("extracting", total=2, audio=9.0) as progress:
    ...     progress.skip(1, 4.0)
    ...     progress.advance(1, 5.0)
    >>> progress.seconds_left
    0.0
    """

    def __init__(self, what: str, total: int, audio: float | None = None) -> None:
        self.what, self.total, self.audio = what, total, audio
        self.done, self.seconds_done, self.seconds_skipped = 0, 0.0, 0.0
        self._bar: Any = None
        self._started = self._last = time.monotonic()

    def __enter__(self) -> Progress:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as Bar

            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
            speed = (TextColumn("{task.fields[speed]}"),) if self.audio else (TimeRemainingColumn(),)
            self._bar = Bar(*columns, *speed, console=Console(stderr=True), transient=True)
            self._bar.start()
            self._task = self._bar.add_task(self.what, total=self.total, speed="")
        self._started = self._last = time.monotonic()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def skip(self, count: int, seconds: float = 0.0) -> None:
        """``count`` items, with ``seconds`` of audio, were done before this run began."""
        self.seconds_skipped += seconds
        self.advance(count)

    def advance(self, count: int = 1, seconds: float = 0.0) -> None:
        """``count`` more are done, with ``seconds`` of audio."""
        self.done += count
        self.seconds_done += seconds
        if self._bar is not None:
            self._bar.update(self._task, completed=self.done, speed=self.speed)
        elif time.monotonic() - self._last >= LOG_SECONDS:
            self._last = time.monotonic()
            speed = f", {self.speed}" if self.speed else ""
            print(f"{self.what}: {self.done:,} of {self.total:,}{speed}", file=sys.stderr, flush=True)

    @property
    def real_time_factor(self) -> float:
        """Seconds taken per second of audio in this run; 0 before anything was done."""
        return (time.monotonic() - self._started) / self.seconds_done if self.seconds_done else 0.0

    @property
    def seconds_left(self) -> float:
        """How long the rest will take at the speed so far."""
        return max(0.0, (self.audio or 0.0) - self.seconds_skipped - self.seconds_done) * self.real_time_factor

    @property
    def speed(self) -> str:
        """``RTF 0.250, 1 h 02 min left``; empty where there is no audio or nothing was done."""
        if not self.real_time_factor:
            return ""
        return f"RTF {self.real_time_factor:.3f}, {duration(self.seconds_left)} left"
