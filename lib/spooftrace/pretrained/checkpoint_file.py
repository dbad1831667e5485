"""Read checkpoints without running their code: PyTorch's two formats, safetensors and ``.npz``.

A PyTorch checkpoint is a pickle, and most hold more than tensors: settings (an ``argparse.Namespace``, containers of
omegaconf, classes of fairseq), the state of an optimizer, or a whole module instead of its state dict, as in Codecfake.
Tensors are rebuilt here, other known objects become the stand-ins of ``spooftrace.pretrained.stand_ins``, and an
unknown global raises an error with its name. A whole module is returned as its state dict.

``torch.load(weights_only=True)`` with ``torch.serialization.safe_globals`` cannot read these files: torch 2.13 refuses
pickle protocol 4, other classes of dictionaries (``defaultdict``, EasyDict), and whole modules in the legacy format.
"""

from __future__ import annotations

import pickle
import tarfile
import warnings
import zipfile
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from spooftrace.common.errors import InputError
from spooftrace.pretrained.stand_ins import ARRAY_KINDS, is_known, stand_in, to_plain_data
from spooftrace.pretrained.unpickler import Refused, RestrictedUnpickler

MAX_EXPANSION = 1 << 20  # elements that an expanded tensor may have beyond those of its storage


class Dictionary(OrderedDict[Any, Any]):
    """An OrderedDict, or a defaultdict without its factory."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*(argument for argument in arguments[-1:] if isinstance(argument, (dict, list, tuple))))


class RawBytes:
    """Stand-in for ``torch.UntypedStorage``; ``torch.load`` uses its element type only."""

    dtype = torch.uint8


class CheckpointUnpickler(RestrictedUnpickler):
    """Unpickler that builds tensors, containers and stand-ins."""

    size = 0  # of the file, in bytes
    seen: set[str]  # names of the globals that became stand-ins
    storages: Mapping[str, int] | None  # bytes of each storage; None if the file does not list them
    _load_storage: Callable[[Any], Any]

    def __setattr__(self, name: str, value: Any) -> None:
        # ``torch.load`` sets ``persistent_load`` after the unpickler is created; keep it for the method below.
        super().__setattr__("_load_storage" if name == "persistent_load" else name, value)

    def persistent_load(self, pid: Any) -> Any:
        """Load a storage after a check of its size: torch maps the file and would read beyond the storage."""
        if self.storages is not None and isinstance(pid, tuple) and len(pid) == 5:
            _, kind, key, _, count = pid
            size = count * torch._utils._element_size(kind.dtype)
            if size != self.storages.get(str(key)):
                raise Refused(
                    f"damaged: storage {key} claims {size:,} bytes, the file has {self.storages.get(str(key))}"
                )
        return self._load_storage(pid)

    def resolve(self, path: str) -> Any:
        module, _, name = path.rpartition(".")
        if path in ("collections.OrderedDict", "collections.defaultdict"):
            # A new class each time, because a pickle can set attributes on it.
            return type("Dictionary", (Dictionary,), {})
        if path in REBUILT:
            return partial(REBUILT[path], self.size)
        if path == "torch.Size":
            return torch.Size
        if path in ("torch.UntypedStorage", "torch.storage.UntypedStorage"):
            return type("RawBytes", (RawBytes,), {})
        if module == "torch" and isinstance(getattr(torch, name, None), torch.dtype):
            return getattr(torch, name)
        if is_known(path):
            self.seen.add(path)
            return stand_in(path)
        return None


def _tensor(file_size: int, storage: Any, offset: int, size: Any, stride: Any, *_others: Any) -> Tensor:
    """Do ``torch._utils._rebuild_tensor_v2`` without gradients, hooks and metadata, and with checks of the sizes."""
    if not isinstance(storage, torch.storage.TypedStorage):
        raise Refused(f"refused: a tensor with a {type(storage).__name__} instead of a storage")
    size, stride = tuple(size), tuple(stride)
    numbers = (offset, *size, *stride)
    if len(size) != len(stride) or not all(type(number) is int and number >= 0 for number in numbers):
        raise Refused(f"damaged: a tensor of size {size} and stride {stride}")
    empty = 0 in size
    last = offset + sum((length - 1) * step for length, step in zip(size, stride, strict=True))
    if storage.nbytes() > file_size or (not empty and last >= storage.size()):
        raise Refused(f"damaged: a tensor of size {size} claims more than the file holds")
    if not empty and torch.Size(size).numel() > storage.size() + MAX_EXPANSION:
        raise Refused(f"refused: a tensor of size {size} from {storage.size()} numbers, which would exhaust memory")
    return torch._utils._rebuild_tensor(storage, offset, size, stride)


def _typed_tensor(
    file_size: int, storage: Any, offset: int, size: Any, stride: Any, _gradient: Any, _hooks: Any, dtype: Any, *_: Any
) -> Tensor:
    """Do ``torch._utils._rebuild_tensor_v3``: a tensor of a type without a storage class."""
    if not isinstance(storage, torch.storage.TypedStorage) or not isinstance(dtype, torch.dtype):
        raise Refused("damaged: a tensor without a storage and a type")
    typed = torch.storage.TypedStorage(wrap_storage=storage._untyped_storage, dtype=dtype, _internal=True)
    return _tensor(file_size, typed, offset, size, stride)


def _parameter(_file_size: int, data: Any, *_others: Any) -> Any:
    return data


REBUILT: dict[str, Callable[..., Any]] = {
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _typed_tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
}


def _pickle_module(path: Path, seen: set[str], zipped: bool) -> ModuleType:
    """Create a replacement of the module ``pickle`` for ``torch.load``."""
    settings = {"size": path.stat().st_size, "seen": seen, "storages": _storages(path) if zipped else None}
    module: Any = ModuleType("pickle")
    module.Unpickler = type("Unpickler", (CheckpointUnpickler,), settings)
    module.UnpicklingError = pickle.UnpicklingError
    module.load = lambda file, **options: module.Unpickler(file, **options).load()
    return module


def read_checkpoint(path: str | Path, seen: set[str] | None = None) -> Any:
    """Read a checkpoint: tensors on the CPU, settings as plain dictionaries, lists and values.

    Args:
        path: File of PyTorch (``.pt``, ``.pth``, ``.ckpt``, ``.bin``, ``.pth.tar``), ``.safetensors`` or ``.npz``;
            the format is detected from the content.
        seen: Receives the names of classes and functions in the file that were not built.

    Raises:
        InputError: The file is missing, cut short, not a checkpoint, or would run code.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    try:
        if _is_safetensors(path):
            from safetensors.torch import load_file

            return load_file(path)
        zipped = zipfile.is_zipfile(path)
        if zipped and _check_zip(path):
            return _read_npz(path)
        if not zipped and tarfile.is_tarfile(path):  # torch would unpack it
            raise InputError(f"{path}: a tar archive: unpack it, and give the checkpoint that is in it")
        module = _pickle_module(path, set() if seen is None else seen, zipped)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about source code of classes, which is not used
            content = torch.load(path, map_location="cpu", weights_only=False, pickle_module=module, mmap=zipped)
        return to_plain_data(content)
    except InputError:
        raise
    except Refused as error:
        raise InputError(f"{path}: {error}") from error
    except Exception as error:  # damaged bytes cause many kinds of errors
        reason = " ".join(str(error).split()).partition(". ")[0][:160] or type(error).__name__
        raise InputError(f"{path}: cut short or not a PyTorch checkpoint ({reason}); download it again") from error


