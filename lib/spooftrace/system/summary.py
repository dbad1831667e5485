"""Count the parameters and operations of a system: ``spooftrace summary --config conf/systems/aasist.yaml``.

Every part that can be built from the configuration is counted; no experiment is read. A front-end without pretrained
weights on this machine is built from the published sizes of its model (``PRETRAINED``). If these are not known, the
front-end is listed as not counted, and the back-end is counted on an input of the expected shape.

Front-ends keep only the layers that they use, while papers report trained parameters relative to the complete
pretrained model. Where the two differ, both percentages are printed: QAF-Static trains 4.4 % of WavLM Large but uses
only 12 of its 24 layers.

Multiply-accumulate operations (MACs) are those of convolutions, linear layers, matrix products, attention and LSTMs for
one utterance. As in the literature, element-wise operations, norms, pooling and table look-ups are not counted.
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spooftrace.common.errors import InputError
from spooftrace.common.sample_rate import SAMPLE_RATE
from spooftrace.config.settings import Config

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.utils.flop_counter import FlopCounterMode

    from spooftrace.backends import Backend

FRAME_RATES = {"wave": SAMPLE_RATE, "codes": 75.0}  # of front-ends that cannot be built; codes: EnCodec at 24 kHz
SSL_FRAME_RATE = 50.0  # of wav2vec 2.0, WavLM, Whisper's encoder
SSL_LAYERS = 24  # of XLS-R 300M and WavLM Large, for back-ends that accept any number of layers
LARGE = {
    "hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096,
    "feat_extract_norm": "layer", "do_stable_layer_norm": True,
}  # fmt: skip
COMPLETE = 0.99  # a front-end with this fraction of its model is complete: it may lack the masking vector
PRETRAINED = {  # name -> class in transformers, settings that differ from the defaults
    "encodec_24khz": ("Encodec", {}),
    "wav2vec2-xls-r-300m": ("Wav2Vec2", LARGE | {"conv_bias": True}),
    "wavlm-large": ("WavLM", LARGE),
}


@dataclass(frozen=True)
class Part:
    """A line of the summary.

    Attributes:
        name: Name and class.
        depth: 0 for a front-end, the back-end or the task, 1 for a module of the back-end.
        parameters: Number of parameters.
        trained: Number of trained parameters.
        macs: MACs of one utterance; None if the part has no operation that is counted.
        problem: Why the part is not counted; empty if it is.
        model_parameters: Parameters of the complete pretrained model of a front-end; 0 if unknown.
    """

    name: str
    depth: int = 0
    parameters: int = 0
    trained: int = 0
    macs: int | None = None
    problem: str = ""
    model_parameters: int = 0


def summarize(config: Config, seconds: float = 4.0) -> list[Part]:
    """Count the front-ends of a system, its back-end, the modules of the back-end, and its task.

    Args:
        config: Configuration from :func:`spooftrace.config.loading.load_config`.
        seconds: Length of the audio in seconds.

    Returns:
        The parts, in this order.

    Raises:
        InputError: The audio is too short for the back-end.
    """
    from spooftrace.backends.base import check_backend
    from spooftrace.config.loading import build

    parts: list[Part] = []
    streams: list[tuple[str, tuple[int, ...]] | None] = []
    for name, node in config.streams.items():
        label = f"{name} ({_class(node)})"
        model = Path(str(node.get("init_args", {}).get("model"))).name
        try:
            frontend = build(node)
        except (InputError, ImportError) as error:
            if model not in PRETRAINED:
                parts.append(Part(label, problem=str(error)))
                streams.append(None)
                continue
            frontend, label = _without_weights(node, model), f"{label}, as released"
        shape, macs = _count_frontend(frontend, round(seconds * SAMPLE_RATE))
        parts.append(Part(label, 0, *_parameters(frontend), macs, model_parameters=_model_parameters(model)))
        streams.append((frontend.layout, shape))
    label = f"backend ({_class(config.backend)})"
    try:
        backend = check_backend(build(config.backend))
    except InputError as error:
        return [*parts, Part(label, problem=str(error))]
    inputs = [
        _placeholder(*(stream or _expected(backend, number, seconds)))
        for number, stream in enumerate(streams[: len(backend.layouts)])
    ]
    parts += _count_backend(label, backend, inputs)
    task = build(config.task)  # some losses have parameters
    if any(True for _ in task.parameters()):
        parts.append(Part(f"task ({_class(config.task)})", 0, *_parameters(task)))
    return parts


def table(parts: Sequence[Part], seconds: float) -> Iterator[str]:
    """Format the summary as a text table.

    Args:
        parts: From :func:`summarize`.
        seconds: Length of the audio in seconds.

    Yields:
        The lines.
    """
    width = max(30, *(len(part.name) + 2 * part.depth for part in parts))
    yield f"{'':{width}s}{'parameters':>15s}{'trained':>15s}{f'MACs, {seconds:g} s':>18s}"
    for part in parts:
        name = "  " * part.depth + part.name
        numbers = f"{part.parameters:15,d}{part.trained:15,d}{_millions(part.macs):>18s}"
        yield f"{name:{width}s}" + (f"{'not counted':>15s}" if part.problem else numbers)
    top = [part for part in parts if part.depth == 0]
    parameters, trained, macs = (sum(getattr(p, key) or 0 for p in top) for key in ("parameters", "trained", "macs"))
    missing = [part for part in top if part.problem]
    yield f"{'all counted parts' if missing else 'all':{width}s}{parameters:15,d}{trained:15,d}{_millions(macs):>18s}"
    yield from (f"{part.name} is not counted: {part.problem}" for part in missing)
    frozen = sum(part.parameters for part in top if not part.trained)
    if trained and not missing:
        relative = f", {100 * trained / frozen:.2f} % of the frozen {frozen:,d}" if frozen else ""
        yield f"trained: {100 * trained / parameters:.2f} % of all parameters{relative}"
    pretrained = max(top, key=lambda part: part.model_parameters)
    if trained and not pretrained.trained and pretrained.parameters < COMPLETE * pretrained.model_parameters:
        percent = f"{100 * trained / pretrained.model_parameters:.2f} % of the {pretrained.model_parameters:,d}"
        yield f"{pretrained.name} is only a part of its model; as in papers, relative to all of it: trained {percent}"


def _millions(macs: int | None) -> str:
    return "-" if macs is None else f"{macs / 1e6:,.2f} M"


def _class(node: Mapping[str, Any]) -> str:
    return node["class_path"].rpartition(".")[2]


def _model_parameters(name: str) -> int:
    """Parameters of a model in ``PRETRAINED``; 0 for other models."""
    import torch
    import transformers

    if name not in PRETRAINED:
        return 0
    kind, sizes = PRETRAINED[name]
    with torch.device("meta"):
        model = getattr(transformers, f"{kind}Model")(getattr(transformers, f"{kind}Config")(**sizes))
    return _parameters(model)[0]


def _without_weights(node: Mapping[str, Any], name: str) -> nn.Module:
    """A front-end on a randomly initialised model of the published sizes."""
    import transformers

    from spooftrace.config.loading import build
    from spooftrace.pretrained.finding import weights_in

    kind, sizes = PRETRAINED[name]
    config = getattr(transformers, f"{kind}Config")(**sizes)
    arguments = dict(node["init_args"])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "models" / name
        if "finetune" not in arguments:  # small models that are always frozen
            getattr(transformers, f"{kind}Model")(config).save_pretrained(path)
            return build({**node, "init_args": arguments | {"model": str(path)}})
        config.save_pretrained(path)
        with weights_in(Path(folder)):
            frontend = build({**node, "init_args": arguments | {"finetune": True}})
    frontend.finetune = bool(arguments["finetune"])
    frontend.freeze_unless_finetuned()
    return frontend


def _parameters(module: nn.Module) -> tuple[int, int]:
    from spooftrace.system.system import count_parameters

    return count_parameters(module), count_parameters(module, trainable=True)


def _expected(backend: Backend, number: int, seconds: float) -> tuple[str, tuple[int, ...]]:
    """Expected layout and shape of the features of stream ``number``, whose front-end cannot be built."""
    layout = backend.layouts[number][0]
    frames = round(seconds * FRAME_RATES.get(layout, SSL_FRAME_RATE))
    width = backend.widths[number] if backend.widths else backend.input_dim
    aggregation: Any = dict(backend.named_children()).get("aggregation")
    layers = backend.num_layers or (aggregation.num_layers if aggregation else SSL_LAYERS)
    shapes = {
        "wave": (1, frames),
        "frames": (1, frames, width),
        "layers": (1, layers, frames, width),
        "codes": (1, backend.num_quantizers, frames),
        "vector": (1, width),
    }
    return layout, shapes[layout]


def _placeholder(layout: str, shape: Sequence[int]) -> Tensor:
    """A tensor on the meta device that replaces features."""
    import torch

    return torch.zeros(tuple(shape), dtype=torch.long if layout == "codes" else torch.float32, device="meta")


def _counter() -> FlopCounterMode:
    """PyTorch's counter, with the product of a matrix and a vector, which it lacks."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    def matrix_times_vector(matrix: Sequence[int], *_: Any, **__: Any) -> int:
        return 2 * matrix[0] * matrix[1]

    return FlopCounterMode(display=False, custom_mapping={torch.ops.aten.mv: matrix_times_vector})


