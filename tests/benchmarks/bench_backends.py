"""Time of AASIST against a plain formulation of the same model, and of Nes2Net-X, side by side in one run.

Usage, from the repository root: python tests/benchmarks/bench_backends.py [--batch 2] [--rounds 5] [--threads 1]

The plain formulation is the published one: one board of all node pairs filled by slices, the unused `bn1` of each
residual block computed and dropped, default memory layout. It has the same weights, and the outputs are compared first.
Prints the least CPU time (over all threads) of an utterance of 64,600 samples over the rounds. The formulations take
turns and change their order every round, so that a busy machine hits all alike.
"""

import argparse
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from spooftrace.backends import AASIST, Nes2NetX
from spooftrace.backends.aasist import ResidualBlock
from spooftrace.backends.graph import HeterogeneousGraphAttention


class PlainBlock(ResidualBlock):
    def forward(self, x: Tensor) -> Tensor:
        if hasattr(self, "bn1"):
            F.selu(self.bn1(x), inplace=True)
        return super().forward(x)


class PlainAttention(HeterogeneousGraphAttention):
    def _logits(self, x1: Tensor, x2: Tensor) -> Tensor:
        n = x1.size(1)
        x = torch.cat([x1, x2], dim=1)  # -> (B, N, D)
        pairs = torch.tanh(self.att_proj(x.unsqueeze(2) * x.unsqueeze(1)))  # -> (B, N, N, D')
        board = torch.zeros_like(pairs[..., :1])  # (B, N, N, 1)
        board[:, :n, :n] = pairs[:, :n, :n] @ self.att_weight11
        board[:, n:, n:] = pairs[:, n:, n:] @ self.att_weight22
        board[:, :n, n:] = pairs[:, :n, n:] @ self.att_weight12
        board[:, n:, :n] = pairs[:, n:, :n] @ self.att_weight12
        return board.squeeze(3)  # -> (B, N, N)


class PlainAASIST(AASIST):
    def __init__(self):
        super().__init__()
        for module in self.modules():
            if type(module) is ResidualBlock:
                module.__class__ = PlainBlock
            elif type(module) is HeterogeneousGraphAttention:
                module.__class__ = PlainAttention

    def encode(self, wave: Tensor) -> Tensor:
        x = F.max_pool2d(self.conv_time(wave).abs().unsqueeze(1), 3)  # (B, N) -> (B, 1, F, N')
        return self.encoder(F.selu(self.first_bn(x)))


def train_step(model: torch.nn.Module, *inputs: Tensor) -> Callable[[], None]:
    """Forward and backward."""

    def step() -> None:
        model.train().zero_grad()
        outputs = model(*inputs)
        sum(o.square().sum() for o in (outputs if isinstance(outputs, tuple) else (outputs,))).backward()

    return step


def score(model: torch.nn.Module, *inputs: Tensor) -> Callable[[], None]:
    def step() -> None:
        with torch.no_grad():
            model.eval()(*inputs)

    return step


def least_times(steps: dict[str, Callable[[], None]], rounds: int) -> dict[str, float]:
    for step in steps.values():
        step()  # warm up
    times = dict.fromkeys(steps, float("inf"))
    for i in range(rounds):
        for name, step in list(steps.items())[:: -1 if i % 2 else 1]:
            start = time.process_time()
            step()
            times[name] = min(times[name], time.process_time() - start)
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=2, help="utterances at a time (default: 2)")
    parser.add_argument("--rounds", type=int, default=5, help="timed rounds, of which the fastest counts (default: 5)")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (default: 1)")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)

    ours, plain, nes2net = AASIST(), PlainAASIST(), Nes2NetX()
    plain.load_state_dict(ours.state_dict())
    layer, plain_layer = ours.HtrgGAT_layer_ST11, plain.HtrgGAT_layer_ST11
    wave = 0.1 * torch.randn(args.batch, 64600)
    frames = torch.randn(args.batch, 201, 1024)
    # The nodes that 64,600 samples give, in the published batch: at two utterances the calls alone take longer.
    nodes = torch.randn(24, 20, 64), torch.randn(24, 11, 64), ours.master1.detach()
    with torch.no_grad():
        difference = (ours.eval()(wave) - plain.eval()(wave)).abs().max().item()
    print(f"batch {args.batch}, {args.threads} thread(s), largest difference of a logit {difference:.1e}")
    print(f"{'':34s}{'plain ms':>10s}{'ours ms':>10s}{'ratio':>8s}   per utterance")
    for title, make, pair, inputs in (
        ("AASIST, forward and backward", train_step, (plain, ours), (wave,)),
        ("AASIST, scoring", score, (plain, ours), (wave,)),
        ("one HS-GAL, forward and backward", train_step, (plain_layer, layer), nodes),
    ):
        times = least_times({"plain": make(pair[0], *inputs), "ours": make(pair[1], *inputs)}, args.rounds)
        a, b = (1000 * times[key] / inputs[0].size(0) for key in ("plain", "ours"))
        print(f"{title:34s}{a:10.3f}{b:10.3f}{a / b:8.2f}")
    times = least_times({"train": train_step(nes2net, frames), "score": score(nes2net, frames)}, args.rounds)
    for key, title in (("train", "Nes2Net-X, forward and backward"), ("score", "Nes2Net-X, scoring")):
        print(f"{title:34s}{'':10s}{1000 * times[key] / args.batch:10.3f}")


if __name__ == "__main__":
    main()
