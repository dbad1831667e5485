"""How one array lies in an ark: Kaldi's binary vectors and matrices, and ``.npy`` files for everything else.

The formats are described in Kaldi's ``matrix/kaldi-matrix.cc`` and ``matrix/compressed-matrix.h`` and in kaldiio's
``matio.py``. All numbers are little-endian. What is read but never written is in ``spooftrace.archive.foreign``.
"""

from __future__ import annotations

import io
import math
import mmap
import re
import struct
from contextlib import suppress
from types import EllipsisType
from typing import NamedTuple

import numpy as np

from spooftrace.archive.foreign import expand_columns, looks_like_text, name_of, parse_text

# Kaldi's type token -> (type of one stored number, number of axes).
KALDI_TYPES: dict[bytes, tuple[np.dtype, int]] = {
    b"FV": (np.dtype("<f4"), 1),
    b"FM": (np.dtype("<f4"), 2),
    b"DV": (np.dtype("<f8"), 1),
    b"DM": (np.dtype("<f8"), 2),
    b"CM": (np.dtype("u1"), 2),
    b"CM2": (np.dtype("<u2"), 2),
    b"CM3": (np.dtype("u1"), 2),
}
COLUMN_HEADER = 8  # bytes for each column of a CM matrix

# What NumPy writes for an array of numbers. Parsing it so is safe, and ten times as fast as evaluating it.
NPY_HEADER = re.compile(
    rb"\{'descr': '([<>|][biuf]\d+)', 'fortran_order': (True|False), 'shape': \(([\d, ]*)\), \}\s*", re.ASCII
)


Index = EllipsisType | slice | tuple[slice, ...]


class Entry(NamedTuple):
    """Where and how one array is stored; offsets in bytes from the start of the ark.

    Attributes:
        data: Where the numbers begin.
        end: One past the last byte of the entry.
        shape: Of the array.
        dtype: Of a stored number.
        fortran: Whether the first axis varies fastest.
        minimum: Of a compressed matrix.
        range: Of a compressed matrix, maximum minus minimum; 0 where nothing is compressed.
        column_headers: Where the headers of the columns of a CM matrix begin; 0 for all other kinds.
        values: The array itself, where the entry is text.
    """

    data: int
    end: int
    shape: tuple[int, ...]
    dtype: np.dtype
    fortran: bool = False
    minimum: float = 0.0
    range: float = 0.0
    column_headers: int = 0
    values: np.ndarray | None = None

    def load(self, buffer: mmap.mmap, index: Index = ...) -> np.ndarray:
        """``array[index]``: a read-only view into ``buffer``, or a new array if it has to be decompressed.

        Only what ``index`` takes is read and decompressed, except of text and of CM matrices.

        Raises:
            ValueError: A number is NaN or infinite.
        """
        if self.values is not None:
            array = self.values[index]
        elif self.column_headers:
            headers = buffer[self.column_headers : self.data]
            array = expand_columns(buffer[self.data : self.end], headers, self.shape, self.minimum, self.range)[index]
        else:
            array = self._load_plain(buffer, index)
        array.flags.writeable = False
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise ValueError("the array has NaN or infinite values")
        return array

    def _load_plain(self, buffer: mmap.mmap, index: Index) -> np.ndarray:
        size = (self.end - self.data) // self.dtype.itemsize
        array = np.frombuffer(buffer, self.dtype, size, self.data)
        array = array.reshape(self.shape, order="F" if self.fortran else "C")[index]
        if self.range:
            # The order of these operations is Kaldi's, so that the result is the same to the last bit.
            array = array.astype(np.float32)
            array *= self.range
            array /= np.iinfo(self.dtype).max
            array += self.minimum
        return array


def parse_entry(buffer: mmap.mmap, offset: int) -> Entry:
    """Parse the header at ``offset``.

    Raises:
        ValueError: This is no entry of a known kind, or the file ends inside it.
    """
    head = buffer[offset : offset + 22]
    try:
        if head[:3] == b"NPY":
            entry = _parse_npy(buffer, offset)
        elif looks_like_text(head):
            values, end = parse_text(buffer, offset)
            entry = Entry(offset, end, values.shape, values.dtype, values=values)
        else:
            entry = _parse_kaldi(head, offset)
    except (struct.error, IndexError):
        raise ValueError("the file ends inside the header") from None
    if entry.end > len(buffer):
        raise ValueError(f"the file ends {entry.end - len(buffer)} bytes before the array does")
    return entry