def _count_frontend(frontend: nn.Module, samples: int) -> tuple[tuple[int, ...], int]:
    """Shape of the features of an utterance of noise, and the MACs of their extraction."""
    import warnings

    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel

    wave = 0.1 * torch.randn(1, samples, generator=torch.Generator().manual_seed(0))
    with warnings.catch_warnings(), torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        warnings.simplefilter("ignore")  # disabling oneDNN warns about unused hardware
        # The counter does not support fused attention on CPUs or oneDNN's LSTM; without both it counts their parts.
        with torch.backends.mkldnn.flags(enabled=False), _counter() as counter:
            features, _ = frontend.eval()(wave, torch.tensor([samples]))
    return tuple(features.shape), counter.get_total_flops() // 2


def _run_once(backend: nn.Module, inputs: Sequence[Tensor]) -> FlopCounterMode:
    """Count on the meta device, which computes shapes only, or on zeros if the operations depend on values."""
    import torch

    backend = copy.deepcopy(backend).eval()
    with torch.no_grad():
        try:
            with _counter() as counter:
                copy.deepcopy(backend).to("meta")(*inputs)
        except RuntimeError:  # e.g. geoopt's functions on balls, which test the sign of the curvature
            with _counter() as counter:
                backend(*(torch.zeros_like(placeholder, device="cpu") for placeholder in inputs))
    return counter


def _count_backend(label: str, backend: nn.Module, inputs: Sequence[Tensor]) -> Iterator[Part]:
    """The back-end and its modules."""
    try:
        counter = _run_once(backend, inputs)
    except ValueError as error:
        raise InputError(f"{label}: {error}; change the streams or --seconds") from error
    flops = {name: sum(by_kind.values()) for name, by_kind in counter.get_flop_counts().items()}
    yield Part(label, 0, *_parameters(backend), counter.get_total_flops() // 2)
    for name, parameter in backend.named_parameters(recurse=False):
        yield Part(name, 1, parameter.numel(), parameter.numel() * parameter.requires_grad)
    for name, child in backend.named_children():
        # A ModuleList is never called, only its members are.
        own = f"{type(backend).__name__}.{name}"
        called = [own] if own in flops else [f"{own}.{member}" for member, _ in child.named_children()]
        macs = sum(flops.get(key, 0) for key in called) // 2
        size, trained = _parameters(child)
        if size or macs:
            yield Part(name, 1, size, trained, macs or None)
