"""Writing arks: killed and resumed writers, full disks, bad entries."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from spooftrace.archive import ArchiveReader, ArchiveWriter, read_sequential
from spooftrace.common.errors import InputError

RNG = np.random.default_rng(1)
ARRAYS = {
    "matrix": RNG.standard_normal((7, 5)).astype(np.float32),
    "codes": RNG.integers(0, 1024, (8, 20)).astype(np.int32),
    "vector": RNG.standard_normal(11).astype(np.float32),
    "layers": RNG.standard_normal((4, 6, 3)).astype(np.float32),
}
same = np.testing.assert_array_equal


@pytest.fixture
def paths(tmp_path):
    return tmp_path / "my dump" / "feats.1.ark", tmp_path / "my dump" / "feats.1.scp"


def write(paths, arrays=ARRAYS):
    with ArchiveWriter(*paths) as writer:
        for key, array in arrays.items():
            writer.write(key, array)
    return paths


def test_an_exception_keeps_the_parts_and_resuming_completes_them(paths):
    ark, scp = paths
    with pytest.raises(RuntimeError), ArchiveWriter(ark, scp) as writer:
        writer.write("a", ARRAYS["matrix"])
        writer.write("b", ARRAYS["codes"])
        raise RuntimeError
    assert not ark.exists() and not scp.exists()
    with ArchiveWriter(ark, scp, resume=True) as writer:
        assert writer.keys == {"a", "b"}
        with pytest.raises(InputError, match="key 'a' is already stored"):
            writer.write("a", ARRAYS["matrix"])
        writer.write("c", ARRAYS["vector"])
    reader = ArchiveReader(scp)
    assert list(reader) == ["a", "b", "c"]
    same(reader["b"], ARRAYS["codes"])
    same(reader["c"], ARRAYS["vector"])


def test_resumed_archive_is_byte_for_byte_the_uninterrupted_one(paths, tmp_path):
    ark, scp = paths
    whole, _ = write((tmp_path / "whole.ark", tmp_path / "whole.scp"))
    names = list(ARRAYS)
    for stop in range(len(names) + 1):
        for path in (ark, scp):
            path.unlink(missing_ok=True)
        with pytest.raises(RuntimeError), ArchiveWriter(ark, scp) as writer:
            for key in names[:stop]:
                writer.write(key, ARRAYS[key])
            raise RuntimeError
        with open(f"{ark}.part", "ab") as file:
            file.write(b"half-written \0BFM \4")
        with open(f"{scp}.part", "a") as file:
            file.write("half-writ")
        with ArchiveWriter(ark, scp, resume=True) as writer:
            assert writer.keys == set(names[:stop])
            for key in names[stop:]:
                writer.write(key, ARRAYS[key])
        assert ark.read_bytes() == whole.read_bytes()


def test_an_ark_that_lost_its_end_is_cut_back_to_whole_entries(paths):
    ark, scp = paths
    with pytest.raises(RuntimeError), ArchiveWriter(ark, scp) as writer:
        for key in ("a", "b", "c"):
            writer.write(key, ARRAYS["matrix"])
        raise RuntimeError
    part = Path(f"{ark}.part")
    os.truncate(part, part.stat().st_size - ARRAYS["matrix"].nbytes - 30)
    with ArchiveWriter(ark, scp, resume=True) as writer:
        assert writer.keys == {"a"}
        writer.write("b", ARRAYS["vector"])
    reader = ArchiveReader(scp)
    assert list(reader) == ["a", "b"]
    same(reader["b"], ARRAYS["vector"])


def test_killed_between_the_last_two_renames(paths):
    ark, scp = write(paths)
    scp.rename(f"{scp}.part")
    with ArchiveWriter(ark, scp, resume=True) as writer:
        assert writer.keys == set(ARRAYS)
    same(ArchiveReader(scp)["codes"], ARRAYS["codes"])


def test_resuming_a_finished_archive_changes_nothing(paths):
    ark, scp = write(paths)
    before = ark.read_bytes(), scp.read_bytes(), scp.stat().st_mtime_ns
    with ArchiveWriter(ark, scp, resume=True) as writer:
        assert writer.keys == set(ARRAYS)
        with pytest.raises(InputError, match="is finished"):
            writer.write("new", ARRAYS["vector"])
    assert (ark.read_bytes(), scp.read_bytes(), scp.stat().st_mtime_ns) == before


def test_without_resume_an_archive_is_written_anew(paths):
    write(paths)
    _, scp = write(paths, {"only": ARRAYS["vector"]})
    assert list(ArchiveReader(scp)) == ["only"]


KILLED = """
import sys, numpy as np
from spooftrace.archive import writer
writer.SYNC_SECONDS = 0.05
with writer.ArchiveWriter(sys.argv[1], sys.argv[2], resume=True) as archive:
    print("open", flush=True)
    for number in range(len(archive.keys), 10**6):
        archive.write(f"utt{number}", np.full((50, 40), number, np.float32))
