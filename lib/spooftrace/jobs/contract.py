"""What every launcher (run.py, slurm.py, sge.py) agrees on: Kaldi's job contract.

::

    LAUNCHER [options] [JOB=1:N] [options] LOGFILE COMMAND [ARGUMENT ...]

runs COMMAND under bash once for each task 1..N, its output going to LOGFILE. ``JOB`` is any identifier; every place
where it occurs in LOGFILE, COMMAND and ARGUMENT, inside words too, becomes the task's number. Without ``JOB=`` there
is one task.

**How words reach the command.** Each word arrives exactly as the launcher was given it: spaces, quotes, ``$``, ``*``
and empty words are safe. Two kinds of word keep their meaning for the shell, on purpose:

- a word that is nothing but an operator of `OPERATORS` (write it quoted: ``'|'`` or ``\\|``) connects commands or
  redirects a file;
- ``NAME=value`` in front of a command sets a variable for it, as in ``OMP_NUM_THREADS=1 train``.

For more shell than that, use ``bash -c '...'``, which is also how to pass a bare ``|`` or ``>`` as data.

**Exit status.** 0: all tasks succeeded. 1: some failed (the others ran all the same), or an array would write to one
log. 2: a signal stopped the launcher. 255: the command line or the configuration is wrong, or the queue took no job.

What a task leaves on disk, its log and its record, is in `records`.

This is the interface of Kaldi's run.pl, queue.pl and slurm.pl. It differs where those surprise their users: a failure
inside a pipe counts, words are quoted once, unknown options are errors, and a failure shows its cause.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

USAGE = """\
usage: {launcher} [options] [JOB=1:N] [options] LOGFILE COMMAND [ARGUMENT ...]

Run COMMAND under bash with its output in LOGFILE; with JOB=1:N run it N times, as tasks
whose number replaces every JOB in LOGFILE and in the command.

  {launcher} log/train.log spooftrace train --seed 1
  {launcher} --max-jobs-run 4 JOB=1:8 log/sort.JOB.log sort 'part JOB.txt' '|' uniq '>' JOB.out

Words reach the command as they are given, but a word that is only | || && ; < > >> 2> 2>>
or 2>&1 is shell syntax.

options:
  --max-jobs-run N, -tc N  run at most N tasks at the same time
  --gpu N                  give each task N GPUs of its own (CUDA_VISIBLE_DEVICES); 0 hides them all
  --num-threads N          CPU threads of each task (OMP_NUM_THREADS)
  --pick WHICH             all (default), failed: tasks that have not succeeded yet,
                           incomplete: tasks that never ended
  --retry N                run a task that failed again, up to N times; its last log is kept as LOGFILE.bak
  --pipefail true|false    count a failure anywhere in a pipe (default: true)

