"""``spooftrace codec``: train a codec, make copies of data directories with codecs and vocoders."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Sub-commands ``train`` and ``resynthesize``."""
    commands = parser.add_subparsers(dest="codec_command", required=True, metavar="COMMAND")

    train = commands.add_parser("train", help="train a small neural codec; continues a stopped run")
    train.add_argument("config", type=Path, help="YAML file with 'codec' and 'training', see conf/codec/")
    train.add_argument("--data", type=Path, required=True, metavar="DIR", help="data directory to train on")
    train.add_argument("--out", type=Path, required=True, metavar="DIR", help="for checkpoint.pt and codec.safetensors")

    copies = commands.add_parser(
        "resynthesize",
        help="make the copies of a data directory",
        description="Makes the audio that data directories with utt2source list but that is not there yet; "
        "with --out and --system, first lists copies of every utterance of DATA in a new data directory OUT.",
    )
    copies.add_argument("data", type=Path, nargs="+", metavar="DATA", help="data directories")
    copies.add_argument("--out", type=Path, metavar="OUT", help="new data directory with copies of DATA")
    copies.add_argument("--system", nargs="+", metavar="NAME", help="world, world24, griffinlim, codec_q8 ...")
    copies.add_argument("--codec", type=Path, metavar="FILE", help="weights for the systems codec_qN")
    copies.add_argument("--job", type=int, default=1, metavar="J", help="number of this job, from 1")
    copies.add_argument("--num-jobs", type=int, default=1, metavar="N", help="jobs that share the work")


def run(args: argparse.Namespace) -> int:
    """Run one sub-command."""
    if args.codec_command == "train":
        return _train(args)
    import torch

    from spooftrace.codecs.resynthesis import list_copies, make_copies
    from spooftrace.errors import InputError

    # Sums in another order can round differently: with one thread the files do not depend on the number of cores.
    # Jobs bring the parallelism, and the threads of several jobs would only get into each other's way.
    torch.set_num_threads(1)

    if not 1 <= args.job <= args.num_jobs:
        raise InputError(f"--job {args.job} must lie in 1 .. --num-jobs {args.num_jobs}")
    if (args.out is None) != (args.system is None) or (args.out and len(args.data) > 1):
        raise InputError("--out OUT and --system NAME belong together, with one DATA")
    folders = args.data
    if args.out:
        list_copies(args.data[0], args.out, args.system)
        folders = [args.out]
    made, there = make_copies(folders, args.codec, args.job, args.num_jobs)
    print(f"job {args.job} of {args.num_jobs}: made {made} copies, {there} were there")
    return 0


def _train(args: argparse.Namespace) -> int:
    from jsonargparse import ArgumentError, ArgumentParser

    from spooftrace.codecs.codec import NeuralCodec
    from spooftrace.codecs.training import WEIGHTS, CodecTraining, train_codec
    from spooftrace.errors import InputError

    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(NeuralCodec, "codec")
    parser.add_class_arguments(CodecTraining, "training")
    if not args.config.is_file():
        raise InputError(f"{args.config}: no such configuration file; see conf/codec/")
    try:
        config = parser.parse_path(str(args.config))
    except ArgumentError as error:
        raise InputError(f"{args.config}: {' '.join(str(error).split())}") from None
    settings = CodecTraining(**vars(config.training))
    train_codec(args.data, args.out, vars(config.codec), settings)
    print(f"{args.out / WEIGHTS}: trained")
    return 0
