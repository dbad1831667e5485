"""Stage 3 with a model of XLS-R-300M's size (random weights) against the loops that people write themselves.

Usage: PYTHONPATH=lib python tests/benchmarks/bench_frontends.py [--utterances 10] [--layers 24] [--threads 1]
    [--precisions fp32 bf16] [--rounds 1]

Each way reads real speech of 1 to 10 s from flac files, computes the last layer and writes it: ``spooftrace extract``
(whole: threads, batches, archive, fsync), transformers with one utterance at a time and numpy.save, and s3prl's
S3PRLUpstream, one at a time and four padded ones at a time, which is left out where s3prl is not installed. bf16 is
autocast for s3prl; for transformers autocast and a model whose weights are bfloat16. Loading is not counted.

Prints seconds of audio per second of time, and per second of processor time, which other programs disturb less;
the ratio is that of processor times, to the better of the other loops in the same precision and in fp32. Ways take
turns in each round, the best round counts. Last, how far the features are from those of transformers in fp32, and the
peak memory of an extraction in a process of its own.
"""

import argparse
import importlib.util
import io
import json
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
import torch

from spooftrace.archive import ArchiveReader
from spooftrace.datadir import DataDir
from spooftrace.extraction.pipeline import Extraction, Settings
from spooftrace.system.packing import has_bf16_instructions

CORPUS = Path(__file__).resolve().parents[2] / "egs/mini/corpus/bonafide.tar"


def write_model(folder: Path, layers: int) -> None:
    """A wav2vec 2.0 model with XLS-R-300M's sizes and random weights, as transformers and as s3prl store it."""
    from transformers import Wav2Vec2Config, Wav2Vec2Model

    torch.manual_seed(0)
    config = Wav2Vec2Config(
        hidden_size=1024, num_hidden_layers=layers, num_attention_heads=16, intermediate_size=4096,
        feat_extract_norm="layer", do_stable_layer_norm=True, conv_bias=True,
    )  # fmt: skip
    model = Wav2Vec2Model(config)
    model.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps({"do_normalize": False}), encoding="utf-8")
    print(f"{sum(weight.numel() for weight in model.parameters()) / 1e6:.0f} M parameters, {layers} layers")


def write_s3prl(folder: Path, layers: int) -> Path:
    """The same sizes in s3prl's own format, with random weights of its own: only its speed is looked at."""
    from dataclasses import asdict

    from s3prl.upstream.wav2vec2.wav2vec2_model import AudioPretrainingConfig, Wav2Vec2Config, Wav2Vec2Model

    config = Wav2Vec2Config(
        extractor_mode="layer_norm", layer_norm_first=True, conv_bias=True, encoder_layers=layers,
        encoder_embed_dim=1024, encoder_ffn_embed_dim=4096, encoder_attention_heads=16, encoder_layerdrop=0.0,
    )  # fmt: skip
    task = {key: value for key, value in asdict(AudioPretrainingConfig()).items() if key == "normalize"}
    content = {
        "task_cfg": task,
        "model_cfg": _plain(asdict(config)),
        "model_weight": Wav2Vec2Model(config).state_dict(),
    }
    torch.save(content, folder / "s3prl.pt")
    return folder / "s3prl.pt"


def _plain(settings: dict) -> dict:
    return {key: value for key, value in settings.items() if isinstance(value, str | int | float | bool)}


def write_speech(folder: Path, count: int) -> float:
    """``count`` recordings of 1 to 10 s made of utterances of the mini corpus; returns their total in seconds."""
    with tarfile.open(CORPUS) as tar:
        members = sorted((one for one in tar.getmembers() if one.isfile()), key=lambda one: one.name)[: 4 * count]
        waves = [soundfile.read(io.BytesIO(tar.extractfile(one).read()), dtype="float32")[0] for one in members]
    rng = np.random.default_rng(0)
    tables: dict[str, dict[str, str]] = {"wav.scp": {}, "utt2spk": {}, "utt2dur": {}}
    total = 0.0
    for number, seconds in enumerate(rng.permutation(np.geomspace(1, 10, count))):
        wave = np.concatenate(waves[number % len(waves) :] + waves)[: int(seconds * 16000)]
        utt = f"utt{number:04d}"
        soundfile.write(folder / f"{utt}.flac", wave, 16000)
        tables["wav.scp"][utt] = str(folder / f"{utt}.flac")
        tables["utt2spk"][utt], tables["utt2dur"][utt] = "speaker", f"{len(wave) / 16000:.4f}"
        total += len(wave) / 16000
    DataDir.write(folder / "data", tables)
    return total


def transformers_loop(model: torch.nn.Module, files: list[Path], out: Path, bfloat16: bool) -> None:
    weight_type = next(model.parameters()).dtype
    for file in files:
        wave = torch.from_numpy(soundfile.read(file, dtype="float32")[0]).to(weight_type)
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            features = model(wave[None]).last_hidden_state[0]
        np.save(out / f"{file.stem}.npy", features.float().numpy())


def s3prl_loop(model: torch.nn.Module, files: list[Path], out: Path, bfloat16: bool, size: int) -> None:
    for start in range(0, len(files), size):
        waves = [torch.from_numpy(soundfile.read(file, dtype="float32")[0]) for file in files[start : start + size]]
        wave = torch.nn.utils.rnn.pad_sequence(waves, batch_first=True)
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            layers, lengths = model(wave, torch.tensor([len(one) for one in waves]))
        for file, features, length in zip(files[start:], layers[-1], lengths[-1].tolist(), strict=False):
            np.save(out / f"{file.stem}.npy", features[:length].float().numpy())


