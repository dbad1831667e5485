#!/usr/bin/env python3
"""Check which settings of which codecs are good enough for the mini corpus; a script for maintainers.

    python3 local/codec_data.py --packages packages --out codec_data
    spooftrace codec train ../../conf/codec/rvq_time.yaml --data codec_data/train --out exp/rvq_time
    python3 local/check_codecs.py exp/rvq_time --data codec_data --out corpus/codecs
    python3 local/codec_table.py corpus/codecs

Copies the prompts of OUT/unseen, three voices that no codec was trained on, with every number of quantizers that the
codec was trained for. Writes the metrics and the summary of the training to corpus/codecs/NAME.json:

  CER     Whisper-base's transcript of the copy against its transcript of the original: mean over the Italian and the
          English prompts, each at most 1. The Spanish prompts are separate: they were recorded at home with audible
          reverberation, and Whisper errs on the originals
  mel     distance of 80-band mel spectra in dB (up to 3.4 kHz for a codec at 8 kHz)
  DNSMOS  overall quality by Microsoft's model, of the originals too; needs the PyPI packages speechmos and onnxruntime
  speed   seconds of audio coded and decoded in one second of one processor core
  effect  of semantic distillation: mutual information in bits of the first code and clusters of Whisper-base features
          (the teacher is another model, Whisper-tiny); of disentanglement: speaker similarity before and after swapping
          the voices of two prompts, which needs the PyPI package resemblyzer (without its dependencies)

A setting passes with a CER below 0.1 if the mel distance decreases with each setting of the codec. If any setting
passes, the weights are copied to corpus/codecs/NAME.safetensors.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import shutil
import sys
import time
from collections.abc import Callable
from functools import cache, partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import soxr
import torch
from ge2e import SpeakerEncoder, find_weights

from spooftrace.audio import read_audio
from spooftrace.audio.writing import to_int16
from spooftrace.codecs.codec import NeuralCodec
from spooftrace.codecs.training import SUMMARY, WEIGHTS
from spooftrace.codecs.weights import load_codec
from spooftrace.common.errors import InputError
from spooftrace.common.json_files import write_json
from spooftrace.common.sample_rate import SAMPLE_RATE
from spooftrace.datadir import DataDir
from spooftrace.derive.quality import Transcriber, character_error_rate, mel_distance, mutual_information
from spooftrace.frontends.teacher import extract_teacher

MAX_CER = 0.1
HARD = "tuxpaint-es"
SWAPPED = ("ast-it", "tuxpaint-es")
NARROW_TOP = 3400.0  # Hz, for codecs at 8 kHz
SCORED = 3  # prompts of each voice for DNSMOS
PROBE = 80  # prompts for the effect of semantic distillation
CLUSTERS = 50
SEMANTIC_BASELINE = "rvq8_freq"  # the same codec without distillation
JUDGE, JUDGE_LAYER = "openai/whisper-base", 4

Voices = dict[str, list[np.ndarray]]
Rates = dict[str, list[float]]


def read_voices(folder: Path) -> Voices:
    """Read a data directory as speaker -> waves at 16 kHz."""
    data = DataDir.read(folder)
    voices: Voices = {}
    for utt in data.utts:
        voices.setdefault(data.table("utt2spk")[utt], []).append(read_audio(data.table("wav.scp")[utt], SAMPLE_RATE))
    return voices


def at_16k(codec: NeuralCodec, wave: np.ndarray, decode: Callable[[torch.Tensor], torch.Tensor]) -> np.ndarray:
    """Apply ``decode`` to a wave (N,) at the codec's rate and level; returns float32 (N,) at 16 kHz."""
    own = soxr.resample(wave, SAMPLE_RATE, codec.sample_rate) if codec.sample_rate != SAMPLE_RATE else wave
    copy = decode(codec.normalize(torch.from_numpy(np.ascontiguousarray(own))[None]))[0].numpy()
    copy = soxr.resample(copy, codec.sample_rate, SAMPLE_RATE) if codec.sample_rate != SAMPLE_RATE else copy
    return np.pad(copy[: len(wave)], (0, max(len(wave) - len(copy), 0)))