for a cluster's queue, not used by run.py:
  --mem SIZE, --time LIMIT what each task needs, e.g. 4G and 1:30:00
  --config FILE            how options become those of sbatch or qsub (default: conf/cluster/*.conf)
  --NAME VALUE             any other option that FILE describes; run.py knows none
"""

OPERATORS = frozenset(["|", "||", "&&", ";", "<", ">", ">>", "2>", "2>>", "2>&1"])

SUCCESS, SOME_FAILED, STOPPED, WRONG_USAGE = 0, 1, 2, 255
CANNOT_RUN = 126  # the shell's code for a command that exists but could not be run; stands for a task without a code


class LauncherExit(Exception):
    """The launcher ends here, with a message for the user and an exit status."""

    def __init__(self, message: str, status: int = WRONG_USAGE) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Job:
    """A parsed command line. An option that was not given is None; ``name`` is None without ``JOB=``.

    ``more`` holds the options that only a queue's configuration file can explain, as name -> value.
    """

    log: str
    words: tuple[str, ...]
    name: str | None = None
    first: int = 1
    last: int = 1
    max_jobs_run: int | None = None
    gpu: int | None = None
    num_threads: int | None = None
    mem: str | None = None
    time: str | None = None
    config: str | None = None
    pick: str = "all"
    pipefail: bool = True
    retry: int = 0
    more: dict[str, str] = field(default_factory=dict)

    @property
    def tasks(self) -> range:
        return range(self.first, self.last + 1)

    def log_of(self, task: int) -> Path:
        return Path(self._numbered(self.log, str(task)))

    def command_of(self, task: int) -> str:
        """The bash text of one task."""
        return shell_text([self._numbered(word, str(task)) for word in self.words])

    @property
    def logs(self) -> str:
        """All logs in one word for messages: ``log/x.*.log``."""
        return self._numbered(self.log, "*") if len(self.tasks) > 1 else str(self.log_of(self.first))

    def _numbered(self, word: str, number: str) -> str:
        return word if self.name is None else word.replace(self.name, number)


# ---- the command line ----


def _at_least(least: int) -> Callable[[str], int]:
    def convert(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise ValueError(f"a whole number, {least} or more")
        return int(text)

    return convert


def _one_of(*choices: str) -> Callable[[str], str]:
    def convert(text: str) -> str:
        if text not in choices:
            raise ValueError("one of " + ", ".join(choices))
        return text

    return convert


def _true_or_false(text: str) -> bool:
    return _one_of("true", "false")(text) == "true"


OPTIONS: dict[str, Callable[[str], int | str]] = {
    "--max-jobs-run": _at_least(1),
    "--gpu": _at_least(0),
    "--num-threads": _at_least(1),
    "--mem": str,
    "--time": str,
    "--config": str,
    "--pick": _one_of("all", "failed", "incomplete"),
    "--pipefail": _true_or_false,
    "--retry": _at_least(0),
}


def parse(arguments: Sequence[str], launcher: str, configurable: bool = False) -> Job:
    """Read a launcher's command line; with ``configurable``, options of any name are collected in ``Job.more``.

    Raises `LauncherExit`: with the usage and status 0 for ``--help``, with one line that says what is wrong otherwise.
    """
    words = list(arguments)
    fields: dict[str, int | str] = {}
    more: dict[str, str] = {}
    while words and (words[0].startswith("-") or _is_array(words[0])):
        word = words.pop(0)
        if word in ("-h", "--help"):
            raise LauncherExit(USAGE.format(launcher=launcher), SUCCESS)
        if _is_array(word):
            if "name" in fields:
                raise LauncherExit(f"{word}: the range of tasks is given twice")
            fields.update(_parse_array(word))
        else:
            option = _option_name(word, configurable)
            value = _option_value(option, words)
            if option not in OPTIONS:
                more[field_name(option)] = value
                continue
            if option == "--max-jobs-run":
                value = min(value, fields.get("max_jobs_run", value))  # as in Kaldi, the tightest limit holds
            fields[field_name(option)] = value
    if len(words) < 2:
        missing = "COMMAND" if words else "LOGFILE and COMMAND"
        raise LauncherExit(f"{missing} missing; usage: {launcher} [options] [JOB=1:N] LOGFILE COMMAND [ARGUMENT ...]")
    job = Job(log=words[0], words=tuple(words[1:]), more=more, **fields)
    if len(job.tasks) > 1 and job.name not in job.log:
        raise LauncherExit(f"{len(job.tasks)} tasks cannot share one log: put {job.name} into {job.log}", SOME_FAILED)
    return job


def field_name(option: str) -> str:
    """``--num-threads`` -> ``num_threads``, as in `Job` and in configuration files."""
    return option.removeprefix("--").replace("-", "_")


def _is_array(word: str) -> bool:
    """True for JOB=1:4 and for what can only be a mistyped one, such as JOB=0:4; not for a log named a=b/x.log."""
    return re.match(r"[A-Za-z_]\w*=", word) is not None and "/" not in word and not word.endswith(".log")


def _parse_array(word: str) -> dict[str, int | str]:
    match = re.fullmatch(r"(\w+)=([0-9]+)(?::([0-9]+))?", word)
    if match:
        name, first, last = match[1], int(match[2]), int(match[3] or match[2])
        if 1 <= first <= last:
            return {"name": name, "first": first, "last": last}
    raise LauncherExit(f"{word}: a range of tasks is NAME=FIRST:LAST, with 1 <= FIRST <= LAST, as in JOB=1:8")


def _option_name(word: str, configurable: bool) -> str:
    if word == "-tc":  # Grid Engine's name for it, which Kaldi accepts too
        return "--max-jobs-run"
    if word.startswith("--") and "=" in word:
        raise LauncherExit(f"write {word.replace('=', ' ', 1)}, not {word}")
    option = word.replace("_", "-")
    if option not in OPTIONS and not (configurable and re.fullmatch(r"--[A-Za-z][\w-]*", option, re.ASCII)):
        raise LauncherExit(f"unknown option {word}; the options are {' '.join(OPTIONS)} -tc")
    return option


def _option_value(option: str, words: list[str]) -> int | str:
    # An option left without its value must not swallow the word that follows it.
    if not words or words[0].startswith("-") or words[0].endswith(".log") or _is_array(words[0]):
        found = f", found {words[0]}" if words else ""
        raise LauncherExit(f"option {option} needs a value{found}")
    value = words.pop(0)
    try:
        return OPTIONS.get(option, str)(value)
    except ValueError as error:
        raise LauncherExit(f"option {option} needs {error}; found {value}") from None


# ---- quoting ----


def shell_text(words: Sequence[str]) -> str:
    """Join words into bash text; what stays shell syntax is described at the top of this file.

    >>> print(shell_text(["LC_ALL=C", "sort", "my file", "|", "grep", "$1", ">", "out"]))
    LC_ALL=C sort 'my file' | grep '$1' > out
    """
    return " ".join(word if word in OPERATORS else _quoted(word) for word in words)


def _quoted(word: str) -> str:
    # Quoting only the value keeps A='x y' an assignment in front of a command, and changes nothing elsewhere.
    name = re.match(r"(?:[A-Za-z_]\w*=)?", word, re.ASCII)[0]
    return name + shlex.quote(word[len(name) :])
