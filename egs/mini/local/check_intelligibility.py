#!/usr/bin/env python3
"""Can the codec's copies still be understood? Whisper's transcript of a copy against that of its original.

    spooftrace codec resynthesize OUT/heldout --out copies --system codec_q8 codec_q4 \\
        --codec corpus/codec_rvq8.safetensors
    python3 local/check_intelligibility.py copies

For each system: mean character error rate over the utterances, each at most 1. Needs Whisper-base with its decoder
(tools/get_model.sh whisper-base).
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import defaultdict
from pathlib import Path

import torch
from transformers import WhisperForConditionalGeneration, WhisperProcessor

from spooftrace.audio import read_audio
from spooftrace.datadir import DataDir
from spooftrace.errors import InputError
from spooftrace.frontends.weights import find_folder
from spooftrace.progress import Progress


def character_error_rate(reference: str, hypothesis: str) -> float:
    """Edit distance by character over the reference's length, at most 1; case and punctuation do not count.

    >>> character_error_rate("Press one.", "press won")
    0.2222222222222222
    """
    wanted, got = (re.sub(r"[^\w ]", "", text.lower()).strip() for text in (reference, hypothesis))
    row = list(range(len(got) + 1))
    for i, one in enumerate(wanted, 1):
        diagonal, row[0] = row[0], i
        for j, other in enumerate(got, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (one != other))
    return min(1.0, row[-1] / max(1, len(wanted)))


class Transcriber:
    """Greedy Whisper-base transcripts, each file once."""

    def __init__(self) -> None:
        folder = find_folder("openai/whisper-base")
        if folder is None:
            raise InputError("no Whisper-base weights; run tools/get_model.sh whisper-base")
        self.model = WhisperForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()
        self.processor = WhisperProcessor.from_pretrained(folder)
        self.known: dict[str, str] = {}

    def __call__(self, path: str, language: str) -> str:
        if path not in self.known:
            wave = read_audio(path)
            mel = self.processor(wave, sampling_rate=16000, return_tensors="pt").input_features  # (1, 80, 3000)
            tokens = self.model.generate(mel, language=language, task="transcribe", num_beams=1)
            self.known[path] = self.processor.batch_decode(tokens, skip_special_tokens=True)[0]
        return self.known[path]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="+", help="data directories of copies, with utt2source")
    parser.add_argument("--language", default="en", help="of the prompts (default: en)")
    args = parser.parse_args()
    try:
        transcribe = Transcriber()
        for folder in args.data:
            data = DataDir.read(folder)
            rates = defaultdict(list)
            with Progress(f"transcribing {folder}", len(data.utts)) as progress:
                for utt in data.utts:
                    original = transcribe(data.table("utt2source")[utt], args.language)
                    copy = transcribe(data.table("wav.scp")[utt], args.language)
                    rates[data.table("utt2system")[utt]].append(character_error_rate(original, copy))
                    progress.advance()
            for system, values in sorted(rates.items()):
                mean = sum(values) / len(values)
                print(f"{folder}  {system}  CER {mean:.3f}  over {len(values)} utterances, worst {max(values):.3f}")
    except InputError as error:
        print(f"check_intelligibility.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
