"""CodecFake+'s 1,422,560 labels -> data directories, as a ratio to splitting the lines of the label file.

Usage: python tests/benchmarks/bench_corpora.py [--utts 44455]

A label file of the real size is made, and an empty audio file for each of its lines, so that looking these up counts:
1.4 million files, which take a minute to make. Every part runs in a fresh process, so that its peak memory is its own.
Times are CPU times, which other programs on the machine change less than wall times.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

LIB = Path(__file__).resolve().parents[2] / "lib"

PARTS = {
    "split the lines": "lines = [line.split() for line in open(labels)]",
    "read the trials": "trials = codecfake_plus.read_cors_labels(labels)",
    "prepare cors_{train,dev,test}": """
corpus = Corpus("CodecFake+", labels.parent, labels.parent / "data", allow_partial=True)
codecfake_plus._write_cors(corpus, labels)
""",
    "the same again, nothing to write": """
corpus = Corpus("CodecFake+", labels.parent, labels.parent / "data", allow_partial=True)
codecfake_plus._write_cors(corpus, labels)
""",
    "prepare all sets, lists drawn": """
codecfake_plus.run(argparse.Namespace(root=labels.parent, out=labels.parent / "all", allow_partial=True, lists=None,
                                      draw=1))
""",
}

FRAME = """
import argparse, re, sys, time
from pathlib import Path
from spooftrace.corpora import codecfake_plus
from spooftrace.corpora.corpus import Corpus
labels = Path(sys.argv[1])
started = time.process_time()
{part}
peak = re.search(r"VmHWM:\\s*(\\d+)", Path("/proc/self/status").read_text())[1]
print(time.process_time() - started, peak, file=sys.stderr)
"""


def make(root: Path, utts: int) -> None:
    """The label file, with 4 speakers of dev and test and 106 of train, and empty audio files."""
    sys.path.insert(0, str(LIB))
    from spooftrace.corpora.codecfake_plus_codecs import CODECS

    speakers = [f"p{number}" for number in range(225, 334)] + ["s5"]
    endings = ["", *(f"_{key}" for key in sorted(CODECS, key=str.lower))]
    (root / "CoRS").mkdir()
    with open(root / "CoRS_labels.txt", "w", encoding="utf-8") as labels:
        for index in range(utts):
            speaker = speakers[index % len(speakers)]
            for ending in endings:
                name = f"{speaker}_{index // len(speakers) + 1:03d}{ending}.wav"
                labels.write(f"{speaker} {name} {'spoof' if ending else 'bonafide'}\n")
                (root / "CoRS" / name).touch()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--utts", type=int, default=44_455)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        make(root, options.utts)
        base = 0.0
        for name, part in PARTS.items():
            command = [sys.executable, "-c", FRAME.format(part=part), root / "CoRS_labels.txt"]
            result = subprocess.run(command, env={"PYTHONPATH": str(LIB)}, capture_output=True, text=True, check=True)
            seconds, kilobytes = map(float, result.stderr.split())
            base = base or seconds
            print(f"{name:40s} {seconds:6.2f} s  {seconds / base:5.1f} x  {kilobytes / 1024:6.0f} MB peak", flush=True)


if __name__ == "__main__":
    main()
