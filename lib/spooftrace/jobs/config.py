"""How a launcher's options become those of sbatch or qsub: the configuration files of Kaldi's queue.pl and slurm.pl.

::

    command TEXT                 the submit command; required
    option NAME=* [TEXT]         --NAME given with any value; $0 in TEXT stands for the value
    option NAME=VALUE [TEXT]     --NAME given with just this value: goes before the line with the star
    default NAME=VALUE           taken when --NAME is not given

``#`` starts a comment anywhere. TEXT is split into words as a shell would, quotes included, but nothing is expanded.
``NAME`` has underscores where the option has hyphens. A line for ``max_jobs_run`` is not needed and has no effect.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path

from .contract import OPTIONS, Job, LauncherExit, field_name

ANY = "*"
FOR_THE_QUEUE = ("mem", "time", "num_threads", "gpu")  # of the options that all launchers have


@dataclass
class Config:
    """A configuration file: the submit command, and for each (option, value or `ANY`) the words that it becomes."""

    path: Path
    command: list[str] = field(default_factory=list)
    options: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    defaults: dict[str, str] = field(default_factory=dict)

    def values(self, job: Job) -> dict[str, str]:
        """What the queue is asked for, option -> value: what the command line gives, else the defaults."""
        given = {name: getattr(job, name) for name in FOR_THE_QUEUE}
        return self.defaults | {name: str(value) for name, value in given.items() if value is not None} | job.more

    def words(self, job: Job) -> list[str]:
        """The submit command's words for ``job``. Raises `LauncherExit` for an option that has no line."""
        words = []
        for name, value in self.values(job).items():
            text = self.options.get((name, value), self.options.get((name, ANY)))
            if text is None:
                raise LauncherExit(self._no_line_for(name, value))
            words += [word.replace("$0", value) for word in text]
        return words

    def _no_line_for(self, name: str, value: str) -> str:
        option = "--" + name.replace("_", "-")
        if name in FOR_THE_QUEUE or any(name == known for known, _ in self.options):
            return f"{option} {value}: {self.path} does not say what it means; add a line 'option {name}=* ...'"
        known = {"--" + known.replace("_", "-") for known, _ in self.options}
        names = " ".join([*OPTIONS, "-tc", *sorted(known - set(OPTIONS))])
        return f"unknown option {option}; the options are {names} (the last ones from {self.path})"


def read_config(path: Path) -> Config:
    """Raises `LauncherExit`, with the file and line, where the file is not as described above."""
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")  # not at form feeds or NEL
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a text file"
        raise LauncherExit(f"cannot read {path}: {reason}; name another with --config") from None
    config = Config(path)
    for number, line in enumerate(lines, start=1):
        if line := line.partition("#")[0].strip():
            try:
                _add_line(config, *line.split(None, 1))
            except ValueError as error:
                raise LauncherExit(f"{path}:{number}: {error}") from None
    if not config.command:
        raise LauncherExit(f"{path}: no line 'command ...' with the submit command")
    for name in config.defaults:
        if all(name != known for known, _ in config.options):
            raise LauncherExit(f"{path}: 'default {name}=...' without a line 'option {name}=...'")
    return config


def _add_line(config: Config, kind: str, rest: str = "") -> None:
    if kind == "command":
        config.command = _split(rest)
        if not config.command:
            raise ValueError("'command' needs the submit command, as in: command sbatch")
        return
    match = re.fullmatch(r"([\w-]+)=(\S+)(?:\s+(.*))?", rest, re.ASCII)
    if kind not in ("option", "default") or not match:
        raise ValueError(
            f"'{kind} {rest}'".replace(" '", "'")
            + " is none of: command TEXT, option NAME=* TEXT, option NAME=VALUE TEXT, default NAME=VALUE"
        )
    name, value, text = field_name(match[1]), match[2], match[3] or ""
    if kind == "option":
        config.options[name, value] = _split(text)
        return
    if text:
        raise ValueError(f"'default {name}={value}' is followed by '{text}'; what it becomes belongs to an option line")
    try:
        OPTIONS.get("--" + name.replace("_", "-"), str)(value)
    except ValueError as error:
        raise ValueError(f"{name} needs {error}; found {value}") from None
    config.defaults[name] = value


def _split(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as error:
        raise ValueError(f"{str(error).lower()} in {text}") from None
