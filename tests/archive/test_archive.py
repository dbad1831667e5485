"""The ark/scp store: what kaldiio makes of our files and we of kaldiio's, reading, damaged files."""

import multiprocessing
import os
import pickle
from pathlib import Path

import kaldiio
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from spooftrace.archive import ArchiveReader, ArchiveWriter, is_whole, merge_scp, read_sequential
from spooftrace.common.errors import InputError

RNG = np.random.default_rng(1)
ARRAYS = {
    "matrix": RNG.standard_normal((7, 5)).astype(np.float32),
    "vector": RNG.standard_normal(11).astype(np.float32),
    "double": RNG.standard_normal((3, 2)),
    "double-vector": RNG.standard_normal(3),
    "codes": RNG.integers(0, 1024, (8, 20)).astype(np.int32),
    "one-codebook": RNG.integers(0, 1024, 20).astype(np.int64),
    "layers": RNG.standard_normal((4, 6, 3)).astype(np.float32),
    "half": RNG.standard_normal((6, 3)).astype(np.float16),
    "number": np.float32(3.5).reshape(()),
    "transposed": np.asfortranarray(RNG.standard_normal((6, 3)).astype(np.float32)),
    "with.dots:and:colons/é": np.ones((1, 1), np.float32),
}


@pytest.fixture
def paths(tmp_path):
    return tmp_path / "my dump" / "feats.1.ark", tmp_path / "my dump" / "feats.1.scp"


def write(paths, arrays=ARRAYS, **options):
    with ArchiveWriter(*paths, **options) as writer:
        for key, array in arrays.items():
            writer.write(key, array)
    return paths


def same(one, other):
    np.testing.assert_array_equal(one, other)
    assert one.dtype == other.dtype and one.shape == other.shape


def test_round_trip_and_sequential_order(paths):
    ark, scp = write(paths)
    reader = ArchiveReader(scp)
    assert list(reader) == list(ARRAYS) and len(reader) == len(ARRAYS)
    for key, array in ARRAYS.items():
        same(reader[key], array)
        assert reader.shape(key) == array.shape
    listed = list(read_sequential(ark))
    assert [key for key, _ in listed] == list(ARRAYS)
    for key, array in listed:
        same(array, ARRAYS[key])


def test_kaldiio_reads_ours(paths):
    ark, scp = write(paths)
    for loaded in (dict(kaldiio.load_scp(str(scp)).items()), dict(kaldiio.load_ark(str(ark)))):
        assert list(loaded) == list(ARRAYS)
        for key, array in ARRAYS.items():
            same(loaded[key], array)


def test_we_read_kaldiio(paths):
    ark, scp = map(str, paths)
    paths[0].parent.mkdir()
    kaldi_arrays = {key: ARRAYS[key] for key in ("matrix", "vector", "double", "double-vector")}
    kaldiio.save_ark(ark, kaldi_arrays, scp=scp)
    kaldiio.save_ark(
        ark, {"codes": ARRAYS["codes"], "layers": ARRAYS["layers"]}, scp=scp, append=True, write_function="numpy"
    )
    reader = ArchiveReader(scp)
    assert len(reader) == 6
    for key in reader:
        same(reader[key], ARRAYS[key])
    assert [key for key, _ in read_sequential(ark)] == list(reader)


def test_compressed_both_directions(paths, tmp_path):
    matrix = (RNG.standard_normal((50, 20)) * 7 - 3).astype(np.float32)
    arrays = {"a": matrix, "constant": np.full((3, 2), -2.5, np.float32), "vector": ARRAYS["vector"]}
    ark, scp = write(paths, arrays, compress=True)
    reader, theirs = ArchiveReader(scp), kaldiio.load_scp(str(scp))
    for key in arrays:
        same(reader[key], np.asarray(theirs[key], np.float32))
    bound = (matrix.max() - matrix.min()) / 131070
    assert np.abs(reader["a"] - matrix).max() <= bound * 1.01  # and the rounding to float32
    same(reader["constant"], arrays["constant"])
    same(reader["vector"], arrays["vector"])  # only matrices are compressed
    assert reader.shape("a") == (50, 20) and not reader["a"].flags.writeable
    assert ark.stat().st_size < 2.2 * matrix.size + 300

    other = str(tmp_path / "k.ark"), str(tmp_path / "k.scp")
    kaldiio.save_ark(other[0], {"a": matrix}, scp=other[1], compression_method=3)
    same(ArchiveReader(other[1])["a"], np.asarray(kaldiio.load_scp(other[1])["a"], np.float32))


