#!/usr/bin/env python3
"""Compare the copies of the mini corpus, sample by sample, with those behind the metrics in the README.

Usage: local/check_copies.py DATA [--write]      DATA holds train, dev, eval and their 8 kHz sets

corpus/copies.sha256 holds, for each attack, the SHA-256 of the samples (16 bit, little-endian) of all its copies in the
order of their ids. Samples and not files: a FLAC encoder may pack the same samples in several ways. --write makes the
file anew.
"""

import argparse
import hashlib
import sys
from pathlib import Path

import soundfile

from spooftrace.common.atomic import atomic_write
from spooftrace.corpora.mini import SETS
from spooftrace.derive.listed_copies import Copy, planned_copies

SUMS = Path(__file__).resolve().parents[1] / "corpus/copies.sha256"


def sums(copies: list[Copy]) -> dict[str, str]:
    """Attack -> SHA-256 of the samples of its copies, in the order of their ids."""
    digests: dict[str, hashlib._Hash] = {}
    for copy in sorted(copies, key=lambda copy: copy.utt):
        samples, _ = soundfile.read(copy.target, dtype="int16")
        digests.setdefault(copy.attack, hashlib.sha256()).update(samples.astype("<i2").tobytes())
    return {attack: digest.hexdigest() for attack, digest in sorted(digests.items())}


def read_sums(path: Path) -> dict[str, str]:
    """Attack -> SHA-256, of a file with lines "SHA256  ATTACK"."""
    pairs = (line.split("  ") for line in path.read_text(encoding="utf-8").splitlines())
    return {attack: digest for digest, attack in pairs}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--write", action="store_true", help="make corpus/copies.sha256 anew")
    args = parser.parse_args()
    copies = planned_copies([args.data / name for name in SETS])
    current = sums(copies)
    if args.write:
        with atomic_write(SUMS, "w") as file:
            file.writelines(f"{digest}  {attack}\n" for attack, digest in current.items())
        return 0
    known = read_sums(SUMS)
    other = sorted(attack for attack in current if current[attack] != known.get(attack))
    if other:
        print(
            f"check_copies.py: {args.data}: the copies by {', '.join(other)} are not sample for sample those that the "
            "README's figures were measured on; error rates may differ by some tenths of a point",
            file=sys.stderr,
        )
    else:
        print(f"{args.data}: all {len(copies):,} copies are sample for sample those of the README's figures")
    return 0


if __name__ == "__main__":
    sys.exit(main())