def _parse_kaldi(head: bytes, offset: int) -> Entry:
    token = head[2:6].split(b" ")[0]
    if head[:2] != b"\0B" or token not in KALDI_TYPES:
        raise ValueError(f"{name_of(head)}, which is not supported; write float matrices or vectors")
    dtype, axes = KALDI_TYPES[token]
    at = 3 + len(token)
    minimum = value_range = 0.0
    column_headers = 0
    if token.startswith(b"CM"):
        minimum, value_range, *shape = struct.unpack_from("<ffii", head, at)
        at += 16
        if not 0 < value_range < math.inf or not math.isfinite(minimum):
            raise ValueError("the header of the compressed matrix is corrupt")
    else:
        sizes = struct.unpack_from("<" + "bi" * axes, head, at)  # each size is preceded by its own width in bytes, 4
        shape = list(sizes[1::2])
        at += 5 * axes
        if set(sizes[::2]) != {4}:
            raise ValueError("the header is corrupt")
    if min(shape) < 0:
        raise ValueError("the header is corrupt: negative size")
    start = offset + at
    if token == b"CM":
        column_headers = start
        start += shape[1] * COLUMN_HEADER
    end = start + math.prod(shape) * dtype.itemsize
    return Entry(start, end, tuple(shape), dtype, False, minimum, value_range, column_headers)


def _parse_npy(buffer: mmap.mmap, offset: int) -> Entry:
    width = buffer[offset + 3]  # bytes of the length that follows
    start = offset + 4 + width
    length = int.from_bytes(buffer[offset + 4 : start], "little")
    magic, major = buffer[start : start + 6], buffer[start + 6]
    size_format = "<H" if major == 1 else "<I"
    text = start + 8 + struct.calcsize(size_format)
    (text_size,) = struct.unpack(size_format, buffer[start + 8 : text])
    data = text + text_size
    header = NPY_HEADER.fullmatch(buffer[text:data])
    if magic == b"\x93NUMPY" and header:
        with suppress(TypeError, ValueError):  # a type that NumPy does not have, a number with a blank inside
            dtype = np.dtype(header[1].decode())
            shape = tuple(int(size) for size in header[3].split(b",") if size.strip())
            size = math.prod(shape) * dtype.itemsize
            if data + size == start + length:
                return Entry(data, data + size, shape, dtype, header[2] == b"True")
    raise ValueError("the header of the npy entry is corrupt")


def pack(array: np.ndarray, compress: bool = False) -> list[bytes | memoryview]:
    """The bytes of one entry after its key, in pieces (see the table at the top of the package).

    Raises:
        ValueError: A number to be stored as float16 is too large for it.
    """
    if array.dtype in (np.float32, np.float64) and array.ndim in (1, 2):
        if compress and array.dtype == np.float32 and array.ndim == 2:
            return _pack_compressed(array)
        name = (b"F" if array.dtype == np.float32 else b"D") + (b"V" if array.ndim == 1 else b"M")
        sizes = b"".join(struct.pack("<bi", 4, size) for size in array.shape)
        array = np.ascontiguousarray(array, KALDI_TYPES[name][0])
        return [b"\0B" + name + b" " + sizes, array.data.cast("B")]
    if compress and array.dtype == np.float32:
        # One range for all layers would leave nothing of those with small numbers.
        if np.abs(array).max() > np.finfo(np.float16).max:
            raise ValueError("a number is above 65504, the largest of float16")
        array = array.astype(np.float16)
    file = io.BytesIO()
    np.save(file, np.asarray(array, order="C"), allow_pickle=False)
    data = file.getbuffer()
    width = (data.nbytes.bit_length() + 7) // 8
    return [b"NPY" + bytes([width]) + data.nbytes.to_bytes(width, "little"), data]


def _pack_compressed(array: np.ndarray) -> list[bytes | memoryview]:
    minimum, maximum = float(array.min()), float(array.max())
    # A constant matrix still needs a range above 0; this is what Kaldi chooses.
    value_range = maximum - minimum if maximum > minimum else 1.0 + abs(minimum)
    steps = (array.astype(np.float64) - minimum) * (65535.0 / value_range)
    codes = np.rint(steps).clip(0, 65535).astype("<u2", order="C")
    return [b"\0BCM2 " + struct.pack("<ffii", minimum, value_range, *array.shape), codes.data.cast("B")]
