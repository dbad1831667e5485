"""Restore the default signal handling for programs that tests start, regardless of how pytest was started."""

from __future__ import annotations

import signal

# nohup ignores SIGHUP, a shell ignores SIGINT and SIGQUIT in background jobs, other programs may ignore more.
EXPECTED = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)


def give_children_default_signals() -> None:
    """Ensure that no signal is ignored or blocked in programs that tests start.

    A program inherits ignored signals, but not handlers. A handler that does nothing keeps the signal ignored in this
    process and restores the default in programs that it starts.
    """
    for number in EXPECTED:
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, lambda _number, _frame: None)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, EXPECTED)
