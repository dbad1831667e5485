"""The ``spooftrace`` command. Each sub-command lives in the module of its stage, imported only when it is asked for."""

from __future__ import annotations

import argparse
import importlib
import inspect
import os
import sys
from collections.abc import Sequence

from spooftrace import __version__
from spooftrace.audio.notes import gathered
from spooftrace.common.errors import InputError
from spooftrace.common.os_errors import explain_os_error

COMMANDS = {
    "download": ("spooftrace.corpora.download", "stage 0: what to get from where for a corpus, and getting it"),
    "prepare": ("spooftrace.corpora", "stage 1: a corpus as it is distributed -> data directories"),
    "durations": ("spooftrace.derive.durations", "stage 1: how long each recording is; finds damaged ones"),
    "trim": ("spooftrace.derive.trim", "stage 2: copies of a data directory without silence"),
    "extract": ("spooftrace.extraction", "stage 3: compute and store the cached streams of a system"),
    "summary": ("spooftrace.system.summary", "parameters and multiplications of a system, part by part"),
    "train": ("spooftrace.training.train", "stage 4: train a system"),
    "score": ("spooftrace.scoring", "stage 5: score a data directory with a trained system"),
    "evaluate": ("spooftrace.evaluation", "stage 6: scores and labels -> metrics"),
    "calibrate": ("spooftrace.evaluation.calibrate", "calibrate and fuse score files, trained on a development set"),
    "report": ("spooftrace.report", "stage 7: metrics -> RESULTS.md and figures"),
    "status": ("spooftrace.report.status", "how far experiments are: epochs, best figures, time left, what failed"),
    "matrix": ("spooftrace.report.matrix", "one table of systems x test sets of several corpora"),
    "import-checkpoint": (
        "spooftrace.official.commands",
        "another project's pretrained model or trained system -> one of ours",
    ),
    "detect": ("spooftrace.inference.detect", "score audio files with a trained system"),
    "trace": (
        "spooftrace.inference.trace",
        "ask a trained system which kind of codec, or which parameters, audio files have",
    ),
    "audit": ("spooftrace.audit", "does silence, level, band ... alone tell the classes of a corpus apart?"),
    "codec": ("spooftrace.derive.commands", "train a neural codec; make codec and vocoder copies of a data directory"),
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
    module = importlib.import_module(COMMANDS[words[0]][0])
    parser = argparse.ArgumentParser(
        prog=f"spooftrace {words[0]}", description=COMMANDS[words[0]][1], allow_abbrev=False
    )
    module.add_arguments(parser)
    takes_overrides = "overrides" in inspect.signature(module.run).parameters
    try:
        args, overrides = parser.parse_known_args(words[1:]) if takes_overrides else (parser.parse_args(words[1:]), [])
        if getattr(args, "allow_module", None):
            from spooftrace.config.classes import allow_modules

            allow_modules(args.allow_module)
        with gathered(f"spooftrace {words[0]}"):
            return module.run(args, *([overrides] if takes_overrides else [])) or 0
    except InputError as error:
        print(f"spooftrace {words[0]}: error: {error}", file=sys.stderr)
        return 1
    except (
        BrokenPipeError
    ):  # "... | head": the reader has closed the pipe, and the interpreter must not write to it again at its exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        # A full disk, a missing permission.
        print(f"spooftrace {words[0]}: error: {explain_os_error(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"spooftrace {words[0]}: interrupted; run it again to continue", file=sys.stderr)
        return 130


def _overview() -> str:
    lines = ["usage: spooftrace COMMAND [options]", ""]
    lines += [f"  {name:17s} {text}" for name, (_, text) in COMMANDS.items()]
    return "\n".join([*lines, "", "spooftrace COMMAND --help shows the options of a command."])


if __name__ == "__main__":
    sys.exit(main())