floats = st.floats(-(2.0**60), 2.0**60, width=32)
shapes = hnp.array_shapes(min_dims=0, max_dims=4, min_side=1, max_side=6)
anything = st.one_of(
    hnp.arrays(np.float32, shapes, elements=floats),
    hnp.arrays(st.sampled_from([np.int16, np.int32, np.int64, np.uint8, np.bool_]), shapes),
    hnp.arrays(np.float16, shapes, elements=st.floats(-1000, 1000, width=16)),
)
keys = st.text(
    st.characters(blacklist_categories=("Cs", "Zs", "Zl", "Zp", "Cc"), blacklist_characters="\ufeff"),
    min_size=1,
    max_size=6,
)


@settings(deadline=None, max_examples=60)
@given(st.dictionaries(keys, anything, min_size=1, max_size=5))
def test_any_arrays_survive_here_and_in_kaldiio(tmp_path_factory, arrays):
    ark, scp = write((tmp_path_factory.mktemp("a") / "x.ark", tmp_path_factory.mktemp("b") / "x.scp"), arrays)
    reader = ArchiveReader(scp)
    assert list(reader) == list(arrays)
    for (key, array), (their_key, theirs) in zip(arrays.items(), kaldiio.load_ark(str(ark)), strict=True):
        assert key == their_key
        same(reader[key], array)
        same(theirs, array)


@settings(deadline=None, max_examples=60)
@given(hnp.arrays(np.float32, hnp.array_shapes(min_dims=2, max_dims=2), elements=floats))
def test_compression_error_is_bounded(tmp_path_factory, matrix):
    _, scp = write(
        (tmp_path_factory.mktemp("a") / "x.ark", tmp_path_factory.mktemp("b") / "x.scp"), {"k": matrix}, compress=True
    )
    spread = float(matrix.max()) - float(matrix.min())
    rounding = 4 * np.finfo(np.float32).eps * np.abs(matrix.astype(float)).max()
    assert np.abs(ArchiveReader(scp)["k"].astype(float) - matrix).max() <= spread / 131070 + rounding


def test_views_share_the_mapped_file_and_cannot_be_written(paths):
    _, scp = write(paths)
    reader = ArchiveReader(scp)
    for key in ("matrix", "vector", "codes", "layers"):
        assert not reader[key].flags.owndata and not reader[key].flags.writeable
    one, other = reader["matrix"], reader["matrix"]
    assert one.__array_interface__["data"][0] == other.__array_interface__["data"][0]
    reader.close()
    same(one, ARRAYS["matrix"])  # lives on
    same(reader["matrix"], ARRAYS["matrix"])  # opens again


@pytest.mark.parametrize("compress", [False, True])
def test_parts_are_what_the_whole_has_there(paths, compress):
    write(paths, compress=compress)
    reader = ArchiveReader(paths[1])
    for key, index in (
        ("matrix", slice(2, 5)),
        ("matrix", (slice(None), slice(1, 3))),
        ("vector", slice(3, 7)),
        ("layers", (slice(None), slice(1, 4))),
        ("codes", (slice(None), slice(5, 15))),
    ):
        stored = reader.stored(key)
        assert stored.shape == reader[key].shape
        same(stored[index], reader[key][index])
        assert not stored[index].flags.writeable


def test_compressed_layers_are_float16_and_kaldiio_reads_them(paths):
    write(paths, {"layers": ARRAYS["layers"]}, compress=True)
    same(ArchiveReader(paths[1])["layers"], ARRAYS["layers"].astype(np.float16))
    same(kaldiio.load_scp(str(paths[1]))["layers"], ARRAYS["layers"].astype(np.float16))


SMAPS = Path("/proc/self/smaps")


@pytest.mark.skipif(not SMAPS.exists(), reason="needs /proc/self/smaps")
@pytest.mark.parametrize(
    ("shape", "index", "compress"),
    [
        ((40000, 256), slice(20000, 20100), False),
        ((40000, 256), slice(20000, 20100), True),
        ((2, 20000, 256), (slice(None), slice(500, 600)), False),
    ],
)
def test_a_part_touches_only_its_own_pages(paths, shape, index, compress):
    array = np.lib.stride_tricks.as_strided(np.arange(2048, dtype=np.float32), shape, (0,) * (len(shape) - 1) + (4,))
    write(paths, {"long": array}, compress=compress)
    reader = ArchiveReader(paths[1])
    assert np.array(reader.stored("long")[index]).size
    resident = mapped = 0
    lines = iter(SMAPS.read_text(encoding="utf-8").splitlines())
    for line in lines:
        if line.endswith(paths[0].name):
            mapped += int(next(lines).split()[1])
            while not line.startswith("Rss:"):
                line = next(lines)
            resident += int(line.split()[1])
    assert mapped > 20_000  # kB
    # 100 rows of 1 kB for each layer, and the pages that the kernel maps around those that are touched.
    assert resident < mapped / 4


