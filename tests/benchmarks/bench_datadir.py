"""Reading, checking and writing a data directory of 1.4 million utterances, as ratios to reading the plain lines.

Usage: python tests/benchmarks/bench_datadir.py [--utts 1400000]

Every part runs in a fresh process, so that its peak memory is its own. Times are CPU times, which other programs on the
machine change less than wall times.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

LIB = Path(__file__).resolve().parents[2] / "lib"

PARTS = {
    "plain lines into dicts, no checks": """
for name in sorted(path.name for path in folder.iterdir()):
    with open(folder / name, encoding="utf-8") as file:
        tables[name] = dict(line.rstrip().split(maxsplit=1) for line in file)
""",
    "DataDir.read, all checks": "tables = DataDir.read(folder).tables",
    "DataDir.write, content as before": "DataDir.write(folder, (tables := DataDir.read(folder).tables))",
    "subset of half, written": """
data = DataDir.read(folder)
tables = subset(data, data.utts[::2], folder.parent / "half").tables
""",
}

FRAME = """
import re, sys, time
from pathlib import Path
from spooftrace.datadir import DataDir
from spooftrace.datadir.edit import subset
folder, tables = Path(sys.argv[1]), {{}}
started = time.process_time()
{part}
print(time.process_time() - started, re.search(r"VmHWM:\\s*(\\d+)", Path("/proc/self/status").read_text())[1])
"""


def make(folder: Path, utts: int) -> int:
    """A directory like that of a large corpus; returns its number of lines."""
    names = [f"speaker{index % 977:04d}-utterance-{index:07d}" for index in range(utts)]
    columns = {
        "utt2spk": lambda index: f"speaker{index % 977:04d}",
        "wav.scp": lambda index: f"downloads/corpus/flac/{names[index]}.flac",
        "utt2label": lambda index: "spoof" if index % 9 else "bonafide",
        "utt2attack": lambda index: f"A{index % 19:02d}",
        "utt2dur": lambda index: f"{1 + index * 7919 % 100000 / 10000:.4f}",
        "utt2codec": lambda index: f"codec{index % 30}",
    }
    sys.path.insert(0, str(LIB))
    from spooftrace.datadir import DataDir

    tables = {file: {name: value(index) for index, name in enumerate(names)} for file, value in columns.items()}
    started = time.process_time()
    made = DataDir.write(folder, tables)
    lines = sum(map(len, made.tables.values()))
    print(
        f"{utts} utterances, {len(made.tables)} files, {lines} lines; written in {time.process_time() - started:.1f} s"
    )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--utts", type=int, default=1_400_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "data"
        lines = make(folder, options.utts)
        base = 0.0
        for name, part in PARTS.items():
            command = [sys.executable, "-c", FRAME.format(part=part), folder]
            result = subprocess.run(
                command, env={"PYTHONPATH": str(LIB)}, stdout=subprocess.PIPE, text=True, check=True
            )
            seconds, kilobytes = map(float, result.stdout.split())
            base = base or seconds
            print(
                f"{name:36s} {seconds:6.1f} s CPU  x{seconds / base:4.2f}  {lines / seconds / 1e6:5.2f} M lines/s  "
                f"peak {kilobytes / 1e6:4.2f} GB"
            )


if __name__ == "__main__":
    main()
