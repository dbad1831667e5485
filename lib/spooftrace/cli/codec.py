"""``spooftrace codec``: train a codec, send data directories through codecs and channels, list both."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from spooftrace.cli.options import add_job_options

if TYPE_CHECKING:
    import numpy as np

    from spooftrace.derive.recoding import Recoder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``spooftrace codec train``, ``resynthesize`` and ``list``."""
    commands = parser.add_subparsers(dest="codec_command", required=True, metavar="COMMAND")

    train = commands.add_parser("train", help="train a small neural codec; continues a stopped run")
    train.add_argument("config", type=Path, help="YAML file with 'codec' and 'training', see conf/codec/")
    train.add_argument("--data", type=Path, required=True, metavar="DIR", help="data directory to train on")
    train.add_argument("--out", type=Path, required=True, metavar="DIR", help="for checkpoint.pt and codec.safetensors")

    copies = commands.add_parser(
        "resynthesize",
        help="send a data directory through codecs or channels",
        description="Copies of every utterance of a data directory through codecs of conf/codecs.yaml (spoofed speech, "
        "labelled) or through channels (labels stay). A second run makes the copies that are missing. Without "
        "--data: the audio of copies that data directories with utt2source list.",
    )
    copies.add_argument("--data", type=Path, metavar="DIR", help="data directory to copy")
    copies.add_argument("--out", type=Path, metavar="DIR", help="the new data directory")
    copies.add_argument(
        "--codec", nargs="+", metavar="NAME", help="codecs, see 'spooftrace codec list', or files of 'codec train'"
    )
    copies.add_argument(
        "--quantizers", type=int, nargs="+", metavar="N", help="with the first N codebooks; one copy for each N"
    )
    copies.add_argument("--model", type=Path, metavar="PATH", help="the codec's weights: folder or file")
    copies.add_argument("--channel", nargs="+", metavar="NAME", help="opus_9k, amrnb_12.2k, mulaw ..., no codecs")
    add_job_options(copies)
    listed = copies.add_argument_group("copies that are listed, as in egs/mini (here --codec is one file, of codec_qN)")
    listed.add_argument("listed", type=Path, nargs="*", metavar="LISTED", help="data directories with utt2source")
    listed.add_argument(
        "--attack", "--system", nargs="+", metavar="NAME", help="first list the copies of LISTED by these in --out"
    )

    commands.add_parser("list", help="known codecs and channels, and which of them run on this machine")


def run(args: argparse.Namespace) -> int:
    """Run one sub-command."""
    return {"train": _train, "resynthesize": _resynthesize, "list": _list}[args.codec_command](args)


def _list(_args: argparse.Namespace) -> int:
    from spooftrace.derive.listing import print_table

    print_table()
    return 0


def _resynthesize(args: argparse.Namespace) -> int:
    import torch

    # Several threads add numbers in another order, which changes roundings: with one thread the files are the same on
    # any number of cores. Array jobs run in parallel instead.
    torch.set_num_threads(1)
    if args.data is None:
        return _make_listed(args)
    from spooftrace.common.errors import InputError
    from spooftrace.derive.recoding import collect, recode_shard

    if args.out is None or args.listed or args.attack:
        raise InputError("--data DIR goes with --out DIR, and --codec or --channel NAME")
    recoders = _recoders(args)
    if not args.collect:
        recode_shard(args.data, args.out, recoders, args.job, args.num_jobs)
    if args.collect or args.num_jobs == 1:
        collect(args.data, args.out, recoders)
    return 0


def _recoders(args: argparse.Namespace) -> list[Recoder]:
    """Return the codecs or channels that the options name."""
    from spooftrace.codecs.providers import find_codec
    from spooftrace.common.errors import InputError
    from spooftrace.derive.recoding import channel_recoder, codec_recoder

    if (args.codec is None) == (args.channel is None):
        raise InputError("give --codec NAME or --channel NAME, one of them")
    if args.channel:
        if args.model or args.quantizers:
            raise InputError("--model and --quantizers go with --codec")
        recoders = [channel_recoder(name) for name in args.channel]
    else:
        settings = [find_codec(name, count) for name in args.codec for count in args.quantizers or [None]]
        if args.model and len({setting.codec for setting in settings}) > 1:
            raise InputError("--model: the weights of one codec, but --codec names several")
        recoders = [codec_recoder(setting, args.model) for setting in settings]
    twice = [
        recoder.name
        for number, recoder in enumerate(recoders)
        if recoder.name in {earlier.name for earlier in recoders[:number]}
    ]
    if twice:
        raise InputError(f"'{twice[0]}' is named twice; name it once")
    return recoders


def _make_listed(args: argparse.Namespace) -> int:
    """Make the audio of copies that data directories list; returns the exit status."""
    from spooftrace.common.errors import InputError
    from spooftrace.derive.listed_copies import list_copies, load_synthesizer, make_copies

    if not args.listed:
        raise InputError("give --data DIR, or data directories that list copies")
    if not 1 <= args.job <= args.num_jobs:
        raise InputError(f"--job {args.job} must lie in 1 .. --num-jobs {args.num_jobs}")
    if (args.out is None) != (args.attack is None) or (args.out and len(args.listed) > 1):
        raise InputError("--out OUT and --attack NAME belong together, with one LISTED")
    if len(args.codec or []) > 1 or args.channel or args.model or args.quantizers or args.collect:
        raise InputError("LISTED goes with one --codec FILE, --job and --num-jobs; the other options need --data")
    folders, codec = args.listed, args.codec[0] if args.codec else None
    loaded = {name: load_synthesizer(name, codec) for name in args.attack or ()}  # before anything is written
    if args.out:
        list_copies(args.listed[0], args.out, args.attack)
        folders = [args.out]
    copied, existed = make_copies(folders, codec, args.job, args.num_jobs, loaded)
    print(f"job {args.job} of {args.num_jobs}: made {copied:,} copies, {existed:,} existed")
    return 0


def _teacher(waves: Sequence[np.ndarray]) -> list[np.ndarray]:
    from spooftrace.frontends.teacher import extract_teacher  # few codecs need transformers, which loads slowly

    return extract_teacher(waves)


def _train(args: argparse.Namespace) -> int:
    from jsonargparse import ArgumentError, ArgumentParser

    from spooftrace.codecs.codec import NeuralCodec
    from spooftrace.codecs.settings import CodecTraining
    from spooftrace.codecs.training import WEIGHTS, train_codec
    from spooftrace.common.errors import InputError
    from spooftrace.config.classes import restricted_imports
    from spooftrace.config.yaml_text import read_yaml

    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(NeuralCodec, "codec")
    parser.add_class_arguments(CodecTraining, "training")
    if not args.config.is_file():
        raise InputError(f"{args.config}: no such configuration file; see conf/codec/")
    content = read_yaml(args.config)
    if not isinstance(content, dict):
        raise InputError(f"{args.config}: must be a mapping with 'codec' and 'training'; see conf/codec/")
    try:
        with restricted_imports():
            config = parser.parse_object(content)
    except ArgumentError as error:
        raise InputError(f"{args.config}: {' '.join(str(error).split())}") from None
    settings = CodecTraining(**vars(config.training))
    train_codec(args.data, args.out, vars(config.codec), settings, _teacher)
    print(f"{args.out / WEIGHTS}: trained")
    return 0