class Judge:
    """Transcripts and DNSMOS of the originals, and the comparison of copies with them."""

    def __init__(self, voices: Voices) -> None:
        self.voices = voices
        self.transcribe = Transcriber()
        self.transcripts = {name: self.transcribe(waves, language(name)) for name, waves in voices.items()}
        self.score_quality = load_dnsmos()
        self.original_quality = self.quality(voices)

    def quality(self, voices: Voices) -> float | None:
        """Return the mean DNSMOS of the first prompts of each voice; None without the packages."""
        score_quality = self.score_quality
        if score_quality is None:
            return None
        return float(np.mean([score_quality(wave) for waves in voices.values() for wave in waves[:SCORED]]))

    def compare(self, codec: NeuralCodec, count: int) -> dict[str, Any]:
        """Return the metrics of a codec with ``count`` quantizers."""
        began = time.process_time()
        copies = {
            name: [at_16k(codec, wave, lambda own: codec.copy(own, count)) for wave in waves]
            for name, waves in self.voices.items()
        }
        seconds = sum(len(wave) for waves in self.voices.values() for wave in waves) / SAMPLE_RATE
        speed = seconds / (time.process_time() - began)
        top = NARROW_TOP if codec.sample_rate == 8000 else SAMPLE_RATE / 2
        rates: Rates = {}
        distances = []
        for name, waves in copies.items():
            pairs = zip(self.transcripts[name], self.transcribe(waves, language(name)), strict=True)
            rates[name] = [character_error_rate(*pair) for pair in pairs]
            distances += [mel_distance(*pair, top) for pair in zip(waves, self.voices[name], strict=True)]
        hard = rates.pop(HARD)
        return {
            "quantizers": count,
            "kbps": round(codec.kbps(count), 2),
            "cer": round(float(np.mean([rate for of_voice in rates.values() for rate in of_voice])), 4),
            "cer_hard": round(float(np.mean(hard)), 4),
            "mel_db": round(float(np.mean(distances)), 3),
            "dnsmos": self.quality(copies),
            "times_real_time": round(speed, 1),
        }


def language(voice: str) -> str:
    """Return the language of a source: ``it`` of ``ast-it``."""
    return voice.split("-", 1)[1]


def load_dnsmos() -> Callable[[np.ndarray], float] | None:
    """Return a function wave (N,) at 16 kHz -> overall DNSMOS P.835 (Reddy et al. 2022); None without its packages."""
    package = importlib.util.find_spec("speechmos")
    if package is None or package.origin is None or importlib.util.find_spec("onnxruntime") is None:
        print("check_codecs.py: no DNSMOS (needs the packages speechmos and onnxruntime); skipped", file=sys.stderr)
        return None
    onnxruntime = importlib.import_module("onnxruntime")
    model = Path(package.origin).parent / "dnsmos_models" / "sig_bak_ovr.onnx"
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(model), options)
    length = int(9.01 * SAMPLE_RATE)

    def score(wave: np.ndarray) -> float:
        wave = np.resize(wave / max(1.0, np.abs(wave).max()), length).astype(np.float32)
        raw = float(session.run(None, {"input_1": wave[None]})[0][0][2])
        return -0.06766283 * raw**2 + 1.11546468 * raw + 0.04602535  # the published mapping to the listeners' scale

    return score