def load_ways(folder: Path, files: list[Path], layers: int, precisions: list[str]) -> dict[tuple[str, str], Callable]:
    from transformers import Wav2Vec2Model

    plain = Wav2Vec2Model.from_pretrained(folder / "model").eval()
    half = (
        Wav2Vec2Model.from_pretrained(folder / "model", dtype=torch.bfloat16).eval() if "bf16" in precisions else None
    )
    theirs = None
    if importlib.util.find_spec("s3prl") is None:
        print("s3prl is not installed, its rows are left out (pip install espnet-s3prl)")
    else:
        from s3prl.nn import S3PRLUpstream

        theirs = S3PRLUpstream("wav2vec2_custom", str(write_s3prl(folder, layers))).eval()
    ways: dict[tuple[str, str], Callable] = {}
    for precision in precisions:
        bf16 = precision == "bf16"
        ways[precision, "transformers, one at a time"] = lambda bf16=bf16: transformers_loop(plain, files, folder, bf16)
        if bf16:
            ways[precision, "transformers, bf16 weights"] = lambda: transformers_loop(half, files, folder, False)
        for size in (1, 4) if theirs else ():
            ways[precision, f"s3prl, batches of {size}"] = lambda bf16=bf16, size=size: s3prl_loop(
                theirs, files, folder, bf16, size
            )
        ways[precision, "spooftrace extract"] = extraction(folder, precision)
    return ways


def node(folder: Path) -> dict:
    arguments = {"model": str(folder / "model"), "output": "last", "normalize": False}
    return {"class_path": "spooftrace.frontends.HuggingFace", "init_args": arguments}


def extraction(folder: Path, precision: str) -> Callable[[], None]:
    ours = Extraction(Settings(precision=precision))
    ours.load(node(folder), folder)
    runs = iter(range(1000))
    return lambda: ours.run({folder / "dump" / f"{precision}{next(runs)}": node(folder)}, folder / "data")


def difference(folder: Path, files: list[Path], precision: str) -> float:
    """Of features extracted here from what the transformers loop in fp32 stored last, relative."""
    reader = ArchiveReader(folder / f"dump/{precision}0/feats.1.scp")
    apart = total = 0.0
    for file in files:
        expected = np.load(folder / f"{file.stem}.npy")
        apart += np.square(reader[file.stem] - expected).sum()
        total += np.square(expected).sum()
    return float(np.sqrt(apart / total))


def peak_memory(folder: Path, precision: str) -> float:
    """GB of a process that does nothing but extract."""
    program = (
        "import re, sys; from pathlib import Path; import torch;"
        "from spooftrace.extraction.pipeline import Extraction, Settings; torch.set_num_threads(1);"
        "folder = Path(sys.argv[1]); node = eval(sys.argv[2]);"
        f"Extraction(Settings(precision={precision!r})).run({{folder / 'dump/memory': node}}, folder / 'data');"
        # Not ru_maxrss, which begins with what this process has, because it was forked from it.
        "print(int(re.search(r'VmHWM:\\s+(\\d+)', Path('/proc/self/status').read_text())[1]) / 1e6)"
    )
    command = [sys.executable, "-c", program, str(folder), repr(node(folder))]
    result = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return float(result.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--utterances", type=int, default=10)
    parser.add_argument("--layers", type=int, default=24)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--precisions", nargs="+", choices=("fp32", "bf16"))
    options = parser.parse_args()
    precisions = options.precisions or ["fp32", "bf16"][: 1 + has_bf16_instructions()]
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_model(folder / "model", options.layers)
        seconds = write_speech(folder, options.utterances)
        files = sorted(folder.glob("*.flac"))
        print(f"{len(files)} utterances of 1 to 10 s, {seconds:.0f} s; {options.threads} threads")
        ways = load_ways(folder, files, options.layers, precisions)
        wall, processor = dict.fromkeys(ways, float("inf")), dict.fromkeys(ways, float("inf"))
        for _ in range(options.rounds):
            for name, way in ways.items():
                started = time.perf_counter(), time.process_time()
                way()
                wall[name] = min(wall[name], time.perf_counter() - started[0])
                processor[name] = min(processor[name], time.process_time() - started[1])
        best = {
            p: min(t for (q, name), t in processor.items() if p == q and "spooftrace" not in name) for p in precisions
        }
        print("precision  way                            s/s   s/s CPU   ratio, same precision   ratio, fp32")
        for (precision, name), taken in processor.items():
            ratios = f"{best[precision] / taken:23.2f}   {best['fp32'] / taken:11.2f}" if "fp32" in best else ""
            speeds = f"{seconds / wall[precision, name]:7.2f}   {seconds / taken:7.2f}"
            print(f"{precision:9s}  {name:27s} {speeds} {ratios}")
        ways[precisions[0], "transformers, one at a time"]()
        for precision in precisions:
            apart, memory = difference(folder, files, precision), peak_memory(folder, precision)
            print(f"{precision}: relative difference from transformers in {precisions[0]} {apart:.1e}; {memory:.1f} GB")


if __name__ == "__main__":
    main()
