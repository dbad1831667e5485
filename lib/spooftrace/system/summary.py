"""How large a system is: ``spooftrace summary --config conf/systems/aasist.yaml``.

Parameters and multiply-accumulate operations (MACs) of every part that can be built from the configuration. Nothing is
trained or loaded from an experiment. A front-end whose pretrained weights are not on this machine is counted by the
sizes of the released model where they are known (``RELEASED``); otherwise it is named as not counted, and the back-end
is counted on an input of the shape that such a front-end gives.

Front-ends keep what they use of a pretrained model, while papers relate what is trained to the whole of it. Where the
two differ both shares are printed: QAF-Static trains 4.4 % of WavLM Large, of which its 12 layers are a half.

MACs are those of convolutions, linear layers, matrix products, attention and LSTMs, for one utterance; element-wise
operations, norms, pooling and table look-ups are not counted, as usual.
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

FRAME_RATES = {"wave": SAMPLE_RATE, "codes": 75.0}  # where the front-end is not there to ask: EnCodec at 24 kHz
SSL_FRAME_RATE = 50.0  # of wav2vec 2.0, WavLM, Whisper's encoder
SSL_LAYERS = 24  # of XLS-R 300M and WavLM-Large, for back-ends that take any number of layers
LARGE = {
    "hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096,
    "feat_extract_norm": "layer", "do_stable_layer_norm": True,
}  # fmt: skip
WHOLE = 0.99  # share from which a model counts as whole: a masking vector that is left out is no difference
RELEASED = {  # name -> class in transformers, and where its configuration differs from the defaults
    "encodec_24khz": ("Encodec", {}),
    "wav2vec2-xls-r-300m": ("Wav2Vec2", LARGE | {"conv_bias": True}),
    "wavlm-large": ("WavLM", LARGE),
}


@dataclass(frozen=True)
class Part:
    """One line of the summary; ``depth`` 0 is a front-end or the back-end, 1 a piece of the back-end.

    ``problem`` is why the part is not counted, and ``macs`` is None where there is nothing to count. ``whole`` is the
    number of parameters of the released model that a front-end is a part of, 0 where that is not known.
    """

    name: str
    depth: int = 0
    parameters: int = 0
    trained: int = 0
    macs: int | None = None
    problem: str = ""
    whole: int = 0


def summarize(config: Config, seconds: float = 4.0) -> list[Part]:
    """The parts of a system: front-ends, back-end, pieces of the back-end.

    Args:
        config: a configuration from :func:`spooftrace.config.load_config`.
        seconds: length of the audio in seconds.

    Raises:
        InputError: the audio is too short for the back-end.
    """
    from spooftrace.backends.base import check_backend
    from spooftrace.config.loading import build

    parts: list[Part] = []
    streams: list[tuple[str, tuple[int, ...]] | None] = []
    for name, node in config.streams.items():
        label = f"{name} ({_class(node)})"
        released = Path(str(node.get("init_args", {}).get("model"))).name
        try:
            frontend = build(node)
        except (InputError, ImportError) as error:
            if released not in RELEASED:
                parts.append(Part(label, problem=str(error)))
                streams.append(None)
                continue
            frontend, label = _without_weights(node, released), f"{label}, as released"
        shape, macs = _count_frontend(frontend, round(seconds * SAMPLE_RATE))
        parts.append(Part(label, 0, *_parameters(frontend), macs, whole=_whole(released)))
        streams.append((frontend.layout, shape))
    label = f"backend ({_class(config.backend)})"
    try:
        backend = check_backend(build(config.backend))
    except InputError as error:
        return [*parts, Part(label, problem=str(error))]
    inputs = [
        _stand_in(*(stream or _expected(backend, number, seconds)))
        for number, stream in enumerate(streams[: len(backend.layouts)])
    ]
    parts += _count_backend(label, backend, inputs)
    task = build(config.task)  # some losses have weights of their own
    if any(True for _ in task.parameters()):
        parts.append(Part(f"task ({_class(config.task)})", 0, *_parameters(task)))
    return parts


def table(parts: Sequence[Part], seconds: float) -> Iterator[str]:
    """The lines to be printed."""
    width = max(30, *(len(part.name) + 2 * part.depth for part in parts))
    yield f"{'':{width}s}{'parameters':>15s}{'trained':>15s}{f'MACs, {seconds:g} s':>18s}"
    for part in parts:
        name = "  " * part.depth + part.name
        numbers = f"{part.parameters:15,d}{part.trained:15,d}{_millions(part.macs):>18s}"
        yield f"{name:{width}s}" + (f"{'not counted':>15s}" if part.problem else numbers)
    whole = [part for part in parts if part.depth == 0]
    parameters, trained, macs = (sum(getattr(p, key) or 0 for p in whole) for key in ("parameters", "trained", "macs"))
    missing = [part for part in whole if part.problem]
    yield f"{'all that is counted' if missing else 'all':{width}s}{parameters:15,d}{trained:15,d}{_millions(macs):>18s}"
    yield from (f"{part.name} is not counted: {part.problem}" for part in missing)
    frozen = sum(part.parameters for part in whole if not part.trained)
    if trained and not missing:
        beside = f", {100 * trained / frozen:.2f} % of the frozen {frozen:,d}" if frozen else ""
        yield f"trained: {100 * trained / parameters:.2f} % of all parameters{beside}"
    pretrained = max(whole, key=lambda part: part.whole)
    if trained and not pretrained.trained and pretrained.parameters < WHOLE * pretrained.whole:
        share = f"{100 * trained / pretrained.whole:.2f} % of the {pretrained.whole:,d}"
        yield f"{pretrained.name} is a part of its model; papers relate to the whole: trained {share}"


def _millions(macs: int | None) -> str:
    return "-" if macs is None else f"{macs / 1e6:,.2f} M"


def _class(node: Mapping[str, Any]) -> str:
    return node["class_path"].rpartition(".")[2]


def _whole(released: str) -> int:
    """Parameters of a released model; 0 for another one."""
    import torch
    import transformers

    if released not in RELEASED:
        return 0
    kind, sizes = RELEASED[released]
    with torch.device("meta"):
        model = getattr(transformers, f"{kind}Model")(getattr(transformers, f"{kind}Config")(**sizes))
    return _parameters(model)[0]


def _without_weights(node: Mapping[str, Any], released: str) -> nn.Module:
    """A front-end over a model of the released sizes, whose weights are any numbers."""
    import transformers

    from spooftrace.config.loading import build
    from spooftrace.pretrained.finding import weights_in

    kind, sizes = RELEASED[released]
    config = getattr(transformers, f"{kind}Config")(**sizes)
    arguments = dict(node["init_args"])
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "models" / released
        if "finetune" not in arguments:  # small ones that are always frozen
            getattr(transformers, f"{kind}Model")(config).save_pretrained(place)
            return build({**node, "init_args": arguments | {"model": str(place)}})
        config.save_pretrained(place)
        with weights_in(Path(folder)):
            frontend = build({**node, "init_args": arguments | {"finetune": True}})
    frontend.finetune = bool(arguments["finetune"])
    frontend.freeze_unless_finetuned()
    return frontend


def _parameters(module: nn.Module) -> tuple[int, int]:
    from spooftrace.system.system import count_parameters

    return count_parameters(module), count_parameters(module, trainable=True)


def _expected(backend: Backend, number: int, seconds: float) -> tuple[str, tuple[int, ...]]:
    """Layout and shape of what a front-end that cannot be built, that of stream ``number``, would give the back-end."""
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


def _stand_in(layout: str, shape: Sequence[int]) -> Tensor:
    import torch

    return torch.zeros(tuple(shape), dtype=torch.long if layout == "codes" else torch.float32, device="meta")


def _counter() -> FlopCounterMode:
    """PyTorch's counter, which on its own leaves out the product of a matrix and a vector."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    def matrix_times_vector(matrix: Sequence[int], *_: Any, **__: Any) -> int:
        return 2 * matrix[0] * matrix[1]

    return FlopCounterMode(display=False, custom_mapping={torch.ops.aten.mv: matrix_times_vector})


