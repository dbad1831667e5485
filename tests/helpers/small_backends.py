"""A small back-end of each kind, with random weights."""

import pytest
import torch
from torch import Tensor

import spooftrace.backends

SMALL_SASTNET = {"image": [96, 64], "encoder": [16, 1, 4], "decoder": [16, 1, 4], "fusion": [1, 4], "reduced_dim": 24}


# class, arguments, shapes of its streams, minimum number of frames (or samples)
BACKENDS = {
    "AASIST": (
        "AASIST",
        {"sinc_filters": 12, "sinc_taps": 17, "channels": [4, 6], "gat_dims": [8, 6]},
        [("B", "T")],
        43,
    ),
    "AttMLSTM": ("AttMLSTM", {"input_dim": 8, "num_layers": 4, "hidden_dim": 5}, [("B", 4, "T", 8)], 1),
    "HYDRA": ("HYDRA", {"input_dim": 12, "num_outputs": 2, "ball_dim": 4, "hidden_dim": 6}, [("B", 12)], 1),
    "HyperbolicCNN": (
        "HyperbolicCNN",
        {"input_dim": 12, "num_outputs": 2, "ball_dim": 4, "hidden_dim": 6},
        [("B", 12)],
        1,
    ),
    "LCNN": ("LCNN", {"input_dim": 16, "num_frames": 20}, [("B", "T", 16)], 1),
    "LSTMProbe": ("LSTMProbe", {"input_dim": 8, "hidden_dim": 5}, [("B", "T", 8)], 1),
    "LinearProbe": ("LinearProbe", {"input_dim": 8}, [("B", "T", 8)], 1),
    "LinearProbe of layers": (
        "LinearProbe",
        {"input_dim": 8, "aggregation": "weighted_sum", "num_layers": 4},
        [("B", 4, "T", 8)],
        1,
    ),
    "MiO": ("MiO", {"input_dim": 12, "other_dim": 9, "num_outputs": 2, "merged_dim": 5}, [("B", 12), ("B", 9)], 1),
    "Nes2Net": ("Nes2Net", {"input_dim": 16, "nes_ratio": [4, 2]}, [("B", "T", 16)], 1),
    "Nes2NetX": ("Nes2NetX", {"input_dim": 16, "nes_ratio": [4, 2], "pool": "astp"}, [("B", "T", 16)], 1),
    "Nes2NetX, SEA": (
        "Nes2NetX",
        {"input_dim": 16, "nes_ratio": [4, 2], "activation": "selu", "aggregation": "sea", "num_layers": 6},
        [("B", 6, "T", 16)],
        1,
    ),
    "ParsingCNN": ("ParsingCNN", {"input_dim": 12, "num_outputs": 2}, [("B", 12)], 1),
    "QAFStatic": (
        "QAFStatic",
        {"input_dim": 8, "num_layers": 4, "num_quantizers": 3, "codebook_size": 7, "codec_dim": 5, "fused_dim": 6},
        [("B", 4, "T", 8), ("B", 3, "T")],
        1,
    ),
    "ReducedRes2Net": (
        "ReducedRes2Net",
        {"input_dim": 16, "reduced_dim": 8, "num_blocks": 2, "scale": 4, "aggregation": "attm", "num_layers": 3},
        [("B", 3, "T", 16)],
        1,
    ),
    "SASTNet": (
        "SASTNet",
        {"input_dim": 8, "num_outputs": 2, "semantic_dim": 6, "semantic_frames": 32, **SMALL_SASTNET},
        [("B", "T", 8), ("B", "T", 6)],
        1,
    ),
    "SASTNet, a spectrum": (
        "SASTNet",
        {
            "input_dim": 64,
            "num_outputs": 2,
            "semantic_dim": None,
            "spectrum": [-7.0, 5.0],
            "num_decoders": 1,
            **SMALL_SASTNET,
        },
        [("B", "T", 64)],
        1,
    ),
    "SLS": ("SLS", {"input_dim": 12, "num_frames": 9}, [("B", 3, "T", 12)], 1),
    "W2V2AASIST": (
        "W2V2AASIST",
        {"input_dim": 8, "reduced_dim": 12, "channels": [4, 6], "gat_dims": [8, 6]},
        [("B", "T", 8)],
        3,
    ),
    "W2V2AASIST of two tasks": (
        "W2V2AASIST",
        {"input_dim": 8, "num_outputs": [1, 1], "reduced_dim": 12, "channels": [4, 6], "gat_dims": [8, 6]},
        [("B", "T", 8)],
        3,
    ),
}


EVERY = pytest.mark.parametrize("name", BACKENDS)


@pytest.fixture(autouse=True)
def one_thread():
    """Run small models on a single thread, because distributing the work takes longer than the work."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def make(name: str, **changes) -> torch.nn.Module:
    torch.manual_seed(0)
    class_path, init_args, _, _ = BACKENDS[name]
    return getattr(spooftrace.backends, class_path)(**{**init_args, **changes})


def make_inputs(name: str, batch: int, frames: int) -> list[Tensor]:
    sizes = [[{"B": batch, "T": frames}.get(size, size) for size in shape] for shape in BACKENDS[name][2]]
    torch.manual_seed(1)
    inputs = [torch.randn(size) for size in sizes]
    if name == "QAFStatic":
        inputs[1] = torch.randint(7, sizes[1])
    return inputs
