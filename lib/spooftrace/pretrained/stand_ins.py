"""Stand-ins for objects in a checkpoint that are neither tensors nor containers: nothing is imported or called.

A stand-in stores its arguments and state. ``to_plain_data`` then extracts the data: settings, numpy arrays (as
tensors), and the state dict of a whole module.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from spooftrace.pretrained.unpickler import MAX_DEPTH, Refused

# Classes and functions in pickles of training scripts. None of them is looked up: the list only decides between a
# stand-in and an error with the name.
KNOWN = re.compile(
    r"argparse\.Namespace|types\.SimpleNamespace|_codecs\.encode|functools\.partial|enum\.\w+|"
    r"(?:copyreg|copy_reg)\._reconstructor|"
    r"(?:builtins|__builtin__)\.(?:bool|bytearray|bytes|complex|dict|float|frozenset|int|list|long|object|set|slice|"
    r"range|xrange|str|tuple|type|unicode|NoneType|Ellipsis)|"
    r"(?:collections|_collections)\.\w+|datetime\.\w+|decimal\.Decimal|fractions\.Fraction|uuid\.UUID|"
    r"pathlib(?:\._local)?\.(?:Pure)?(?:Posix|Windows)?Path|random\.Random|"
    # Configurations, and the frameworks and toolkits of the field
    r"(?:accelerate|addict|antlr4|apex|attrdict|box|deepspeed|easydict|espnet|espnet2|fairseq|geoopt|hydra|"
    r"hyperpyyaml|lightning|lightning_fabric|lightning_utilities|ml_collections|munch|numpy|omegaconf|peft|"
    r"pytorch_lightning|ruamel|s3prl|scipy\.sparse|speechbrain|tokenizers|torch_ema|torchaudio|torchcontrib|"
    r"torchmetrics|transformers|typing|unispeech|warmup_scheduler|yacs)\.[\w.]+|"
    # torch without what loads, compiles or fetches
    r"torch\.(?:amp|autograd|cuda|distributed|fx|nn|optim|quantization|random|storage|_utils|_tensor|_C\._nn|"
    r"_VariableFunctionsClass)\.[\w.]+|torch\.ao\.(?:nn|quantization)\.[\w.]+|torch\.utils\.data\.[\w.]+|"
    r"torch\.serialization\._get_layout|"
    r"torch\.(?:device|dtype|Generator|Tensor|memory_format|layout|strided|sparse_coo|"
    r"(?:contiguous|channels_last|preserve)\w*|per_tensor_affine|relu|tanh|sigmoid|softmax|selu|\w+Tensor)|"
    # The modules in which the official code defines its classes
    r"(?:__main__|(?:src\.)?(?:aasist|backbone|backend|backends|core|frontend|layers|lcnn|main|main_train|model|models|"
    r"modules|nes2net|net|nets|network|networks|rawnet|resnet|senet|sls|w2v2))(?:\.\w+)+"
)
# Parts of names that reach the interpreter through a package that is listed above.
NEVER = re.compile(
    r"\.(?:os|posix|nt|sys|subprocess|shutil|socket|builtins|__builtin__|importlib|ctypes|pickle|runpy|exec|eval|"
    r"system|popen|getattr|__import__|load|loads|runstring|exec_command|f2py|testing|distutils|hub|jit)(?:\.|$)"
)
MODULE = {"_parameters", "_buffers", "_modules"}  # keys of the state of every nn.Module
SETTINGS = {"Namespace", "SimpleNamespace", "AttrDict", "CfgNode", "ConfigDict", "EasyDict", "Munch"}
ARRAY_KINDS = "fiub"  # of numpy: floats, integers, unsigned, bool


def is_known(path: str) -> bool:
    """Whether a stand-in may be made for ``module.name``."""
    return bool(KNOWN.fullmatch(path)) and not NEVER.search(path)


class StandIn:
    """Stand-in for an object that is not built or a function that is not called; stores its arguments and state."""

    path = ""  # module.name
    dump_patches = False  # read by torch from classes in old files
    arguments: tuple[Any, ...] = ()
    state: Any = None
    items: list[Any]
    entries: dict[Any, Any]

    def __new__(cls, *arguments: Any, **keywords: Any) -> StandIn:
        self = super().__new__(cls)
        self.arguments = arguments
        self.state = keywords or None
        self.items = []
        self.entries = {}
        return self

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def __setitem__(self, key: Any, value: Any) -> None:
        self.entries[key] = value

    def append(self, value: Any) -> None:
        self.items.append(value)

    def extend(self, values: Any) -> None:
        self.items.extend(values)

    add = append


def stand_in(path: str) -> type[StandIn]:
    """Create a class for one global of a pickle; a new one each time, because a pickle can set attributes on it."""
    return type("StandIn", (StandIn,), {"path": path})


def to_plain_data(value: Any) -> Any:
    """Convert containers and settings to dictionaries, lists and values, arrays to tensors, and other objects to None.

    Raises:
        Refused: The size of an array is wrong, or containers are nested too deeply.
    """
    return _Converter().convert(value, 0)


class _Converter:
    """Conversion of one checkpoint; shared objects are converted once."""

    def __init__(self) -> None:
        self.done: dict[int, Any] = {}

    def convert(self, value: Any, depth: int) -> Any:
        if isinstance(value, Tensor):
            return Tensor.detach(value)  # without attributes from the pickle
        if not isinstance(value, (StandIn, dict, list, tuple, set, frozenset)):
            return value
        if depth > MAX_DEPTH:
            raise Refused(f"refused: more than {MAX_DEPTH} nested containers")
        if id(value) not in self.done:
            self.done[id(value)] = None  # for containers that contain themselves
            self.done[id(value)] = self._convert(value, depth + 1)
        return self.done[id(value)]

    def _convert(self, value: Any, depth: int) -> Any:
        if isinstance(value, StandIn):
            return self._inert(value, depth)
        if isinstance(value, dict):
            return {key: self.convert(entry, depth) for key, entry in dict.items(value) if isinstance(key, str)}
        return [self.convert(entry, depth) for entry in value]

    def _inert(self, value: StandIn, depth: int) -> Any:
        if (array := _array(value)) is not None:
            return array
        state = value.state
        if isinstance(state, tuple) and len(state) == 2:  # attributes, and attributes in __slots__
            state = state[0]
        state = state if isinstance(state, dict) else {}
        if state.keys() >= MODULE:
            return self.convert(module_state(value), depth)
        for key in ("_content", "_val"):  # omegaconf: a container's nodes, a node's value
            if key in state:
                return self.convert(state[key], depth)
        if value.path.rpartition(".")[2] in SETTINGS:
            return self.convert({**state, **value.entries}, depth)
        if value.entries or value.items:
            return self.convert(value.entries or value.items, depth)
        # The value of an enumeration, or the elements of a set.
        return self.convert(value.arguments[0], depth) if len(value.arguments) == 1 else None


def module_state(module: Any, prefix: str = "", depth: int = 0) -> dict[str, Tensor]:
    """Return the state dict of a pickled module."""
    if depth > MAX_DEPTH:
        raise Refused(f"refused: more than {MAX_DEPTH} nested modules")
    state = module.state if isinstance(module, StandIn) and isinstance(module.state, dict) else {}
    not_saved = state.get("_non_persistent_buffers_set")
    # A set is pickled as a call of set with a list.
    not_saved = not_saved.arguments[0] if isinstance(not_saved, StandIn) and not_saved.arguments else not_saved or ()

    def part(name: str) -> Mapping[str, Any]:
        return state[name] if isinstance(state.get(name), dict) else {}

    own = dict(part("_parameters"))
    own |= {name: buffer for name, buffer in part("_buffers").items() if name not in not_saved}
    result = {f"{prefix}{name}": tensor for name, tensor in own.items() if isinstance(tensor, Tensor)}
    for name, child in part("_modules").items():
        result |= module_state(child, f"{prefix}{name}.", depth + 1)
    return result


def _array(value: StandIn) -> Any:
    """Convert a pickled numpy array to a tensor and a numpy scalar to a number; return None for other objects."""
    module, _, name = value.path.rpartition(".")
    if not module.startswith("numpy"):
        return None
    state = value.state
    if name == "_reconstruct" and isinstance(state, tuple) and len(state) == 5:
        _version, shape, dtype, by_columns, data = state
    elif name == "scalar" and len(value.arguments) == 2:
        (dtype, data), shape, by_columns = value.arguments, (), False
    elif name == "_frombuffer" and len(value.arguments) == 4:
        data, dtype, shape, order = value.arguments
        by_columns = order == "F"
    else:
        return None
    kind, data = _dtype(dtype), _bytes(data)
    if kind is None or data is None or not all(isinstance(size, int) and size >= 0 for size in shape):
        return None
    if math.prod(shape) * kind.itemsize != len(data):
        raise Refused(f"damaged: an array of {tuple(shape)} numbers of {kind.itemsize} bytes in {len(data)} bytes")
    array = np.frombuffer(data, kind).reshape(shape, order="F" if by_columns else "C")
    if name == "scalar":
        return array.item()
    return torch.from_numpy(array.astype(kind.newbyteorder("="), order="C"))  # a writable copy


def _dtype(value: Any) -> np.dtype[Any] | None:
    """Return the dtype of a stand-in: ``dtype('f4', False, True)`` and its state ``(3, '<', None, ...)``."""
    if not isinstance(value, StandIn) or not value.arguments or not isinstance(value.arguments[0], str):
        return None
    name = value.arguments[0]
    if not re.fullmatch(rf"[{ARRAY_KINDS}]\d{{1,2}}", name):
        return None
    order = value.state[1] if isinstance(value.state, tuple) and len(value.state) > 1 else "="
    try:
        return np.dtype(f"{order}{name}" if order in ("<", ">", "|") else name)
    except TypeError:
        return None


def _bytes(value: Any) -> bytes | None:
    """Return the bytes of an array; protocol 2 writes them as ``_codecs.encode(text, 'latin1')``."""
    if isinstance(value, StandIn) and value.arguments:
        value = value.arguments[0]
        value = value.encode("latin1") if isinstance(value, str) else value
    return bytes(value) if isinstance(value, (bytes, bytearray)) else None
