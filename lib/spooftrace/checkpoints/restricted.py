"""PyTorch checkpoints whose pickle holds more than tensors, read without running anything of theirs.

fairseq stores its settings beside the weights: an argparse.Namespace, or omegaconf containers with classes of fairseq.
``torch.load(weights_only=True)`` refuses those. Here tensors are rebuilt, settings become inert stand-ins that only
keep what they were given, and any other global is refused by name. A whole module that was pickled instead of its state
dict, as Codecfake's are, comes out as that state dict.
"""

from __future__ import annotations

import pickle
import re
import zipfile
from collections import OrderedDict, defaultdict
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from spooftrace.errors import InputError

# All that a checkpoint may call. torch.load itself resolves storage types.
ALLOWED = {
    ("collections", "OrderedDict"): OrderedDict,
    ("collections", "defaultdict"): defaultdict,
    ("torch._utils", "_rebuild_tensor"): torch._utils._rebuild_tensor,
    ("torch._utils", "_rebuild_tensor_v2"): torch._utils._rebuild_tensor_v2,
    ("torch._utils", "_rebuild_parameter"): torch._utils._rebuild_parameter,
    ("torch", "Size"): torch.Size,
    ("torch", "device"): torch.device,
}
CONTAINERS = (bool, bytearray, bytes, complex, dict, float, frozenset, int, list, set, slice, str, tuple)
# Pickle's protocol 2 has Python 2's names.
BUILTINS = {kind.__name__: kind for kind in CONTAINERS} | {"long": int, "unicode": str}
# Settings and bookkeeping: never imported, whatever they are. _codecs.encode is how Python 2's bytes are written.
# "model" is where Codecfake's scripts define their classes.
INERT = re.compile(
    r"(argparse\.Namespace|_codecs\.encode|(fairseq|hydra|numpy|omegaconf|s3prl|typing|unispeech)\..+|"
    r"torch\.nn\.modules\..+|model\.\w+)"
)
MODULE = {"_parameters", "_buffers", "_modules"}  # what the state of every nn.Module has


class Inert:
    """Stands for an object that is not rebuilt: keeps its state, does nothing."""

    arguments: tuple[Any, ...] = ()
    state: Any = None

    def __init__(self, *arguments: Any, **keywords: Any):
        self.arguments = arguments
        self.state = keywords

    def __setstate__(self, state: Any) -> None:
        self.state = state


class Refused(pickle.UnpicklingError):
    """The file asks for something that no checkpoint needs."""


class RestrictedUnpickler(pickle.Unpickler):
    """Builds tensors, containers and ``Inert``; raises ``Refused`` for any other global."""

    def find_class(self, module: str, name: str) -> Any:
        if (found := ALLOWED.get((module, name))) is not None:
            # A new object each time: what a pickle sets on it changes nothing here.
            return found if isinstance(found, type) else partial(found)
        if module in ("builtins", "__builtin__") and name in BUILTINS:
            return BUILTINS[name]
        if module == "torch" and isinstance(getattr(torch, name, None), torch.dtype):
            return getattr(torch, name)
        if INERT.fullmatch(f"{module}.{name}"):
            return type(name, (Inert,), {})
        raise Refused(f"refused: it asks for {module}.{name}, which is neither a tensor nor a setting")


class _PickleModule(ModuleType):
    """What ``torch.load`` takes for the module ``pickle``."""

    Unpickler = RestrictedUnpickler
    UnpicklingError = pickle.UnpicklingError

    @staticmethod
    def load(file: Any, **options: Any) -> Any:
        return RestrictedUnpickler(file, **options).load()


def read_checkpoint(path: str | Path) -> Any:
    """The content of a PyTorch checkpoint: tensors on the CPU, settings as plain dictionaries, lists and values.

    Raises:
        InputError: there is no such file, it is cut short or no checkpoint, or it asks for code.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    try:
        zipped = zipfile.is_zipfile(path)
        if zipped:
            _check_zip(path)
        content = torch.load(
            path, map_location="cpu", weights_only=False, pickle_module=_PickleModule("pickle"), mmap=zipped
        )
        return plain(content)
    except InputError:
        raise
    except Refused as error:
        raise InputError(f"{path}: {error}") from error
    except Exception as error:  # Damaged bytes end in many kinds of error.
        reason = " ".join(str(error).split()).partition(". ")[0][:160]
        raise InputError(f"{path}: cut short or not a PyTorch checkpoint ({reason}); download it again") from error


def _check_zip(path: Path) -> None:
    """Raises ``InputError`` for a program, and for a changed record, which ``torch.load`` does not notice."""
    with zipfile.ZipFile(path) as archive:
        if any(name.endswith("/constants.pkl") for name in archive.namelist()):
            raise InputError(f"{path}: a TorchScript program, not a checkpoint of weights")
        for record in archive.infolist():
            if record.CRC == 0:  # torch can save without checksums.
                continue
            try:
                with archive.open(record) as file:
                    while file.read(1 << 20):
                        pass
            except zipfile.BadZipFile as error:
                raise InputError(
                    f"{path}: damaged, the checksum of {record.filename} is wrong; download it again"
                ) from error


def plain(value: Any) -> Any:
    """Containers of settings as dictionaries, lists and values; tensors as they are; what cannot be told as None."""
    if isinstance(value, Inert):
        state = value.state if isinstance(value.state, dict) else {}
        if state.keys() >= MODULE:
            return plain(_state_dict(value))
        for key in ("_content", "_val"):  # omegaconf: a container's nodes, a node's value
            if key in state:
                return plain(state[key])
        if type(value).__name__ == "Namespace":
            return plain(state)
        return plain(value.arguments[0]) if len(value.arguments) == 1 else None  # an enumeration's value
    if isinstance(value, dict):
        return {key: plain(entry) for key, entry in value.items() if isinstance(key, str)}
    if isinstance(value, (list, tuple)):
        return [plain(entry) for entry in value]
    return value


def _state_dict(module: Any, prefix: str = "") -> dict[str, Any]:
    """What ``state_dict()`` of a pickled module gives."""
    state = module.state if isinstance(module, Inert) and isinstance(module.state, dict) else {}
    passing = state.get("_non_persistent_buffers_set") or ()
    result = {f"{prefix}{name}": tensor for name, tensor in dict(state.get("_parameters") or {}).items()}
    result |= {
        f"{prefix}{name}": tensor for name, tensor in dict(state.get("_buffers") or {}).items() if name not in passing
    }
    for name, child in dict(state.get("_modules") or {}).items():
        result |= _state_dict(child, f"{prefix}{name}.")
    return {name: value for name, value in result.items() if isinstance(value, torch.Tensor)}
