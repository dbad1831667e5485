"""What `cluster` needs to know about a kind of queue, and what the kinds have in common."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple, Protocol

COMMAND_SECONDS = 60.0  # for the queue to answer
OUT_OF_MEMORY = "out of memory; ask for more with --mem"


class State(NamedTuple):
    """What a queue says of a task. One that is not ``alive`` has ended, or is ``stuck`` in the queue for ever.

    ``vague``: the text does not say why, so that the messages of the queue may help.
    """

    text: str
    alive: bool = False
    stuck: bool = False
    cancelled: bool = False
    vague: bool = False


class Scheduler(Protocol):
    """A kind of queue, as `cluster.Queue` uses it."""

    launcher: str
    config: str
    """File name of its configuration in conf/cluster."""
    programs: Sequence[str]
    index: str
    """Environment variable with the number of a task in its array."""

    def largest_index(self) -> int | None:
        """The largest number that a task of an array may have; None if unknown."""

    def submit_words(self, name: str, indices: range, at_most: int | None, output: str) -> tuple[list[str], list[str]]:
        """What goes before the words from the configuration, which may replace it, and what goes after them.

        ``output`` is where a task's messages from the queue go, without the ``.INDEX.out`` at its end.
        """

    def job_id(self, answer: str) -> str:
        """The job's id in the submit command's output."""

    def states(self, job_id: str) -> Mapping[int, State] | None:
        """The state of each task the queue still knows; None if it does not answer."""

    def fate(self, job_id: str, index: int) -> State:
        """What can still be found out about a task that the queue does not know any more."""

    def cancel(self, ids: Sequence[str]) -> None:
        """Remove jobs, ``ID``, or tasks, ``ID_INDEX``, from the queue; those that have ended already do not matter."""

    def is_preempted(self) -> bool:
        """On a node: whether the task that runs here is about to make room for another job."""

    def requeue(self) -> int:
        """On a node: put the task that runs here back into its queue.

        Returns the exit status with which the queue expects it to end. Raises `LauncherExit` with the reason of a queue
        that refuses.
        """


def ask(*words: str) -> subprocess.CompletedProcess[str] | None:
    """Run one of the queue's programs; None if there is no such program or it takes too long."""
    with suppress(subprocess.TimeoutExpired, FileNotFoundError):
        # In a session of its own: Ctrl-C must not end a submission half-way.
        return subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=COMMAND_SECONDS,
            start_new_session=True,
        )
    return None
