"""One process at a time in a folder, by a lock that ends with the process that holds it.

The lock is a record lock of POSIX on a small file that names its holder. The kernel drops it when the holder ends, by
``kill -9`` too, so nothing is ever left to clean up: the file that stays means nothing. Unlike ``flock``, a forked
process that outlives its parent, such as one that reads batches ahead, does not hold it on.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from spooftrace.common.errors import InputError

TRIES, PAUSE = 5, 0.1  # holder() takes the lock for an instant
UNSUPPORTED = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP)
# Set for the processes of one training, by Lightning or torchrun; all of them are 0 in the first one.
RANKS = ("RANK", "LOCAL_RANK", "NODE_RANK")


@contextmanager
def hold(path: Path, doing: str) -> Iterator[None]:
    """Hold the lock ``path`` while the block runs; folders are made as needed.

    Of several processes of one distributed training only the first takes it. Where the file system has no locks, a
    line on stderr says so and the block runs all the same.

    Args:
        path: The lock file, in the folder to be had alone.
        doing: What is done there, for the message to others: "training".

    Raises:
        InputError: Another process holds it.
    """
    if any(os.environ.get(name, "0") != "0" for name in RANKS):
        yield
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a+", encoding="utf-8") as file:
        try:
            _take(file.fileno())
        except BlockingIOError:
            file.seek(0)
            who = file.read().strip() or "another process"
            raise InputError(f"{path.parent}: {who} is {doing} there; wait for it or stop it") from None
        except OSError as error:
            if error.errno not in UNSUPPORTED:
                raise
            print(
                f"{path.parent}: its file system has no locks ({error.strerror}): take care that nothing else is "
                f"{doing} there",
                file=sys.stderr,
            )
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        file.flush()
        yield


def holder(path: Path) -> str | None:
    """Who holds the lock ``path``, e.g. "process 4711 on node3"; None if it is free or that cannot be determined.

    Not to be asked by the holder itself, which would lose its lock.
    """
    try:
        with open(path, encoding="utf-8") as file:
            try:
                fcntl.lockf(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return file.read().strip() or "another process"
    except OSError:
        pass
    return None


def _take(descriptor: int) -> None:
    for left in reversed(range(TRIES)):
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EAGAIN):  # either means that it is taken
                raise
            if not left:
                raise BlockingIOError(error.errno, error.strerror) from None
        time.sleep(PAUSE)
