"""Time of our back-ends against plain formulations of the same models, or the official code, side by side in one run.

Usage, from the repository root:
    python tests/benchmarks/bench_backends.py [--batch 2] [--rounds 5] [--threads 1] [--ssl-layers 4]
        [--aasist CHECKOUT] [--nes2net CHECKOUT]

The plain formulations are the published ones. AASIST: one board of all node pairs filled by slices, the unused `bn1`
of each residual block computed and dropped, default memory layout. Nes2Net-X: outputs and stacks grown by
concatenation, weighted sums as a product and a sum. SLS: two passes over the SSL model, the first of them for nothing,
and layers gathered one by one; the SSL model is a transformer with layers of the size of XLS-R 300M's, `--ssl-layers`
of them. With a checkout of clovaai/aasist or Liu-Tianchi/Nes2Net_ASVspoof_ITW its own classes take the place of ours.

Both have the same weights, and the outputs are compared first. Prints the least CPU time (over all threads) of an
utterance of 64,600 samples over the rounds. The formulations take turns and change their order every round, so that a
busy machine hits all alike.
"""

import argparse
import importlib.util
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spooftrace.backends import AASIST, SLS, W2V2AASIST, Nes2NetX
from spooftrace.backends.aasist import ResidualBlock
from spooftrace.backends.nes2net import InnerBlockX
from spooftrace.backends.parts.graph import HeterogeneousGraphAttention


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
                module.bn2.__class__ = nn.BatchNorm2d
            elif type(module) is HeterogeneousGraphAttention:
                module.__class__ = PlainAttention

    def encode(self, wave: Tensor) -> Tensor:
        x = F.max_pool2d(self.conv_time(wave).abs().unsqueeze(1), 3)  # (B, N) -> (B, 1, F, N')
        return self.encoder(F.selu(self.first_bn(x)))


class PlainInnerBlock(InnerBlockX):
    def steps(self, splits: list[Tensor], last: Tensor) -> list[Tensor]:
        stack = last.unsqueeze(3)
        outputs = None
        for split, conv, bn, weights in zip(splits, self.convs, self.bns, self.weighted_sum, strict=True):
            stack = bn(F.relu(conv(torch.cat([stack, split.unsqueeze(3)], dim=3))))
            total = (stack * weights).sum(dim=3)
            outputs = total if outputs is None else torch.cat([outputs, total], dim=1)
        return [outputs]


class PlainNes2NetX(Nes2NetX):
    inner_block = PlainInnerBlock


class SSL(nn.Module):
    """Frames (B, T, 1024) through layers of the size of XLS-R 300M's; gives each one's output."""

    def __init__(self, layers: int):
        super().__init__()
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(1024, 16, 4096, 0.0, "gelu", batch_first=True, norm_first=True)
            for _ in range(layers)
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        outputs = []
        for layer in self.layers:
            x = layer(x)
            outputs.append(x)
        return outputs


class OursSLS(nn.Module):
    def __init__(self, ssl: SSL, head: SLS):
        super().__init__()
        self.ssl, self.head = ssl, head

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.stack(self.ssl(x), dim=1))


class PlainSLS(OursSLS):
    def forward(self, x: Tensor) -> Tensor:
        self.ssl(x)
        layers = self.ssl(x)
        head = self.head
        pooled = torch.cat([F.adaptive_avg_pool1d(y.transpose(1, 2), 1).transpose(1, 2) for y in layers], dim=1)
        gates = torch.sigmoid(head.fc0(pooled)).unsqueeze(3)  # (B, L, 1, 1)
        x = (torch.cat([y.unsqueeze(1) for y in layers], dim=1) * gates).sum(dim=1, keepdim=True)
        x = F.max_pool2d(F.selu(head.first_bn(x)), 3)
        return torch.log_softmax(F.selu(head.fc3(F.selu(head.fc1(x.flatten(1))))), dim=1)


