"""A process that tidies up after a launcher that was killed (SIGKILL, out of memory) and could not do so itself."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from types import TracebackType


class Guardian:
    """Waits beside this process and, should it die, calls ``end`` with every name that was added and not removed.

    A context manager. Nothing is called when the block is left in an orderly way, by an exception included.
    """

    def __init__(self, end: Callable[[list[str]], None]) -> None:
        reader, self._writer = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            try:
                os.close(self._writer)
                _wait(reader, end)
            finally:
                os._exit(0)
        os.close(reader)

    def add(self, name: str) -> None:
        os.write(self._writer, f"+{name}\n".encode())

    def remove(self, name: str) -> None:
        os.write(self._writer, f"-{name}\n".encode())

    def __enter__(self) -> Guardian:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.write(self._writer, b"done\n")
        os.close(self._writer)
        os.waitpid(self._pid, 0)


def _wait(reader: int, end: Callable[[list[str]], None]) -> None:
    os.setsid()  # what is sent to the launcher's whole group, Ctrl-C say, is not meant for this process
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(signum, signal.SIG_IGN)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):  # a reader of the launcher's output must not wait for this process too
        os.dup2(nowhere, stream)
    left: dict[str, None] = {}
    with open(reader, encoding="utf-8") as lines:
        for line in lines:  # ends when no process has the other end of the pipe any more
            sign, name = line[0], line[1:].rstrip("\n")
            if line == "done\n":
                return
            if sign == "+":
                left[name] = None
            else:
                left.pop(name, None)
    if left:
        end(list(left))
