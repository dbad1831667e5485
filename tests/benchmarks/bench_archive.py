"""Reading cached features: ArchiveReader against kaldiio, reading the raw file, and copying the same bytes in memory.

Usage: python tests/benchmarks/bench_archive.py [--entries 2000] [--frames 150] [--dim 768] [--rounds 5]

Prints the best time per entry over rounds that take turns, the files being in the page cache. Every way ends with the
array copied into a batch, so that mapped pages are really touched. The raw read has the offsets at hand and does not
look at any header. Last, the memory of a reader that has seen 1/10 and all of the archive: its own (anonymous) memory,
and the pages of the mapped files, which all processes share and which the system takes back when it needs them.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import kaldiio
import numpy as np

from spooftrace.archive import ArchiveReader, ArchiveWriter, read_sequential


def best_times(ways: dict[str, Callable[[], None]], rounds: int) -> dict[str, float]:
    """Least time of each way in seconds; the ways take turns, so that they share whatever else is running."""
    best = dict.fromkeys(ways, float("inf"))
    for _ in range(rounds):
        for name, way in ways.items():
            started = time.perf_counter()
            way()
            best[name] = min(best[name], time.perf_counter() - started)
    return best


MEMORY = """
import sys
from pathlib import Path
import numpy as np
from spooftrace.archive import ArchiveReader
reader = ArchiveReader(sys.argv[1])
keys = list(reader)
def memory():
    status = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
    own, mapped = (int(status[name].split()[0]) / 1000 for name in ("RssAnon", "RssFile"))
    return f"own {own:.0f} MB, mapped {mapped:.0f} MB"
for part in (keys[: len(keys) // 10], keys):
    for key in part:
        np.array(reader.stored(key)[:50])
    print(f"  after crops of {len(part):6,d} entries: {memory()}", flush=True)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=2000)
    parser.add_argument("--frames", type=int, default=150)
    parser.add_argument("--dim", type=int, default=768)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    shape = (options.frames, options.dim)
    keys = [f"utt{number:06d}" for number in range(options.entries)]
    order = [keys[index] for index in rng.permutation(len(keys))]
    features = rng.standard_normal(shape, dtype=np.float32)
    codes = rng.integers(0, 1024, (8, options.frames)).astype(np.int32)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for kind, array, compress in (
            ("float32", features, False),
            ("two-byte", features, True),
            ("codes", codes, False),
        ):
            ark, scp = folder / f"{kind}.ark", folder / f"{kind}.scp"
            started = time.perf_counter()
            with ArchiveWriter(ark, scp, compress=compress) as writer:
                for number, key in enumerate(keys):
                    writer.write(key, array + array.dtype.type(number % 7))
            size = ark.stat().st_size / 1e6
            wrote = time.perf_counter() - started
            reader, theirs = ArchiveReader(scp), dict(kaldiio.load_scp(str(scp))._dict)
            cached = kaldiio.load_scp(str(scp), max_cache_fd=4)
            batch = np.empty_like(array)
            source = [np.array(array) for _ in range(len(keys))]  # as many bytes as the archive, aligned

            def copy(source=source, batch=batch):
                for one in source:
                    batch[:] = one

            def ours(reader=reader, batch=batch):
                for key in order:
                    batch[:] = reader[key]

            handle = os.open(ark, os.O_RDONLY)
            entries = {key: reader._entry(key)[0] for key in keys}

            def raw(handle=handle, entries=entries, batch=batch):
                for key in order:
                    entry = entries[key]
                    data = os.pread(handle, entry.end - entry.data, entry.data)
                    stored = np.frombuffer(data, entry.dtype).reshape(entry.shape)
                    batch[:] = stored if not entry.range else stored * entry.range / 65535 + entry.minimum

            def crop(reader=reader, batch=batch):
                for key in order:
                    batch[:50] = reader.stored(key)[:50]

            def their_crop(theirs=theirs, batch=batch):
                for key in order:
                    batch[:50] = kaldiio.load_mat(theirs[key])[:50]

            def view(reader=reader):
                for key in order:
                    _ = reader[key]

            def load_mat(theirs=theirs, batch=batch):
                for key in order:
                    batch[:] = kaldiio.load_mat(theirs[key])

            def load_cached(cached=cached, batch=batch):
                for key in order:
                    batch[:] = cached[key]

            def sequential(ark=ark, batch=batch):
                for _, one in read_sequential(ark):
                    batch[:] = one

            def their_sequential(ark=ark, batch=batch):
                for _, one in kaldiio.load_ark(str(ark)):
                    batch[:] = one

            ways = {
                "memory copy": copy,
                "ArchiveReader, random, not copied": view,
                "ArchiveReader, random": ours,
                "raw file read, random": raw,
                "kaldiio.load_mat, random": load_mat,
                "kaldiio.load_scp, open files, random": load_cached,
                "read_sequential": sequential,
                "kaldiio.load_ark": their_sequential,
                "ArchiveReader, 50 rows": crop,
                "kaldiio.load_mat, 50 rows": their_crop,
            }
            best = best_times(ways, options.rounds)
            print(f"{kind} {array.shape}: {size:.0f} MB, written and synced at {size / wrote:.0f} MB/s")
            for name, seconds in best.items():
                each = seconds / len(keys) * 1e6
                print(
                    f"  {name:38s} {each:8.1f} us an entry   x{seconds / best['memory copy']:6.2f} of the copy   "
                    f"{best['kaldiio.load_mat, random'] / seconds:6.2f} times as fast as load_mat"
                )
            os.close(handle)
            subprocess.run([sys.executable, "-c", MEMORY, str(scp)], check=True)


if __name__ == "__main__":
    main()