def _is_safetensors(path: Path) -> bool:
    """Whether a file starts like safetensors: the length of a JSON header, and the header."""
    with path.open("rb") as file:
        start = file.read(9)
    return len(start) == 9 and start[8:] == b"{" and int.from_bytes(start[:8], "little") <= path.stat().st_size - 8


def _check_zip(path: Path) -> bool:
    """Check the records of a zip file, and return whether they are numpy arrays (``.npz``).

    Raises:
        InputError: The file is a program, a checksum is wrong (which ``torch.load`` does not verify), or a record is
            compressed or duplicate (which ``torch.load`` reads differently from zipfile).
    """
    with zipfile.ZipFile(path) as archive:
        records = archive.infolist()
        arrays = bool(records) and all(record.filename.endswith(".npy") for record in records)
        names = Counter(record.filename.replace("\\", "/").lower() for record in records)
        if any(name.rpartition("/")[2] == "constants.pkl" for name in names):
            raise InputError(f"{path}: a TorchScript program, not a checkpoint of weights")
        if twice := [name for name, count in names.items() if count > 1]:
            raise InputError(f"{path}: damaged, it holds {twice[0]} {names[twice[0]]} times; download it again")
        for record in records:
            if record.compress_type != zipfile.ZIP_STORED and not arrays:
                raise InputError(f"{path}: {record.filename} in it is compressed, PyTorch's are not; unpack it first")
            if record.CRC == 0 and not arrays:  # torch can save without checksums
                continue
            try:
                with archive.open(record) as file:
                    while file.read(1 << 20):
                        pass
            except zipfile.BadZipFile as error:
                raise InputError(
                    f"{path}: damaged, the checksum of {record.filename} is wrong; download it again"
                ) from error
    return arrays


def _storages(path: Path) -> dict[str, int]:
    """Return the bytes of each storage in PyTorch's zip format, by its key."""
    with zipfile.ZipFile(path) as archive:
        parts = [(record.filename.partition("/data/")[2], record.file_size) for record in archive.infolist()]
    return {key: size for key, size in parts if key}


def _read_npz(path: Path) -> dict[str, Tensor]:
    """Read the arrays of numbers in a ``.npz`` file; numpy checks their sizes, and unpickles nothing."""
    with np.load(path, allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    return {
        name: torch.from_numpy(array.astype(array.dtype.newbyteorder("="), order="C"))
        for name, array in arrays.items()
        if array.dtype.kind in ARRAY_KINDS
    }