def test_the_files_are_mapped_anew_now_and_then_and_views_stay_good(paths, monkeypatch):
    monkeypatch.setattr("spooftrace.archive.reader.SEEN_BYTES", 100)
    write(paths)
    reader = ArchiveReader(paths[1])
    views, maps = {}, set()
    for _ in range(3):
        for key in reader:
            views[key] = reader[key]
            maps.add(id(reader._maps[0]))
    assert len(maps) > 1 and len(reader._maps) == 1
    for key, array in ARRAYS.items():
        same(views[key], array)


def test_final_names_appear_only_at_the_end(paths):
    ark, scp = paths
    with ArchiveWriter(ark, scp) as writer:
        writer.write("a", ARRAYS["matrix"])
        assert not ark.exists() and not scp.exists()
    assert sorted(path.name for path in ark.parent.iterdir()) == ["feats.1.ark", "feats.1.scp"]
    assert scp.read_text() == f"a {ark}:2\n"


def test_paths_in_the_scp_are_those_given(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(("dump dir/x.ark", "dump dir/x.scp"), {"a": ARRAYS["vector"]})
    assert Path("dump dir/x.scp").read_text() == "a dump dir/x.ark:2\n"
    same(ArchiveReader("dump dir/x.scp")["a"], ARRAYS["vector"])


@pytest.mark.parametrize("cut", [1, 40, 90, 138])
def test_truncated_ark(paths, cut):
    ark, scp = write(paths, {"first": ARRAYS["vector"], "last": ARRAYS["matrix"]})
    os.truncate(ark, ark.stat().st_size - cut)
    reader = ArchiveReader(scp)
    same(reader["first"], ARRAYS["vector"])
    with pytest.raises(InputError, match=r"feats\.1\.ark: key 'last' at offset 65: the file ends.*run stage 3 again"):
        reader["last"]
    with pytest.raises(InputError, match=r"feats\.1\.ark: entry at offset 60"):
        list(read_sequential(ark))


@pytest.mark.parametrize("place", range(15))
def test_corrupt_headers_never_give_wrong_data(paths, place):
    ark, scp = write(paths, {"k": ARRAYS["matrix"]})
    data = bytearray(ark.read_bytes())
    data[2 + place] ^= 0xFF
    ark.write_bytes(data)
    with pytest.raises(InputError, match=r"key 'k' at offset 2: .*run stage 3 again"):
        ArchiveReader(scp)["k"]


def test_corrupt_npy_header(paths):
    ark, scp = write(paths, {"codes": ARRAYS["codes"]})
    data = ark.read_bytes()
    for old, new in ((b"NUMPY", b"NUMPX"), (b"(8, 20)", b"(8, 21)"), (b"'<i4'", b"'|O8'"), (b"{'descr", b"}'descr")):
        ark.write_bytes(data.replace(old, new))
        with pytest.raises(InputError, match="npy entry is corrupt"):
            ArchiveReader(scp)["codes"]


@pytest.mark.parametrize("name", ["codes", "matrix", "layers"])
def test_any_damaged_byte_gives_an_array_or_a_clear_error(paths, name):
    ark, scp = write(paths, {"k": ARRAYS[name]})
    sound = ark.read_bytes()
    for place in range(2, min(140, len(sound))):
        for value in (0, 0x39, 0xFF):
            ark.write_bytes(sound[:place] + bytes([value]) + sound[place + 1 :])
            try:
                array = ArchiveReader(scp)["k"]
            except InputError as error:
                assert "key 'k' at offset 2" in str(error)
            else:
                assert array.nbytes <= len(sound)


def test_whether_an_archive_is_whole(paths):
    ark, scp = paths
    with ArchiveWriter(ark, scp) as writer:
        writer.write("b", np.ones((2, 3), np.float32))
        writer.write("a", np.ones((4, 3), np.float32))
    assert is_whole(scp)
    content, lines = ark.read_bytes(), scp.read_bytes()
    for other in (content[:-1], content + b"x", b""):
        ark.write_bytes(other)
        assert not is_whole(scp)
    ark.write_bytes(content)
    scp.write_bytes(lines.replace(b":", b" "))
    assert not is_whole(scp)
    scp.write_bytes(lines)
    ark.unlink()
    assert not is_whole(scp)


def test_scp_and_ark_of_different_runs_are_noticed(paths):
    _, scp = write(paths, {"a": ARRAYS["vector"], "b": ARRAYS["vector"]})
    old = scp.read_text()
    write(paths, {"b": ARRAYS["vector"], "a": ARRAYS["vector"]})
    scp.write_text(old)
    with pytest.raises(InputError, match="something else there"):
        ArchiveReader(scp)["a"]


def test_missing_files_and_keys(paths, tmp_path):
    ark, scp = write(paths, {"a": ARRAYS["vector"]})
    reader = ArchiveReader(scp)
    with pytest.raises(KeyError, match="no key 'b'"):
        reader["b"]
    assert "b" not in reader and reader.get("b") is None
    ark.write_bytes(b"")
    with pytest.raises(InputError, match="ark is empty"):
        reader["a"]
    ark.unlink()
    with pytest.raises(InputError, match="no such ark"):
        reader["a"]
    with pytest.raises(InputError, match="no such file; run stage 3 first"):
        ArchiveReader(tmp_path / "none.scp")


@pytest.mark.parametrize("line", ["key", "key file.ark", "key gunzip -c x.ark |", "key x.ark:5[0:3]"])
def test_malformed_scp(tmp_path, line):
    (tmp_path / "x.scp").write_text(f"a x.ark:2\n{line}\n")
    with pytest.raises(InputError, match=r"x\.scp:2: .* is not 'key path:offset'"):
        ArchiveReader(tmp_path / "x.scp")


def test_a_key_twice_in_an_scp(tmp_path):
    (tmp_path / "x.scp").write_text("a x.ark:2\na x.ark:9\n")
    with pytest.raises(InputError, match=r"x\.scp:2: key 'a' is already on line 1"):
        ArchiveReader(tmp_path / "x.scp")


def test_merging_the_parts_of_an_array_job(tmp_path):
    parts = []
    for number in (1, 2):
        ark, scp = tmp_path / f"f.{number}.ark", tmp_path / f"f.{number}.scp"
        parts.append(write((ark, scp), {f"z{number}": ARRAYS["vector"], f"a{number}": ARRAYS["matrix"]})[1])
    assert merge_scp(tmp_path / "f.scp", parts) == 4
    reader = ArchiveReader(tmp_path / "f.scp")
    assert list(reader) == ["a1", "a2", "z1", "z2"]
    same(reader["a2"], ARRAYS["matrix"])
    with pytest.raises(InputError, match="key 'z1' is already stored at"):
        write((tmp_path / "g.ark", tmp_path / "g.scp"), {"z1": ARRAYS["vector"]})
        merge_scp(tmp_path / "f.scp", [*parts, tmp_path / "g.scp"])


def total(reader, key):
    return float(reader[key].sum())


def test_reader_works_in_other_processes(paths):
    _, scp = write(paths)
    reader = ArchiveReader(scp)
    expected = total(reader, "layers")  # opens the ark here first
    same(pickle.loads(pickle.dumps(reader))["matrix"], ARRAYS["matrix"])
    for method in ("fork", "spawn"):
        with multiprocessing.get_context(method).Pool(1) as pool:
            assert pool.apply(total, (reader, "layers")) == expected


def test_no_file_handle_is_left_open(tmp_path):
    parts = [write((tmp_path / f"{n}.ark", tmp_path / f"{n}.scp"), {f"k{n}": ARRAYS["vector"]})[1] for n in range(20)]
    merge_scp(tmp_path / "all.scp", parts)

    def handles():
        return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 (counts, needs no paths)

    if not Path("/proc/self/fd").is_dir():
        pytest.skip("needs /proc to count open files")
    before = handles()
    with ArchiveReader(tmp_path / "all.scp") as reader:
        for _ in range(3):
            assert sum(reader[key].size for key in reader) == 20 * 11
        assert handles() <= before + 20
    assert sum(1 for part in parts for _ in read_sequential(part.with_suffix(".ark"))) == 20
    assert handles() == before
