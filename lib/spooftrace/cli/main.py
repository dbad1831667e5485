"""The ``spooftrace`` command. Each sub-command is a module of this room, imported when it runs."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from types import ModuleType

from spooftrace import __version__

# Sub-command -> its line in the overview. Its module has the same name, with underscores.
COMMANDS = {
    "download": "stage 0: where a corpus can be had, and its files",
    "prepare": "stage 1: a corpus as it is distributed -> data directories",
    "durations": "stage 1: length of each recording; finds damaged ones",
    "trim": "stage 2: copies of a data directory without silence",
    "extract": "stage 3: compute and store the cached streams of a system",
    "summary": "parameters and multiplications of a system, part by part",
    "train": "stage 4: train a system",
    "score": "stage 5: score a data directory with a trained system",
    "evaluate": "stage 6: scores and labels -> metrics",
    "calibrate": "calibrate and fuse score files, trained on a development set",
    "report": "stage 7: metrics -> RESULTS.md and figures",
    "status": "progress of experiments: epochs, best metrics, time left, failures",
    "matrix": "one table of systems x test sets of several corpora",
    "import-checkpoint": "an official checkpoint -> an experiment, or a pretrained model -> a folder of ours",
    "detect": "score audio files with a trained system",
    "trace": "the kind of codec, or the codec parameters, of audio files by a trained system",
    "audit": "do silence, level, band ... alone tell the classes of a corpus apart?",
    "codec": "train a neural codec; make codec and vocoder copies of a data directory",
}


def main(words: Sequence[str] | None = None) -> int:
    """Run one sub-command; returns the exit status: 0, 1 for bad input, 130 when interrupted."""
    words = list(sys.argv[1:] if words is None else words)
    if words[:1] == ["--version"]:
        print(f"spooftrace {__version__}")
        return 0
    if not words or words[0] in ("-h", "--help"):
        print(_overview())
        return 0 if words else 1
    if words[0] not in COMMANDS:
        print(f"spooftrace: unknown command '{words[0]}'; try spooftrace --help", file=sys.stderr)
        return 1
    return _run(words[0], command_module(words[0]), words[1:])


def command_module(command: str) -> ModuleType:
    """Import the module of a sub-command, which has ``add_arguments(parser)`` and ``run(args)``.

    ``run(args, overrides)`` also gets the words that the parser does not know, overrides of a configuration.
    """
    return importlib.import_module(f"spooftrace.cli.{command.replace('-', '_')}")


def _run(command: str, module: ModuleType, words: Sequence[str]) -> int:
    """Parse the options of a sub-command, run it, and print errors as one line."""
    import inspect

    from spooftrace.cli.options import CommandParser
    from spooftrace.common.errors import InputError

    parser = CommandParser(prog=f"spooftrace {command}", description=COMMANDS[command], allow_abbrev=False)
    module.add_arguments(parser)
    takes_overrides = "overrides" in inspect.signature(module.run).parameters
    args, overrides = parser.parse_known_args(words) if takes_overrides else (parser.parse_args(words), [])
    try:
        from spooftrace.audio.notes import gathered

        if getattr(args, "allow_module", None):
            from spooftrace.config.classes import allow_modules

            allow_modules(args.allow_module)
        with gathered(f"spooftrace {command}"):
            return module.run(args, *([overrides] if takes_overrides else [])) or 0
    except InputError as error:
        print(f"spooftrace {command}: error: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        # "... | head" has closed the pipe, and the interpreter must not write to it again at its exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        # A full disk, a missing permission.
        from spooftrace.common.os_errors import explain_os_error

        print(f"spooftrace {command}: error: {explain_os_error(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"spooftrace {command}: interrupted; run it again to continue", file=sys.stderr)
        return 130


def _overview() -> str:
    lines = ["usage: spooftrace COMMAND [options]", ""]
    lines += [f"  {name:17s} {text}" for name, text in COMMANDS.items()]
    return "\n".join([*lines, "", "spooftrace COMMAND --help shows the options of a command."])


if __name__ == "__main__":
    sys.exit(main())
