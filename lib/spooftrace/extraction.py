"""Stage 3: compute the cached streams of a system once and store them.

An array job: job ``J`` of ``N`` writes ``dump/<stream>/<set>/feats.J.ark`` and its scp; ``--collect`` then checks that
every utterance is there and writes ``feats.scp``, which marks the stream as complete.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spooftrace.atomic import atomic_write
from spooftrace.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from spooftrace.datadir import DataDir


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``spooftrace extract``."""
    parser.add_argument("--config", action="append", required=True, help="YAML file; may be given several times")
    parser.add_argument("--data", type=Path, required=True, help="data directory")
    parser.add_argument("--dump", type=Path, default=Path("dump"), help="where the streams are stored")
    parser.add_argument("--job", type=int, default=1, help="which part of the array job this is, from 1")
    parser.add_argument("--num-jobs", type=int, default=1, help="parts of the array job")
    parser.add_argument("--collect", action="store_true", help="join the parts after the array job")
    parser.add_argument("--ngpu", type=int, default=0, choices=(0, 1), help="1: compute on a GPU; 0: the CPU (default)")
    parser.add_argument("--compress", action="store_true", help="store 16-bit Kaldi matrices: half the size, not exact")
    parser.epilog = "Anything else is an override of the configuration: --data.cached '[whisper]'"


def run(args: argparse.Namespace, overrides: list[str]) -> None:
    """``spooftrace extract``."""
    from spooftrace.config import load_config

    if not 1 <= args.job <= args.num_jobs:
        raise InputError(f"--job {args.job}: must be between 1 and --num-jobs {args.num_jobs}")
    config = load_config(args.config, overrides)
    for stream in config["data"]["cached"]:
        node, folder = config["streams"][stream], args.dump / stream / args.data.name
        if is_complete(node, args.data, folder):
            print(f"{folder}/feats.scp: already extracted")
        elif args.collect:
            collect(node, args.data, folder, args.num_jobs)
        else:
            size = config["data"]["eval_batch_size"]
            extract(node, args.data, folder, args.job, args.num_jobs, size, args.compress, args.ngpu)


