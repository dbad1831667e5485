"""Reading cached features: ArchiveReader against kaldiio, and both against copying the same bytes in memory.

Usage: python tests/benchmarks/bench_archive.py [--entries 2000] [--frames 150] [--dim 768] [--rounds 5]

Prints the best time per entry over rounds that take turns, the files being in the page cache. Every way ends with the
array copied into a batch, so that mapped pages are really touched.
"""

import argparse
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
                "ArchiveReader, random": ours,
                "kaldiio.load_mat, random": load_mat,
                "kaldiio.load_scp, open files, random": load_cached,
                "read_sequential": sequential,
                "kaldiio.load_ark": their_sequential,
            }
            best = best_times(ways, options.rounds)
            print(f"{kind} {array.shape}: {size:.0f} MB, written and synced at {size / wrote:.0f} MB/s")
            for name, seconds in best.items():
                each = seconds / len(keys) * 1e6
                print(
                    f"  {name:38s} {each:8.1f} us an entry   x{seconds / best['memory copy']:6.2f} of the copy   "
                    f"{best['kaldiio.load_mat, random'] / seconds:6.2f} times as fast as load_mat"
                )


if __name__ == "__main__":
    main()