def _count_frontend(frontend: nn.Module, samples: int) -> tuple[tuple[int, ...], int]:
    """Shape of the features of one utterance of noise, and the MACs behind them."""
    import warnings

    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel

    wave = 0.1 * torch.randn(1, samples, generator=torch.Generator().manual_seed(0))
    with warnings.catch_warnings(), torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        warnings.simplefilter("ignore")  # switching oneDNN off warns about hardware that is not used
        # The counter knows neither a CPU's fused attention nor oneDNN's LSTM; without them both are taken apart.
        with torch.backends.mkldnn.flags(enabled=False), _counter() as counter:
            features, _ = frontend.eval()(wave, torch.tensor([samples]))
    return tuple(features.shape), counter.get_total_flops() // 2


def _run_once(backend: nn.Module, inputs: Sequence[Tensor]) -> FlopCounterMode:
    """On the meta device: shapes only, in no time, whatever the size; or on zeros, where values decide what is done."""
    import torch

    backend = copy.deepcopy(backend).eval()
    with torch.no_grad():
        try:
            with _counter() as counter:
                copy.deepcopy(backend).to("meta")(*inputs)
        except RuntimeError:  # as geoopt's functions on balls, which look at the signs of their curvatures
            with _counter() as counter:
                backend(*(torch.zeros_like(stand_in, device="cpu") for stand_in in inputs))
    return counter


def _count_backend(label: str, backend: nn.Module, inputs: Sequence[Tensor]) -> Iterator[Part]:
    """The back-end and its pieces."""
    try:
        counter = _run_once(backend, inputs)
    except ValueError as error:
        raise InputError(f"{label}: {error}; change the streams or --seconds") from error
    flops = {name: sum(by_kind.values()) for name, by_kind in counter.get_flop_counts().items()}
    yield Part(label, 0, *_parameters(backend), counter.get_total_flops() // 2)
    for name, parameter in backend.named_parameters(recurse=False):
        yield Part(name, 1, parameter.numel(), parameter.numel() * parameter.requires_grad)
    for name, child in backend.named_children():
        # A list of modules is never called itself; its members are.
        own = f"{type(backend).__name__}.{name}"
        called = [own] if own in flops else [f"{own}.{member}" for member, _ in child.named_children()]
        macs = sum(flops.get(key, 0) for key in called) // 2
        size, trained = _parameters(child)
        if size or macs:
            yield Part(name, 1, size, trained, macs or None)
