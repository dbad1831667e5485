"""What the parity tests of the back-ends share: the reference material beside the checkout, and stored cases.

`tests/fixtures/backends.json` holds, for each case, the outputs of a back-end with weights and inputs that follow from
a rule (`set_weights`, `make_input`). They were written once the same code had passed the comparisons with the reference
material. `python tests/parity/backend_cases.py` writes them again, with the library on PYTHONPATH.
"""

import hashlib
import json
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.tolerance import assert_equal_up_to_rounding

import spooftrace.backends

SHARED = Path(__file__).resolve().parents[2].parent / "shared"
STORED = Path(__file__).resolve().parents[1] / "fixtures" / "backends.json"


def reference(name: str) -> dict:
    """One reference model file, such as aasist_random; skips the test when the material is not there."""
    path = SHARED / "parity" / "models" / f"{name}.pt"
    if not path.is_file():
        pytest.skip(f"reference material not found: {path}")
    return torch.load(path, weights_only=True)


def official_keys(name: str) -> dict[str, tuple[int, ...]]:
    """Names and shapes of an official state dict, such as aasist; skips the test when the material is not there."""
    path = SHARED / "parity" / "state_dict_shapes" / f"{name}.json"
    if not path.is_file():
        pytest.skip(f"reference material not found: {path}")
    return {key: tuple(shape) for key, shape, _ in json.loads(path.read_text())["keys"]}


def stored(name: str) -> tuple[torch.nn.Module, torch.Tensor, dict]:
    """The model and the input of a stored case (the first, where there are two), and what is expected of them."""
    case = json.loads(STORED.read_text())[name]
    return build(case), make_input(case["input"]), case["expected"]