"""


def test_kill_9_loses_nothing_that_is_listed(paths):
    ark, scp = paths
    stored = 0
    for _ in range(3):
        process = subprocess.Popen([sys.executable, "-c", KILLED, ark, scp], stdout=subprocess.PIPE, text=True)
        assert process.stdout.readline() == "open\n"
        time.sleep(0.3)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        with pytest.raises(RuntimeError), ArchiveWriter(ark, scp, resume=True) as writer:
            assert len(writer.keys) > stored
            stored = len(writer.keys)
            raise RuntimeError
    with ArchiveWriter(ark, scp, resume=True):
        pass
    reader = ArchiveReader(scp)
    assert list(reader) == [f"utt{number}" for number in range(stored)]
    assert all((reader[f"utt{number}"] == number).all() for number in range(stored))
    assert sum(1 for _ in read_sequential(ark)) == stored


FULL_DISK = """
import resource, signal, sys, numpy as np
from spooftrace.archive import ArchiveWriter
from spooftrace.common.errors import InputError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (3_000_000, 3_000_000))
try:
    with ArchiveWriter(sys.argv[1], sys.argv[2]) as archive:
        for number in range(1000):
            archive.write(f"utt{number}", np.zeros((100, 100), np.float32))
            archive._last_sync = 0  # as if much time had passed
except InputError as error:
    print(error)
"""


def test_a_full_disk_is_reported_and_what_was_written_can_be_resumed(paths):
    ark, scp = paths
    said = subprocess.run(
        [sys.executable, "-c", FULL_DISK, ark, scp], capture_output=True, text=True, check=True
    ).stdout
    assert said.startswith(f"{ark}.part: cannot write (File too large); make room and run the stage again")
    assert not ark.exists() and not scp.exists()
    with ArchiveWriter(ark, scp, resume=True) as writer:
        assert len(writer.keys) > 60
    assert sum(1 for _ in read_sequential(ark)) == len(ArchiveReader(scp))


def test_two_writers_of_one_archive_are_noticed(paths):
    with ArchiveWriter(*paths) as first:
        first.write("a", ARRAYS["vector"])
        with pytest.raises(InputError, match="another process is writing it"), ArchiveWriter(*paths):
            pass
    assert list(ArchiveReader(paths[1])) == ["a"]


@pytest.mark.parametrize(
    ("key", "array", "message"),
    [
        ("a b", np.ones(2), "contains white space"),
        ("", np.ones(2), "is empty or contains"),
        ("u", np.array([1, np.nan], np.float32), "'u': the array has NaN or infinite"),
        ("u", np.array([[np.inf]], np.float32), "'u': the array has NaN or infinite"),
        ("u", np.ones((0, 4), np.float32), r"'u': the array of shape \(0, 4\) is empty"),
    ],
)
def test_bad_entries_are_refused_by_name(paths, key, array, message):
    with ArchiveWriter(*paths) as writer:
        writer.write("good", ARRAYS["vector"])
        with pytest.raises(InputError, match=message):
            writer.write(key, array)
    assert list(ArchiveReader(paths[1])) == ["good"]


def test_things_that_are_not_numbers_are_a_programming_error(paths):
    with ArchiveWriter(*paths) as writer, pytest.raises(TypeError, match="not an array of numbers"):
        writer.write("u", np.array(["text"]))
