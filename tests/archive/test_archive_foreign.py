"""Arks of Kaldi and kaldiio in kinds that are only read: one-byte matrices, text; and what is refused by name."""

import pickle
import struct
from pathlib import Path

import kaldiio
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from spooftrace.archive import ArchiveReader, is_whole, read_sequential
from spooftrace.common.errors import InputError

RNG = np.random.default_rng(3)
same = np.testing.assert_array_equal
floats = st.floats(-(2.0**60), 2.0**60, width=32)
matrices = hnp.arrays(
    np.float32, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12), elements=st.floats(-99, 99, width=32)
)
vectors = hnp.arrays(np.float32, st.integers(1, 12), elements=floats)
METHODS = {"CM": 2, "CM2": 3, "CM2 signed": 4, "CM3": 5, "CM3 unsigned": 6, "CM3 zero to one": 7}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("arks of others")


def write(folder: Path, arrays: dict[str, np.ndarray], **options) -> tuple[Path, Path]:
    ark, scp = folder / "k.ark", folder / "k.scp"
    kaldiio.save_ark(str(ark), arrays, scp=str(scp), **options)
    return ark, scp


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
@settings(max_examples=40)
@given(first=matrices, second=matrices)
def test_every_compressed_matrix_is_what_kaldiio_reads(folder, method, first, second):
    ark, scp = write(folder, {"a": first, "b": second}, compression_method=method)
    reader, theirs = ArchiveReader(scp), kaldiio.load_scp(str(scp))
    assert is_whole(scp)
    for (key, listed), name in zip(read_sequential(ark), "ab", strict=True):
        expected = np.asarray(theirs[name], np.float32)
        assert key == name and reader.shape(name) == expected.shape
        same(reader[name], expected)
        same(listed, expected)
        same(reader.stored(name)[1:, :2], expected[1:, :2])
        assert not reader[name].flags.writeable and reader[name].dtype == np.float32


def test_speech_in_one_byte_is_close_to_what_was_compressed(folder):
    matrix = (RNG.standard_normal((200, 13)) * np.arange(1, 14)).astype(np.float32)
    _, scp = write(folder, {"u": matrix}, compression_method=METHODS["CM"])
    # Between the quartiles a column has 128 steps, outside of them 64; no step is wider than the tail over 63.
    assert (np.abs(ArchiveReader(scp)["u"] - matrix) <= np.ptp(matrix, axis=0) / 63).all()


@settings(max_examples=60)
@given(matrix=matrices, vector=vectors)
def test_text_is_what_was_written(folder, matrix, vector):
    ark, scp = write(folder, {"m": matrix, "v": vector, "w": matrix}, text=True)
    reader = ArchiveReader(scp)
    assert is_whole(scp)
    for (key, listed), array in zip(read_sequential(ark), (matrix, vector, matrix), strict=True):
        same(reader[key], array)
        same(listed, array)
        assert reader.shape(key) == array.shape


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("u  [\n  1 2 \n  3 4 ]\n", [[1, 2], [3, 4]]),
        ("u  [ 1e-05 2 -3.5E+2 ]\n", [1e-5, 2, -350]),
        ("u [ 7 ]\n", [7]),
        ("u  [\n  0.5 ]", [[0.5]]),
    ],
)
def test_text_as_kaldi_writes_it(folder, text, expected):
    ark, scp = folder / "t.ark", folder / "t.scp"
    ark.write_text(text, encoding="ascii")
    scp.write_text(f"u {ark}:2\n", encoding="utf-8")
    same(ArchiveReader(scp)["u"], np.array(expected, np.float32))
    assert is_whole(scp)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (b"PKL" + pickle.dumps(np.ones(3)), "a pickled Python object starts there, which is not supported"),
        (b"AUDIO\x01\x03abc", "audio starts there"),
        (b"RIFF1234WAVEfmt ", r"audio \(WAV\) starts there"),
        (b"\0B\4\3\0\0\0\4\1\0\0\0", "a vector of integers, such as an alignment, starts there"),
        (b"3 4 5 6\n", "a line of integers without brackets"),
        (b"\0BSM \4\1\0\0\0", "a sparse matrix starts there"),
        (b"hello", "no array of a known kind starts there"),
        (b" [\n 1 2\n 3 ]\n", "rows of the text matrix differ in length"),
        (b" [ 1 two 3 ]\n", "not a number"),
        (b" [ 1 2", "before the bracket of the text array is closed"),
        (b" [ 1 2 ] 3\n", "something stands behind the closing bracket"),
        (b" [ 1 nan 3 ]\n", "NaN or infinite values"),
        (b" [ 1 1e39 ]\n", "NaN or infinite values"),
        (b"\0BCM " + struct.pack("<ffii", 0.0, 1.0, 4, 2) + bytes(23), "the file ends 1 bytes before the array does"),
        (b"\0BCM3 " + struct.pack("<ffii", 0.0, float("inf"), 1, 1) + bytes(1), "compressed matrix is corrupt"),
        (b"\0BFV " + struct.pack("<bi3f", 4, 3, 1.0, float("nan"), 2.0), "NaN or infinite values"),
        (b"\0BDM " + struct.pack("<bibi2d", 4, 1, 4, 2, float("-inf"), 2.0), "NaN or infinite values"),
    ],
)
def test_what_is_not_an_array_of_finite_numbers_is_refused_by_name(folder, entry, message):
    ark, scp = folder / "x.ark", folder / "x.scp"
    ark.write_bytes(b"u " + entry)
    scp.write_text(f"u {ark}:2\n", encoding="utf-8")
    with pytest.raises(InputError, match=f"x.ark: key 'u' at offset 2: .*{message}.*run stage 3 again"):
        ArchiveReader(scp)["u"]
    with pytest.raises(InputError, match=f"x.ark: entry at offset 0: .*{message}"):
        list(read_sequential(ark))


def test_numbers_whose_sum_is_not_finite_are_finite_themselves(folder):
    large = np.full((2, 3), 3e38, np.float32)
    _, scp = write(folder, {"u": large})
    same(ArchiveReader(scp)["u"], large)


def test_only_the_part_that_is_read_has_to_be_finite(folder):
    matrix = np.ones((4, 2), np.float32)
    matrix[3, 1] = np.nan
    _, scp = write(folder, {"u": matrix})
    stored = ArchiveReader(scp).stored("u")
    same(stored[:3], matrix[:3])
    with pytest.raises(InputError, match="key 'u' at offset 2: the array has NaN or infinite values"):
        stored[2:]