def extract(
    node: Mapping[str, Any], directory: Path, folder: Path, job: int = 1, num_jobs: int = 1,
    batch_size: int = 16, compress: bool = False, num_gpus: int = 0,
) -> None:  # fmt: skip
    """Compute one stream for one part of a data directory; goes on where a killed run stopped.

    Args:
        node: ``class_path`` and ``init_args`` of the front-end.
        directory: The data directory.
        folder: Where ``feats.<job>.{ark,scp}`` go.
        job: This part, from 1.
        num_jobs: Number of parts.
        batch_size: Utterances computed at a time.
        compress: Store Kaldi's 16-bit form.
        num_gpus: 1 to compute on the GPU.

    Raises:
        InputError: An audio file is missing or damaged; the stream is one that is fine-tuned.
    """
    import torch

    from spooftrace.archive import ArchiveWriter
    from spooftrace.config import build
    from spooftrace.datadir import DataDir
    from spooftrace.progress import Progress
    from spooftrace.system import pick_device

    data = DataDir.read(directory)
    part = data.utts[(job - 1) * len(data.utts) // num_jobs : job * len(data.utts) // num_jobs]
    device = pick_device(num_gpus)
    frontend = build(node).to(device).eval()
    if frontend.finetune:
        raise InputError(f"{folder}: a fine-tuned stream cannot be cached; take it out of data.cached")
    made = _origin(node, directory) | {
        "layout": frontend.layout, "dim": frontend.dim, "frame_rate": frontend.frame_rate,
        "fingerprint": frontend.fingerprint(), "compress": compress,
    }  # fmt: skip
    ark, scp, description = (folder / f"{name}.{job}.{end}" for name, end in PART_FILES)
    if _read_json(description) != made or (scp.exists() and _keys(scp) != set(part)):
        for old in folder.glob(f"*feats.{job}.*"):
            old.unlink()
        _write_json(description, made)
    elif scp.exists():
        return
    durations = {utt: float(seconds) for utt, seconds in data.tables.get("utt2dur", {}).items()}
    if job == 1:
        _announce(frontend, folder, durations, compress)
    with (
        torch.inference_mode(),
        ArchiveWriter(ark, scp, compress=compress, resume=True) as writer,
        Progress(f"{folder} part {job} of {num_jobs}", len(part)) as progress,
    ):
        waiting = [utt for utt in part if utt not in writer.keys]
        progress.advance(len(part) - len(waiting))
        # Utterances of similar length share a batch, so that little is computed on padding.
        waiting.sort(key=lambda utt: durations.get(utt, 0.0))
        for start in range(0, len(waiting), batch_size):
            utts = waiting[start : start + batch_size]
            waves = [torch.from_numpy(_read(data, utt)) for utt in utts]
            wave = torch.nn.utils.rnn.pad_sequence(waves, batch_first=True)  # B x (N,) -> (B, N)
            wave_len = torch.tensor([len(one) for one in waves])
            features, feature_len = frontend(wave.to(device), wave_len.to(device))  # (B, N) -> (B, T, D)
            for utt, one, length in zip(utts, features.float().cpu().numpy(), feature_len.tolist(), strict=True):
                writer.write(utt, one[:length])
            progress.advance(len(utts))


def collect(node: Mapping[str, Any], directory: Path, folder: Path, num_jobs: int) -> None:
    """Join the parts of an array job into ``feats.scp``.

    Raises:
        InputError: A part is missing or was made from something else.
    """
    from spooftrace.archive import merge_scp
    from spooftrace.datadir import DataDir

    origin = _origin(node, directory)
    parts = []
    for job in range(1, num_jobs + 1):
        _, scp, description = (folder / f"{name}.{job}.{end}" for name, end in PART_FILES)
        made = _read_json(description)
        if not scp.exists() or {key: made.get(key) for key in origin} != origin:
            raise InputError(f"{scp}: part {job} of the extraction is not finished; run stage 3 again")
        parts.append(scp)
    found = {utt for scp in parts for utt in _keys(scp)}
    missing = [utt for utt in DataDir.read(directory).utts if utt not in found]
    if missing:
        raise InputError(f"{folder}: {len(missing)} utterances have no features, first {missing[0]}; run stage 3 again")
    # feats.scp comes last: it is what says that the stream is complete.
    (folder / "feats.scp").unlink(missing_ok=True)
    _write_json(folder / "stream.json", made)
    count = merge_scp(folder / "feats.scp", parts)
    print(f"{folder}/feats.scp: {count:,} utterances")


def is_complete(node: Mapping[str, Any], directory: Path, folder: Path) -> bool:
    """Whether ``folder`` holds this stream for every utterance of the data directory."""
    made, origin = _read_json(folder / "stream.json"), _origin(node, directory)
    return (folder / "feats.scp").exists() and {key: made.get(key) for key in origin} == origin


PART_FILES = (("feats", "ark"), ("feats", "scp"), ("stream", "json"))


def _origin(node: Mapping[str, Any], directory: Path) -> dict[str, Any]:
    """What a stored stream was made from: front-end settings and the list of audio files."""
    wav = directory / "wav.scp"
    if not wav.exists():
        raise InputError(f"{wav}: not there; run stage 1 (data preparation) first")
    return {"config": dict(node), "wav_scp": sha256(wav.read_bytes()).hexdigest()}


def _read(data: DataDir, utt: str) -> np.ndarray:
    from spooftrace.audio import read_audio

    path, start, end = data.audio(utt)
    return read_audio(path, start=start, end=end)


def _announce(frontend: Any, folder: Path, durations: Mapping[str, float], compress: bool) -> None:
    """Print how much disk the stream takes, before it is taken."""
    frames = sum(frontend.num_frames(int(16000 * seconds)) for seconds in durations.values())
    size = frames * frontend.dim * (2 if compress else 4)
    if durations:
        print(f"{folder}: {len(durations):,} utterances, {sum(durations.values()) / 60:,.1f} min, {size / 1e6:,.1f} MB")


def _keys(scp: Path) -> set[str]:
    from spooftrace.archive.reader import read_scp

    return {key for key, _, _ in read_scp(scp)}


def _read_json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    with atomic_write(path) as file:
        json.dump(content, file, indent=2, sort_keys=True)
        file.write("\n")
