"""Signals as tests expect them, whatever started pytest."""

from __future__ import annotations

import signal

# nohup ignores SIGHUP, a shell script ignores SIGINT and SIGQUIT in what it starts with &, others may ignore more.
EXPECTED = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)


def give_children_default_signals() -> None:
    """Let programs that tests start see no signal ignored or blocked.

    What this process ignores, the programs that it starts ignore too. They do not inherit handlers, so a handler that
    does nothing keeps the signal ignored here and restores its default there.
    """
    for number in EXPECTED:
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, lambda _number, _frame: None)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, EXPECTED)
