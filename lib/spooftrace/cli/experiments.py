"""The commands behind ``utils/recipe.sh``: check the options of a ``run.sh``, list its experiments, launch its jobs.

Standard library only: options are checked before anything is installed.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from spooftrace.jobs import arrays, plan
from spooftrace.jobs.plan import Choice, Experiment, OptionError

UNSET = "default"  # the value of --seed and --seeds that are not given
NUMBERS = ("stage", "stop_stage", "seed", "nj", "ngpu", "num_nodes")
LAST_STAGE = 7


def main(words: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="utils/experiments.py", description=__doc__, allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_plan(
        commands.add_parser(
            "plan", allow_abbrev=False, help="check the options of run.sh and print its experiments, one a line"
        )
    )
    for name, text in (
        ("remaining", "print the folders of the experiments of which no job has failed"),
        ("array", "run a command for each experiment as an array job"),
        ("launch", "launch the jobs that the recipes of a sweep have added"),
    ):
        _add_launching(commands.add_parser(name, help=text, allow_abbrev=False), name)
    args = parser.parse_args(words)
    try:
        if args.command == "plan":
            for experiment in plan.experiments(_choice(args)):
                print(experiment.to_line())
            return 0
        return _with_jobs(args)
    except OptionError as error:
        print(f"run.sh: {error} (try --help)", file=sys.stderr)
        return 1


def _add_plan(parser: argparse.ArgumentParser) -> None:
    for name in (*NUMBERS, "seeds", "system", "tag", "allow-module", "on-bad-audio"):
        parser.add_argument(f"--{name.replace('_', '-')}", required=True, metavar="TEXT", help=f"as of run.sh --{name}")
    parser.add_argument("--task", default="", help="task, part of the names; empty for detection")
    parser.add_argument("--variant", default="", help="part of the names of the experiments")
    parser.add_argument("--ptm", help="models of conf/vectors, separated by commas, or all")
    parser.add_argument("--start-from", action="append", default=[], metavar="SYSTEM=OTHER")
    parser.add_argument("--variant-of", action="append", default=[], metavar="SYSTEM=VARIANT")


def _add_launching(parser: argparse.ArgumentParser, command: str) -> None:
    parser.add_argument("--jobs", type=Path, required=True, help="folder of the job lists")
    parser.add_argument("--recipe", default="", help="name of this recipe, in a sweep")
    parser.add_argument("--plan", type=Path, required=True, help="file with the output of plan")
    parser.add_argument("--train-cmd", required=True, help="launcher of CPU jobs")
    parser.add_argument("--cuda-cmd", required=True, help="launcher of GPU jobs")
    parser.add_argument("--cmd-backend", required=True, help="local, slurm or sge")
    for name in ("--nj", "--ngpu", "--num-nodes"):
        parser.add_argument(name, type=int, required=True, metavar="N", help=f"as of run.sh {name}")
    if command == "array":
        parser.add_argument("step", choices=tuple(arrays.MESSAGES))
        parser.add_argument("words", nargs=argparse.REMAINDER, metavar="COMMAND")


def _with_jobs(args: argparse.Namespace) -> int:
    """Run ``remaining``, ``array`` or ``launch``."""
    launching = arrays.Launching(
        args.jobs, args.recipe, args.train_cmd.split(), args.cuda_cmd.split(), args.cmd_backend == "local", args.nj,
        args.ngpu, args.num_nodes,
    )  # fmt: skip
    if args.command == "launch":
        return arrays.launch(launching)
    experiments = [Experiment.from_line(line) for line in args.plan.read_text(encoding="utf-8").splitlines()]
    left = arrays.remaining(experiments, launching)
    if not left:
        return 1
    if args.command == "remaining":
        print("\n".join(experiment.exp for experiment in left))
        return 0
    arrays.add_jobs(args.step, left, args.words, launching)
    return 0 if launching.recipe else arrays.launch(launching)


def _choice(args: argparse.Namespace) -> Choice:
    """Check the options of ``run.sh``.

    Raises:
        OptionError: A value cannot be used, or a system or a model is unknown.
    """
    if UNSET not in (args.seed, args.seeds):
        raise OptionError("give --seed or --seeds, not both")
    # Names of experiments are names of folders in exp/.
    if args.tag and not plan.TAG.fullmatch(args.tag):
        raise OptionError(f"option --tag needs letters, digits and . _ + = -, found '{args.tag}'")
    if args.allow_module and not plan.MODULE.fullmatch(args.allow_module):
        raise OptionError(f"option --allow_module needs the name of a Python module, found '{args.allow_module}'")
    for name in NUMBERS:
        value = getattr(args, name)
        if not re.fullmatch(r"[0-9]+", value) and (name, value) != ("seed", UNSET):
            raise OptionError(f"option --{name} needs a whole number, found '{value}'")
    for name in ("nj", "num_nodes"):
        if int(getattr(args, name)) == 0:
            raise OptionError(f"option --{name} needs at least 1")
    if not int(args.stage) <= min(int(args.stop_stage), LAST_STAGE):
        raise OptionError(f"no stages from {args.stage} to {args.stop_stage}: they are 0 to {LAST_STAGE}")
    if args.on_bad_audio not in ("fail", "skip"):
        raise OptionError(f"option --on_bad_audio needs fail or skip, found '{args.on_bad_audio}'")
    seeds = [] if args.seeds == UNSET else _seeds(args.seeds)
    return Choice(
        _systems(args.system, args.task),
        None if args.seed == UNSET else int(args.seed),
        seeds,
        args.tag,
        args.task,
        args.variant,
        [] if args.ptm is None else _models(args.ptm),
        dict(pair.split("=", 1) for pair in args.start_from),
        dict(pair.split("=", 1) for pair in args.variant_of),
    )


def _seeds(text: str) -> list[int]:
    words = text.split()
    if not words:
        raise OptionError("option --seeds names no seed")
    for number, word in enumerate(words):
        if not re.fullmatch(r"0|[1-9][0-9]*", word):
            raise OptionError(f"option --seeds needs whole numbers, found '{word}'")
        if word in words[:number]:
            raise OptionError(f"option --seeds names {word} twice")
    return [int(word) for word in words]


def _systems(text: str, task: str) -> list[str]:
    systems = text.split(",") if text else []
    if not systems:
        raise OptionError("option --system names no system")
    for system in systems:
        if not plan.NAME.fullmatch(system):
            raise OptionError(f"option --system needs names, found '{system}'")
    for system in systems:
        if not plan.system_files(system, task):
            known = " ".join(plan.known_systems())
            raise OptionError(f"no system '{system}' in conf/systems or the recipe's conf: {known}")
    return systems


def _models(text: str) -> list[str]:
    known = plan.known_models()
    models = known if text == "all" else [model for model in text.split(",") if text]
    if not models:
        raise OptionError("option --ptm names no model")
    for model in models:
        if model not in known:
            raise OptionError(f"no model '{model}' in conf/vectors: {' '.join(known)}")
    return models


if __name__ == "__main__":
    sys.exit(main())