@cache
def probe_clusters(data: Path) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return waves of the Italian voice, and for each the clusters (T,) of Whisper-base features, 50 per second."""
    from sklearn.cluster import MiniBatchKMeans

    paths = sorted((data / "audio" / "ast-it").glob("*.flac"))
    paths = paths[:: max(1, len(paths) // PROBE)][:PROBE]
    waves = [read_audio(path, SAMPLE_RATE) for path in paths]
    features = extract_teacher([to_int16(wave, 32767) for wave in waves], JUDGE, JUDGE_LAYER)
    stacked = np.concatenate(features).astype(np.float32)
    stacked = (stacked - stacked.mean(0)) / (stacked.std(0) + 1e-5)
    labels = MiniBatchKMeans(CLUSTERS, batch_size=4096, n_init=3, random_state=0).fit_predict(stacked)
    return waves, np.split(labels, np.cumsum([len(frames) for frames in features])[:-1])


def semantic_effect(codec: NeuralCodec, data: Path) -> dict[str, float]:
    """Return the mutual information in bits of the first code and the cluster of each frame."""
    codes, clusters = [], []
    for wave, labels in zip(*probe_clusters(data), strict=True):
        first_codes = codec.encode(codec.normalize(torch.from_numpy(wave)[None]), 1)[0, 0].numpy()
        count = min(len(first_codes), len(labels))
        codes.append(first_codes[:count])
        clusters.append(labels[:count])
    bits = mutual_information(np.concatenate(codes), np.concatenate(clusters))
    return {"first_code_bits": round(bits, 3), "frames": sum(map(len, codes))}


def swap_effect(codec: NeuralCodec, voices: Voices) -> dict[str, float]:
    """Return the similarity to both speakers of copies with the own voice and with that of the other speaker."""
    weights = find_weights()
    if weights is None:
        print("check_codecs.py: no swap test (needs the package resemblyzer); skipped", file=sys.stderr)
        return {}
    encoder = SpeakerEncoder(weights)
    centres = {name: np.mean([encoder(wave) for wave in waves], axis=0) for name, waves in voices.items()}
    centres = {name: centre / np.linalg.norm(centre) for name, centre in centres.items()}
    similarities: dict[str, list[float]] = {}
    for speaker, other in (tuple(voices), tuple(voices)[::-1]):
        for wave, other_wave in zip(voices[speaker], voices[other], strict=True):
            voice = codec.voice(codec.normalize(torch.from_numpy(other_wave)[None]))
            own = encoder(at_16k(codec, wave, codec.copy))
            swapped = encoder(at_16k(codec, wave, partial(copy_with_voice, codec, voice)))
            for kind, embedding in (("own", own), ("swapped", swapped)):
                similarities.setdefault(f"{kind}_to_speaker", []).append(float(embedding @ centres[speaker]))
                similarities.setdefault(f"{kind}_to_other", []).append(float(embedding @ centres[other]))
    return {name: round(float(np.mean(values)), 3) for name, values in similarities.items()}


def copy_with_voice(codec: NeuralCodec, voice: torch.Tensor, wave: torch.Tensor) -> torch.Tensor:
    """Encode and decode ``wave`` (1, N) with another voice (1, 33)."""
    return codec.decode(codec.encode(wave), wave.shape[-1], voice)


def check(folder: Path, name: str, judge: Judge, data: Path) -> dict[str, Any]:
    """Return all metrics of a codec."""
    codec = load_codec(folder / WEIGHTS)
    summary = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
    settings = [judge.compare(codec, count) for count in sorted(summary["training"]["quantizers"])]
    falls = all(a["mel_db"] > b["mel_db"] for a, b in pairwise(settings))
    passed = [setting["quantizers"] for setting in settings if setting["cer"] < MAX_CER and falls]
    effect: dict[str, float] = {}
    if codec.config["auxiliary"] == "semantic" or name == SEMANTIC_BASELINE:
        effect |= semantic_effect(codec, data)
    if codec.config["auxiliary"] == "disentanglement":
        effect |= swap_effect(codec, {name: judge.voices[name] for name in SWAPPED})
    return {
        "name": name,
        "passed": passed,
        "mel_falls": falls,
        "settings": settings,
        "originals_dnsmos": judge.original_quality,
        "effect": effect,
        "summary": summary,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "codecs", type=Path, nargs="+", help="folders of 'spooftrace codec train'; their names name them"
    )
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="what codec_data.py wrote")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    args = parser.parse_args()
    torch.set_num_threads(1)
    try:
        judge = Judge(read_voices(args.data / "unseen"))
        for folder in args.codecs:
            result = check(folder, folder.name, judge, args.data)
            args.out.mkdir(parents=True, exist_ok=True)
            write_json(args.out / f"{folder.name}.json", result, sort_keys=False)
            if result["passed"]:
                shutil.copyfile(folder / WEIGHTS, args.out / f"{folder.name}.safetensors")
            rates = [f"Q={s['quantizers']} CER {s['cer']:.3f} mel {s['mel_db']:.2f}" for s in result["settings"]]
            print(
                f"{folder.name}: passes at {result['passed'] or 'no setting'}; {', '.join(rates)}; {result['effect']}",
                flush=True,
            )
    except InputError as error:
        print(f"check_codecs.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