def load(file: Path) -> ModuleType:
    """A file of an official checkout as a module; fairseq, which only its front-end needs, may be missing."""
    sys.modules.setdefault("fairseq", ModuleType("fairseq"))
    spec = importlib.util.spec_from_file_location(file.stem, file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def official_aasist(checkout: Path) -> nn.Module:
    class Logits(load(checkout / "models" / "AASIST.py").Model):
        def forward(self, wave: Tensor) -> Tensor:
            return super().forward(wave)[1]

    filters = [70, [1, 32], [32, 32], [32, 64], [64, 64]]
    pool, temperatures = [0.5, 0.7, 0.5, 0.5], [2.0, 2.0, 100.0, 100.0]
    return Logits(
        {"filts": filters, "first_conv": 128, "gat_dims": [64, 32], "pool_ratios": pool, "temperatures": temperatures}
    )


def official_nes2net_x(checkout: Path) -> nn.Module:
    class Frames(load(checkout / "model_scripts" / "wav2vec2_Nes2Net_X.py").Nested_Res2Net_TDNN):
        def forward(self, frames: Tensor) -> Tensor:
            return super().forward(frames.transpose(1, 2))

    return Frames(Nes_ratio=[8, 8], dilation=2, SE_ratio=[1])


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


def compare(title: str, plain: nn.Module, ours: nn.Module, inputs: tuple[Tensor, ...], rounds: int) -> None:
    """Lines for training and scoring; the outputs are compared first, where it is a whole model."""
    difference = ""
    if plain is not ours and len(inputs) == 1:
        with torch.no_grad():
            difference = f"{(ours.eval()(*inputs) - plain.eval()(*inputs)).abs().max():10.0e}"
    for kind, make in (("forward and backward", train_step), ("scoring", score)):
        times = least_times({"plain": make(plain, *inputs), "ours": make(ours, *inputs)}, rounds)
        a, b = (1000 * times[key] / inputs[0].size(0) for key in ("plain", "ours"))
        numbers = f"{'':10s}{b:10.2f}" if plain is ours else f"{a:10.2f}{b:10.2f}{a / b:8.2f}"
        print(f"{f'{title}, {kind}':36s}{numbers}{difference}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=2, help="utterances at a time (default: 2)")
    parser.add_argument("--rounds", type=int, default=5, help="timed rounds, of which the fastest counts (default: 5)")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (default: 1)")
    parser.add_argument("--ssl-layers", type=int, default=4, help="layers of SLS's SSL model (default: 4; XLS-R: 24)")
    parser.add_argument("--aasist", type=Path, help="checkout of clovaai/aasist")
    parser.add_argument("--nes2net", type=Path, help="checkout of Liu-Tianchi/Nes2Net_ASVspoof_ITW")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)

    aasist, nes2net, w2v2 = AASIST(), Nes2NetX(), W2V2AASIST()
    plain_aasist = official_aasist(args.aasist) if args.aasist else PlainAASIST()
    plain_nes2net = official_nes2net_x(args.nes2net) if args.nes2net else PlainNes2NetX()
    plain_aasist.load_state_dict(aasist.state_dict())
    plain_nes2net.load_state_dict(nes2net.state_dict())
    sls = OursSLS(SSL(args.ssl_layers), SLS())
    wave = 0.1 * torch.randn(args.batch, 64600)
    frames = torch.randn(args.batch, 201, 1024)
    print(f"batch {args.batch}, {args.threads} thread(s), per utterance of 64,600 samples")
    print(f"{'':36s}{'plain ms':>10s}{'ours ms':>10s}{'ratio':>8s}{'difference':>12s}")
    compare("AASIST", plain_aasist, aasist, (wave,), args.rounds)
    # The nodes that 64,600 samples give, in the published batch: at two utterances the calls alone take longer.
    nodes = torch.randn(24, 20, 64), torch.randn(24, 11, 64), aasist.master1.detach()
    compare("one HS-GAL", plain_aasist.HtrgGAT_layer_ST11, aasist.HtrgGAT_layer_ST11, nodes, args.rounds)
    compare("W2V2-AASIST", w2v2, w2v2, (frames,), args.rounds)
    compare("Nes2Net-X", plain_nes2net, nes2net, (frames,), args.rounds)
    compare("SLS", PlainSLS(sls.ssl, sls.head), sls, (frames,), args.rounds)


if __name__ == "__main__":
    main()