def keys(model_class: type[torch.nn.Module], **init_args: object) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the state dict of a model of any size, without its weights."""
    with torch.device("meta"):
        return {key: tuple(tensor.shape) for key, tensor in model_class(**init_args).state_dict().items()}


def count(model_class: type[torch.nn.Module], trained: bool = False, **init_args: object) -> int:
    """Number of parameters of a model of any size, or of the trained ones."""
    with torch.device("meta"):
        return sum(p.numel() for p in model_class(**init_args).parameters() if p.requires_grad or not trained)


def check_stored(name: str, parameters: int) -> None:
    """Assert that a stored case comes out as stored, that the model has this many parameters, and the stored keys."""
    case = json.loads(STORED.read_text())[name]
    model, expected = build(case), case["expected"]
    with torch.no_grad():
        output = model(*make_inputs(case))
    assert (output[0] - output[1]).abs().max() > 0.05, "the stored case must follow its input"
    assert_equal_up_to_rounding(output, torch.tensor(expected["output"]), model)
    assert sum(p.numel() for p in model.parameters()) == expected["parameters"] == parameters
    assert keys_sha256(model) == expected["keys_sha256"]


def assert_equals_stored(exact: torch.Tensor, stored: torch.Tensor) -> None:
    """Assert that what a model computes in float64 is what was stored of a computation in float32.

    In float64 every processor gives the same twelve digits, so the difference is the rounding of the stored numbers and
    the same everywhere. Of the largest number, and at least of 1, it may be 1e-5.
    """
    assert exact.dtype == torch.float64
    torch.testing.assert_close(exact, stored.double(), atol=1e-5 * max(1.0, float(stored.abs().max())), rtol=0)


def build(case: dict) -> torch.nn.Module:
    model = getattr(spooftrace.backends, case["class_path"])(**case["init_args"])
    set_weights(model)
    return model.eval()


def set_weights(model: torch.nn.Module) -> None:
    """Give every floating-point entry of the state dict values that depend on its name and shape alone."""
    for name, tensor in model.state_dict().items():
        if not tensor.is_floating_point():
            continue
        z = np.random.RandomState(zlib.crc32(name.encode())).standard_normal(tuple(tensor.shape))
        if name.endswith("running_var"):
            z = 0.5 + np.exp(0.2 * z)
        elif tensor.ndim > 1:
            z = 0.85 * z / np.sqrt(z[0].size)
        else:
            z = 0.2 * z + (1.0 if name.endswith("weight") else 0.0)  # batch-norm scales about 1, biases about 0
        tensor.copy_(torch.from_numpy(np.asarray(z)))


def make_input(shape: list[int]) -> torch.Tensor:
    """Noise; each item of the batch with another colour and level, loud enough for the outputs to follow it."""
    noise = np.random.RandomState(7).standard_normal(shape)
    for i, item in enumerate(noise):
        item[:] = (item + i * np.roll(item, 1, axis=0)) * (3 + 3 * i)
    return torch.from_numpy(noise.astype(np.float32))


def make_inputs(case: dict) -> list[torch.Tensor]:
    """The input of a case, and random codes where its model takes them."""
    inputs = [make_input(case["input"])]
    if "codes" in case:
        size = case["init_args"]["codebook_size"]
        inputs.append(torch.from_numpy(np.random.RandomState(8).randint(size, size=case["codes"])))
    return inputs


def describe(case: dict) -> dict:
    model = build(case)
    with torch.no_grad():
        output = model(*make_inputs(case)).double().numpy().round(7).tolist()
    parameters = sum(p.numel() for p in model.parameters())
    return {"output": output, "parameters": parameters, "keys_sha256": keys_sha256(model)}


def keys_sha256(model: torch.nn.Module) -> str:
    lines = sorted(f"{name} {list(tensor.shape)}" for name, tensor in model.state_dict().items())
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


if __name__ == "__main__":
    small = {"channels": [32, 32, 24, 24, 24, 24], "gat_dims": [24, 32], "pool_ratios": [0.4, 0.5, 0.7]}
    few = {"input_dim": 64, "num_layers": 4, "hidden_dim": 24}
    qaf = {**few, "codebook_size": 32, "codec_dim": 16, "fused_dim": 16}
    written = {
        "aasist": ("AASIST", {}, [2, 16000]),
        "aasist_l": ("AASIST", small, [2, 16000]),
        "nes2net_ctrsvdd": ("Nes2Net", {"dilation": 1, "num_outputs": 1}, [2, 20, 1024]),
        "nes2net_x": ("Nes2NetX", {}, [2, 20, 1024]),
        "nes2net_x_ctrsvdd": ("Nes2NetX", {"dilation": 1, "num_outputs": 1}, [2, 20, 1024]),
        "nes2net_x_astp": ("Nes2NetX", {"dilation": 1, "num_outputs": 1, "pool": "astp"}, [2, 20, 1024]),
        "nes2net_x_selu_sea": (
            "Nes2NetX",
            {"input_dim": 128, "num_outputs": 1, "dilation": 1, "activation": "selu", "aggregation": "sea"},
            [2, 25, 10, 128],
        ),
        "sls_9_frames": ("SLS", {"input_dim": 64, "num_frames": 9}, [2, 4, 9, 64]),
        "sls_long": ("SLS", {"input_dim": 64, "num_frames": 9}, [2, 4, 20, 64]),
        "w2v2_aasist": ("W2V2AASIST", {}, [2, 40, 1024]),
        "lcnn": ("LCNN", {"input_dim": 64, "num_frames": 33}, [2, 33, 64]),
        "lstm": ("LSTMProbe", {"input_dim": 64, "hidden_dim": 24}, [2, 20, 64]),
        "attm_lstm": ("AttMLSTM", few, [2, 4, 20, 64]),
        "reduced_res2net": ("ReducedRes2Net", {"input_dim": 64, "reduced_dim": 16, "num_blocks": 2}, [2, 20, 64]),
        "qaf": ("QAFStatic", qaf, [2, 4, 20, 64], [2, 8, 31]),
        "qaf_mean": ("QAFStatic", {**qaf, "pooling": "mean"}, [2, 4, 20, 64], [2, 8, 31]),
    }
    lines = []
    for name, (class_path, init_args, shape, *codes) in written.items():
        case = {"class_path": class_path, "init_args": init_args, "input": shape}
        if codes:
            case["codes"] = codes[0]
        case["expected"] = describe(case)
        lines.append(f"{json.dumps(name)}: {json.dumps(case)}")
    STORED.write_text("{\n" + ",\n".join(lines) + "\n}\n")
