#!/usr/bin/env python3
"""Check whether a codec's copies are intelligible: Whisper's transcript of a copy against that of its original.

    spooftrace codec resynthesize OUT/heldout --out copies --attack codec_q8 codec_q4 \\
        --codec corpus/codec_rvq8.safetensors
    python3 local/check_intelligibility.py copies

For each attack: mean character error rate over the utterances, each at most 1. Needs Whisper-base with its decoder
(tools/get_model.sh whisper-base).
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from functools import cache
from pathlib import Path

from spooftrace.audio import read_audio
from spooftrace.common.errors import InputError
from spooftrace.common.progress import Progress
from spooftrace.datadir import DataDir
from spooftrace.derive.quality import Transcriber, character_error_rate


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="+", help="data directories of copies, with utt2source")
    parser.add_argument("--language", default="en", help="of the prompts (default: en)")
    args = parser.parse_args()
    try:
        whisper = Transcriber(seconds=30)

        @cache
        def transcribe(path: str) -> str:
            return whisper([read_audio(path)], args.language)[0]

        for folder in args.data:
            data = DataDir.read(folder)
            rates = defaultdict(list)
            with Progress(f"transcribing {folder}", len(data.utts)) as progress:
                for utt in data.utts:
                    original = transcribe(data.table("utt2source")[utt])
                    copy = transcribe(data.table("wav.scp")[utt])
                    rates[data.table("utt2attack")[utt]].append(character_error_rate(original, copy))
                    progress.advance()
            for attack, values in sorted(rates.items()):
                mean = sum(values) / len(values)
                print(f"{folder}  {attack}  CER {mean:.3f}  over {len(values)} utterances, worst {max(values):.3f}")
    except InputError as error:
        print(f"check_intelligibility.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
