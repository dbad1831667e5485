"""Whisper front-end: real-time factor and speed-up by padding, batch size and precision, measured side by side.

PYTHONPATH=lib python tests/benchmarks/bench_whisper.py [--model openai/whisper-base] [--threads 2] [--seconds 3]

Prints, for each setting, the least time of a few rounds per second of speech (rtf, smaller is faster) and the ratio to
the first row (batch 1, padding 30s, float32); then how far the features of padding none are from those of 30s. All
settings take turns in each round, so that a busy machine hits all alike.
"""

import argparse
import itertools
import time

import torch

from spooftrace.frontends import Whisper

BATCHES = (1, 8, 16)


def utterances(count: int, seconds: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Harmonic sounds of changing pitch and level with a little noise: nearer to speech than noise alone."""
    generator = torch.Generator().manual_seed(0)
    moments = torch.arange(int(seconds * 16000)) / 16000
    pitch = 80 + 160 * torch.rand(count, 1, generator=generator)
    phase = 2 * torch.pi * (pitch * moments + 3 * torch.sin(2 * torch.pi * 2 * moments))
    voice = sum(torch.sin(harmonic * phase) / harmonic for harmonic in range(1, 20))
    level = 0.05 * (1 + torch.sin(2 * torch.pi * 4 * moments))
    wave = level * voice + 0.001 * torch.randn(count, len(moments), generator=generator)
    return wave, torch.full((count,), len(moments))


def seconds_taken(front_end: Whisper, wave: torch.Tensor, wave_len: torch.Tensor, bfloat16: bool) -> float:
    start = time.perf_counter()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bfloat16):
        front_end(wave, wave_len)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="openai/whisper-base")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    front_ends = {padding: Whisper(options.model, padding=padding) for padding in ("30s", "none")}
    inputs = {batch: utterances(batch, options.seconds) for batch in BATCHES}

    settings = list(itertools.product(front_ends, BATCHES, (False, True)))
    least = dict.fromkeys(settings, float("inf"))
    for number in range(options.rounds + 1):
        for padding, batch, bfloat16 in settings:
            taken = seconds_taken(front_ends[padding], *inputs[batch], bfloat16)
            if number:  # Round 0 warms up.
                key = padding, batch, bfloat16
                least[key] = min(least[key], taken / (batch * options.seconds))

    print(f"{options.model}, {options.seconds} s utterances, {options.threads} threads, CPU")
    print("padding  batch  precision      rtf   x real time   speed-up")
    for (padding, batch, bfloat16), rtf in least.items():
        precision, speed_up = ("bfloat16" if bfloat16 else "float32"), least[settings[0]] / rtf
        print(f"{padding:7s}  {batch:5d}  {precision:9s}  {rtf:7.4f}  {1 / rtf:12.1f}  {speed_up:9.2f}")

    official, short = (front_ends[padding](*inputs[8])[0] for padding in ("30s", "none"))
    relative = (short - official).norm() / official.norm()
    cosine = torch.nn.functional.cosine_similarity(short, official, dim=2).mean()
    print(f"none against 30s: relative difference {relative:.3f}, mean cosine of frames {cosine:.3f}")


if __name__ == "__main__":
    main()
