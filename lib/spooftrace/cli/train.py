"""``spooftrace train``: train a system, on one or several devices."""

from __future__ import annotations

import argparse
from pathlib import Path

from spooftrace.cli.options import add_config_option
from spooftrace.common.errors import InputError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``spooftrace train``."""
    add_config_option(parser, "--optimizer.init_args.lr 1e-5")
    parser.add_argument("--train", type=Path, required=True, help="training data directory")
    parser.add_argument("--dev", type=Path, required=True, help="data directory that selects the epoch")
    parser.add_argument("--dump", type=Path, default=Path("dump"), help="where stage 3 stored cached streams")
    parser.add_argument("--exp", type=Path, required=True, help="folder of the experiment")
    parser.add_argument("--ngpu", type=int, default=0, help="GPUs to train on, of each node; 0: the CPU (default)")
    parser.add_argument("--num-nodes", type=int, default=1, help="nodes to train on, those of a SLURM job (1)")


def run(args: argparse.Namespace, overrides: list[str]) -> int:
    """``spooftrace train``; returns the exit status."""
    from spooftrace.config.loading import load_config

    config = load_config(args.config, overrides)
    if args.ngpu < 0 or args.num_nodes < 1:
        raise InputError(f"--ngpu {args.ngpu} --num-nodes {args.num_nodes}: at least 0 and 1")
    from spooftrace.training.train import launch

    return launch(config, args.train, args.dev, args.dump, args.exp, args.ngpu, args.num_nodes)
