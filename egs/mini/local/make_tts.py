#!/usr/bin/env python3
"""Make data/eval_tts, a separate test set: speech of text-to-speech programs and the bona fide speech of data/eval.

    python3 local/make_tts.py data

Uses the installed programs and names the missing ones: espeak-ng (formants) and flite (statistical), from the
distribution's packages of these names, and hibari (a small neural voice), by 'pip install hibari-tts'. Every program
speaks the same sentences, alternating its voices. Silence is removed, and the post-processing is that of the corpus
(spooftrace.audio.postprocessing). These are no copies: words, language and voices differ from the bona fide speech. The
set shows how a detector handles synthesis from text as a whole, not only the generation of a waveform.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import soundfile as sf

from spooftrace.audio import read_audio, write_flac
from spooftrace.audio.postprocessing import high_pass, postprocess, trim_silence
from spooftrace.common.errors import InputError
from spooftrace.common.sample_rate import SAMPLE_RATE
from spooftrace.datadir import DataDir

TABLES = ("wav.scp", "utt2spk", "utt2dur", "utt2label", "utt2attack")


@dataclass(frozen=True)
class Engine:
    """A program, its arguments with placeholders for voice, output file and text, and its voices."""

    program: str
    arguments: tuple[str, ...]
    voices: tuple[str, ...]


ENGINES = {
    "espeak": Engine("espeak-ng", ("-v", "{voice}", "-w", "{wav}", "{text}"), ("en-gb", "en-us", "en-gb-scotland")),
    "flite": Engine("flite", ("-voice", "{voice}", "-o", "{wav}", "-t", "{text}"), ("slt", "rms", "awb")),
    "hibari": Engine(
        "hibari", ("--voice", "{voice}", "--seed", "0", "--threads", "1", "-o", "{wav}", "{text}"), ("heart",)
    ),
}
# Two to three seconds each, as long as the bona fide utterances.
SENTENCES = (
    "Please leave your name and your number.",
    "The green boat crossed the river just before noon.",
    "She counted seven black birds on the wire.",
    "Press four to hear the whole message again.",
    "An old piano stood behind the kitchen door.",
    "Nobody knows where the second map has gone.",
    "The train to the coast leaves today at nine.",
    "Put the apples next to the big yellow bowl.",
    "Your call will be answered by the next adviser.",
    "We walked all the way home through heavy rain.",
    "This drawer is full of broken pencils and string.",
    "A small dog chased the shadow of a cloud.",
    "Enter the last three digits of your card number.",
    "He painted every single window frame dark blue.",
    "There is a spider in the old watering can.",
    "The baker opens his shop long before sunrise.",
    "You have two new messages and one old message.",
    "My sister plays the trumpet on Friday evenings.",
    "Snow fell quietly over the empty market square.",
    "Turn left at the church and then drive uphill.",
    "The kitten slept all day inside a woollen hat.",
    "Hold the line while I look for the other form.",
    "Five paper lanterns were hanging in the garden.",
    "It was already too dark to read the road signs.",
    "Thank you very much for waiting, goodbye for now.",
    "The lighthouse keeper boiled some water for tea.",
    "Both clocks had stopped at a quarter past ten.",
    "A goose, a cow and a horse were grazing nearby.",
)


def speak(engine: Engine, voice: str, text: str, utt: str, target: Path) -> None:
    """Synthesize ``text`` with ``engine``, post-process the speech and write it to ``target``.

    Raises:
        InputError: The program fails, or its speech is silent.
    """
    with tempfile.TemporaryDirectory() as folder:
        wav = Path(folder) / "speech.wav"
        words = [word.format(voice=voice, wav=wav, text=text) for word in engine.arguments]
        result = subprocess.run([engine.program, *words], capture_output=True, text=True, stdin=subprocess.DEVNULL)
        if result.returncode or not wav.is_file():
            reason = (result.stderr.strip().splitlines() or [f"exit status {result.returncode}"])[-1]
            raise InputError(f"{utt}: {engine.program} failed: {reason}; run it by hand, or take it off the PATH")
        wave = read_audio(wav, SAMPLE_RATE)
    write_flac(target, postprocess(trim_silence(high_pass(wave)), utt))


def make_set(data: Path) -> DataDir | None:
    """Make the missing files of ``data/eval_tts``; returns None if no program is installed and no file exists.

    Raises:
        InputError: ``data/eval`` is not there, or a program fails.
    """
    original = DataDir.read(data / "eval")
    labels = original.table("utt2label")
    tables = {
        name: {utt: original.table(name)[utt] for utt in original.utts if labels[utt] == "bonafide"} for name in TABLES
    }
    missing = []
    for name, engine in ENGINES.items():
        installed = shutil.which(engine.program)
        if not installed:
            missing.append(engine.program)
        for number, text in enumerate(SENTENCES):
            voice = engine.voices[number % len(engine.voices)]
            utt = f"tts-{name}-{voice}-{number:02d}"
            target = data / "audio" / name / f"{utt}.flac"
            if not target.is_file():
                if not installed:
                    continue
                speak(engine, voice, text, utt, target)
            values = (str(target), f"{name}-{voice}", f"{sf.info(target).duration:.4f}", "spoof", name)
            for table, value in zip(TABLES, values, strict=True):
                tables[table][utt] = value
    if missing:
        print(f"make_tts.py: not installed: {', '.join(missing)}; see local/make_tts.py --help", file=sys.stderr)
    if len(set(tables["utt2label"].values())) < 2:
        print(f"make_tts.py: no {data / 'eval_tts'}; the other sets need none of these programs", file=sys.stderr)
        return None
    return DataDir.write(data / "eval_tts", tables)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder of the data directories; eval must be there")
    args = parser.parse_args()
    try:
        directory = make_set(args.data)
    except InputError as error:
        print(f"make_tts.py: {error}", file=sys.stderr)
        return 1
    if directory:
        spoof = sum(label == "spoof" for label in directory.table("utt2label").values())
        print(f"{directory.path}: {len(directory.utts) - spoof} bona fide, {spoof} synthesized utterances")
    return 0


if __name__ == "__main__":
    sys.exit(main())
