"""The commands behind ``utils/``: ``python3 -m spooftrace.cli.datadir COMMAND ...``."""

from __future__ import annotations

import argparse
import os
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from spooftrace.cli.options import CommandParser
from spooftrace.common.atomic import atomic_write
from spooftrace.common.errors import InputError
from spooftrace.common.text import read_lines
from spooftrace.datadir.directory import DataDir, validate
from spooftrace.datadir.edit import choose, combine, fix, subset, where
from spooftrace.datadir.split import split_by_speaker, split_dir, split_disjoint, split_evenly
from spooftrace.datadir.tables import (
    read_list,
    read_table,
    select,
    spk2utt_from_utt2spk,
    table_text,
    utt2spk_from_spk2utt,
)

HOW = ("first", "last", "shortest", "per-spk", "speakers")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status. Errors in the input are printed as one line each."""
    arguments, unknown = _parser().parse_known_args(argv)
    if unknown:
        arguments.parser.error(f"unknown argument: {unknown[0]}")
    try:
        status = arguments.run(arguments)
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        # "... | head" has closed the pipe, and the interpreter must not write to it again at its exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except InputError as error:
        return _complain(arguments, str(error))
    except OSError as error:  # no permission, disk full ...
        return _complain(arguments, f"{error.filename or 'writing'}: {error.strerror}")


def _complain(arguments: argparse.Namespace, message: str) -> int:
    print(f"{arguments.command}: {message}", file=sys.stderr)
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(prog="python3 -m spooftrace.cli.datadir", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, script: str, run: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        new = commands.add_parser(name, prog=f"utils/{script}", help=text, description=text, allow_abbrev=False)
        new.set_defaults(run=run, command=script, parser=new)
        return new

    new = command("validate", "validate_data_dir.sh", _validate, "Check a data directory; print up to 10 problems.")
    new.add_argument("dir")
    new.add_argument("--check-audio", action="store_true", help="also check that the audio files are there")
    new.add_argument("--allow-pipes", action="store_true", help="accept 'command |' in scp files")

    new = command("fix", "fix_data_dir.sh", _fix, "Sort, drop repeated lines and utterances that some file lacks.")
    new.add_argument("dir")

    _add_subset(
        command("subset", "subset_data_dir.sh", _subset, "Copy a part of a data directory; default: evenly spaced.")
    )

    new = command("combine", "combine_data.sh", _combine, "Join data directories; a file that one lacks is left out.")
    new.add_argument("dest")
    new.add_argument("sources", nargs="+")

    new = command("split", "split_data.sh", _split, "Split into DIR/splitN/1..N by speaker, or DIR/splitNutt/1..N.")
    new.add_argument("--per-utt", action="store_true", help="split by utterance, ignoring speakers")
    new.add_argument("dir")
    new.add_argument("parts", type=int, metavar="N")

    new = command("split-scp", "split_scp.py", _split_scp, "Split the lines of a sorted or unsorted table.")
    new.add_argument("--utt2spk", metavar="FILE", help="keep the utterances of a speaker together")
    new.add_argument("-j", nargs=2, type=int, metavar=("N", "I"), help="write only part I of N (from 0)")
    new.add_argument("--one-based", action="store_true", help="I counts from 1")
    new.add_argument("input", help="the table; '-': standard input")
    new.add_argument("outputs", nargs="*", help="one file a part; with -j one file, default standard output")

    new = command("utt2spk-to-spk2utt", "utt2spk_to_spk2utt.py", _invert, "Print spk2utt, sorted by speaker.")
    new.add_argument("file", nargs="?", default="-")

    new = command("spk2utt-to-utt2spk", "spk2utt_to_utt2spk.py", _invert, "Print utt2spk, sorted by utterance.")
    new.add_argument("file", nargs="?", default="-")
    return parser


def _add_subset(new: argparse.ArgumentParser) -> None:
    """Add the options of ``utils/subset_data_dir.sh``."""
    choice = new.add_mutually_exclusive_group()
    for how, text in zip(
        HOW,
        ("the first N", "the last N", "the N shortest", "N of every speaker", "whole speakers until there are N"),
        strict=True,
    ):
        choice.add_argument(f"--{how}", dest="how", action="store_const", const=how, help=text)
    choice.add_argument("--spk-list", metavar="FILE", help="all utterances of the speakers listed in FILE")
    choice.add_argument("--utt-list", metavar="FILE", help="the utterances listed in FILE")
    choice.add_argument(
        "--where",
        metavar="TABLE=VALUE[,VALUE]",
        action="append",
        help="utterances with one of these values, e.g. utt2cond=C01,C02; '!=': with none of them; all of several hold",
    )
    choice.add_argument(
        "--disjoint",
        nargs=2,
        metavar=("TABLE", "SHARE"),
        help="about this share, e.g. utt2spk 0.1, to DEST, the others to REST, such that no value of TABLE is in both",
    )
    new.add_argument(
        "arguments", nargs="+", metavar="SRC [N] DEST [REST]", help="N only for a number; 'N SRC DEST' works too"
    )


def _validate(arguments: argparse.Namespace) -> int:
    problems = validate(arguments.dir, arguments.allow_pipes, arguments.check_audio)
    for problem in problems:
        _complain(arguments, problem)
    if not problems:
        print(f"{arguments.dir}: no problem found")
    return 1 if problems else 0


def _fix(arguments: argparse.Namespace) -> int:
    for line in fix(arguments.dir) or [f"{arguments.dir}: nothing to repair"]:
        print(line)
    return 0


def _subset(arguments: argparse.Namespace) -> int:
    names = list(arguments.arguments)
    listed = arguments.spk_list or arguments.utt_list or arguments.where
    expected = "SRC DEST REST" if arguments.disjoint else "SRC DEST" if listed else "SRC N DEST"
    if len(names) != len(expected.split()):
        raise InputError(f"expected {expected}, got {' '.join(names)}; see --help")
    if arguments.disjoint:
        return _disjoint(*arguments.disjoint, *names)
    if not listed and names[0].isdigit() and not names[1].isdigit():
        names[:2] = names[1::-1]  # N SRC DEST
    data = DataDir.read(names[0], allow_pipes=True)
    source = str(data.path)
    if arguments.utt_list:
        utts, source = read_list(arguments.utt_list), arguments.utt_list
    elif arguments.spk_list:
        speakers = set(read_list(arguments.spk_list))
        source = arguments.spk_list
        utts = [utt for utt, speaker in data.table("utt2spk").items() if speaker in speakers]
        unknown = sorted(speakers - set(data.table("utt2spk").values()))
        if unknown:
            raise InputError(
                f"{arguments.spk_list}: speaker '{unknown[0]}' is not in {data.path}, which has such as "
                f"'{next(iter(data.tables['utt2spk'].values()))}'; remove it from the list"
            )
    elif arguments.where:
        utts, source = where(data, arguments.where), " and ".join(arguments.where)
    else:
        if not names[1].isdigit():
            raise InputError(f"'{names[1]}' is not a number of utterances; expected SRC N DEST, see --help")
        utts = choose(data, arguments.how or "spaced", int(names[1]))
    copy = subset(data, utts, names[-1], source)
    print(f"{names[-1]}: {len(copy.utts)} of {len(data.utts)} utterances of {data.path}")
    return 0


def _disjoint(table: str, share: str, source: str, dest: str, rest: str) -> int:
    data = DataDir.read(source, allow_pipes=True)
    try:
        wanted = float(share)
    except ValueError:
        raise InputError(f"'{share}' is not a share; give a number between 0 and 1") from None
    parts = split_disjoint(data, table, wanted)
    if Path(rest).resolve() in (Path(dest).resolve(), data.path.resolve()):
        raise InputError(f"{rest}: is the source or the other part; give the rest another directory")
    for folder, utts in zip((dest, rest), parts, strict=True):
        copy = subset(data, utts, folder)
        labels = Counter(copy.tables.get("utt2label", {}).values())
        counts = [f"{len(copy.utts)} of {len(data.utts)} utterances of {data.path}"]
        counts += [f"{number} {label}" for label, number in sorted(labels.items())]
        counts.append(f"{len(set(copy.table(table).values()) - {'-'})} values of {table}")
        print(f"{folder}: {', '.join(counts)}")
    return 0


def _combine(arguments: argparse.Namespace) -> int:
    combined, dropped = combine(arguments.dest, arguments.sources)
    if dropped:
        print(f"{arguments.dest}: left out, not in every source: {' '.join(dropped)}", file=sys.stderr)
    print(f"{arguments.dest}: {len(combined.utts)} utterances from {len(arguments.sources)} directories")
    return 0


def _split(arguments: argparse.Namespace) -> int:
    folders = split_dir(arguments.dir, arguments.parts, arguments.per_utt)
    print(f"{folders[0].parent}: {len(folders)} parts")
    return 0


def _split_scp(arguments: argparse.Namespace) -> int:
    lines = read_lines(arguments.input)
    outputs = arguments.outputs
    if arguments.j:
        parts, index = arguments.j[0], arguments.j[1] - arguments.one_based
        if not 0 <= index < parts or len(outputs) > 1:
            raise InputError(f"-j {parts} {arguments.j[1]}: no such part, or more than one output; see --help")
        wanted = {index: (outputs or ["-"])[0]}
    else:
        parts, wanted = len(outputs), dict(enumerate(outputs))
    try:
        if arguments.utt2spk:
            by_key = {line.split(maxsplit=1)[0]: line for line in lines if line.strip()}
            groups = split_by_speaker(list(by_key), read_table(arguments.utt2spk), parts)
            pieces = [list(select(by_key, group).values()) for group in groups]
        else:
            pieces = [list(piece) for piece in split_evenly(lines, parts)]
    except InputError as error:
        raise InputError(f"{arguments.input}: {error}") from None
    for index, output in wanted.items():
        text = "".join(f"{line}\n" for line in pieces[index])
        if output == "-":
            sys.stdout.write(text)
        else:
            with atomic_write(Path(output)) as file:
                file.write(text)
    return 0


def _invert(arguments: argparse.Namespace) -> int:
    table = read_table(arguments.file)
    if arguments.command.startswith("spk2utt"):
        result = utt2spk_from_spk2utt(table)
    else:
        for number, (utt, speaker) in enumerate(table.items(), 1):
            if speaker.split() != [speaker]:
                raise InputError(f"{arguments.file}:{number}: '{utt} {speaker}' is not two fields; correct the line")
        result = spk2utt_from_utt2spk(table)
    sys.stdout.write(table_text(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
