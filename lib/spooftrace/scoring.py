"""Stage 5: score a data directory with a trained system.

Scores appear in ``<exp>/<set>/scores.txt`` when all are there. Until then they are kept in a partial file that belongs
to one model and one data directory, so that a killed run goes on where it stopped.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from spooftrace.atomic import atomic_write

SYNC_SECONDS = 5.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``spooftrace score``."""
    parser.add_argument("--exp", type=Path, required=True, help="folder of a trained system")
    parser.add_argument("--data", type=Path, nargs="+", required=True, metavar="DIR", help="data directories to score")
    parser.add_argument("--out", type=Path, help="folder for <set>/scores.txt; default: the experiment's")
    parser.add_argument("--dump", type=Path, default=Path("dump"), help="where stage 3 stored cached streams")
    parser.add_argument("--ngpu", type=int, default=0, choices=(0, 1), help="1: score on a GPU; 0: the CPU (default)")


def run(args: argparse.Namespace) -> None:
    """``spooftrace score``."""
    for directory in args.data:
        score(args.exp, directory, args.dump, (args.out or args.exp) / directory.name / "scores.txt", args.ngpu)


def score(exp: Path, directory: Path, dump: Path, out: Path, num_gpus: int = 0) -> None:
    """Write one score an utterance of ``directory`` to ``out``, byte-sorted by utterance.

    Raises:
        InputError: No trained model in ``exp``, or bad data.
    """
    import torch

    from spooftrace.progress import Progress
    from spooftrace.system import pick_device
    from spooftrace.training import make_batches

    digest = fingerprint(exp, directory, dump)
    if out.exists() and _read_digest(out) == digest:
        print(f"{out}: already scored")
        return
    device = pick_device(num_gpus)
    system, config = load_system(exp, dump, directory)
    system = system.eval().to(device)
    batches = make_batches(config, system, directory, dump, training=False, labelled=False)
    partial = out.with_name(f".{out.name}.{digest[:12]}.part")
    lines = _read_partial(partial)
    batches.utterances.leave_out(lines)
    total = len(lines) + len(batches.utterances)
    partial.parent.mkdir(parents=True, exist_ok=True)
    with open(partial, "a", encoding="utf-8") as file, Progress(f"scoring {directory.name}", total) as progress:
        progress.advance(len(lines))
        synced = time.monotonic()
        with torch.inference_mode():
            for groups in batches:
                for group in groups:
                    moved = {k: v.to(device) if isinstance(v, torch.Tensor) else v for k, v in group.items()}
                    scores = system.task.scores(system(moved)).float().cpu().numpy()  # (B,)
                    new = dict(zip(group["utt"], system.task.format_scores(group["utt"], scores), strict=True))
                    file.writelines(line + "\n" for line in new.values())
                    lines.update(new)
                    progress.advance(len(new))
                if time.monotonic() - synced > SYNC_SECONDS:
                    file.flush()
                    os.fsync(file.fileno())
                    synced = time.monotonic()
    with atomic_write(out) as file:
        file.writelines(lines[utt] + "\n" for utt in sorted(lines))
    with atomic_write(_digest_file(out)) as file:
        file.write(digest + "\n")
    partial.unlink()
    print(f"{out}: {len(lines):,} scores")


def load_system(exp: Path, dump: Path, directory: Path) -> tuple[Any, Mapping[str, Any]]:
    """The trained system of an experiment and its configuration; raises ``InputError`` when there is none."""
    from spooftrace.config import load_config
    from spooftrace.system import System, load_weights
    from spooftrace.training import open_streams

    weights = load_weights(exp / "model.safetensors")
    config = load_config([exp / "config.yaml"])
    cached = open_streams(config, dump, directory)
    system = System(config, {name: stream.shape for name, stream in cached.items()})
    system.load_own_state(weights, str(exp / "model.safetensors"))
    return system, config


def fingerprint(exp: Path, directory: Path, dump: Path) -> str:
    """Changes when the model, its configuration, the list of audio files or the stored features change."""
    from spooftrace.config import load_config

    model = exp / "model.safetensors"
    parts = [
        file.read_bytes() if file.exists() else b"" for file in (model, exp / "config.yaml", directory / "wav.scp")
    ]
    for stream in load_config([exp / "config.yaml"])["data"]["cached"]:
        features = dump / stream / directory.name / "feats.scp"
        parts.append(f"{stream} {features.stat().st_mtime_ns if features.exists() else 0}".encode())
    return sha256(b"\0".join(sha256(part).digest() for part in parts)).hexdigest()


def _digest_file(out: Path) -> Path:
    return out.with_name(f".{out.name}.sha256")


def _read_digest(out: Path) -> str:
    file = _digest_file(out)
    return file.read_text(encoding="utf-8").strip() if file.exists() else ""


def _read_partial(path: Path) -> dict[str, str]:
    """Score lines of a killed run by utterance; its last, perhaps half-written line is cut off."""
    if not path.exists():
        return {}
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if len(whole) < len(content):
        with open(path, "r+b") as file:
            file.truncate(len(whole))
    return {line.split()[0]: line for line in whole.decode("utf-8").splitlines()}
