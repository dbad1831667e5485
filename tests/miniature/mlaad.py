"""MLAAD in miniature, with the M-AILABS recordings that it copies."""

from __future__ import annotations

from pathlib import Path

from miniature.speech import Speech

HEADER = "path|original_file|language|is_original_language|duration|training_data|model_name|architecture|transcript\n"
# language, folder of the attack, architecture, sampling rate
ATTACKS = [
    ("en", "tts_models_en_ljspeech_vits", "VITS", 22050),
    ("en", "tts_models_multilingual_multi-dataset_bark", "bark", 24000),
    ("en", "griffin lim", "Griffin Lim", 16000),
    ("de", "tts_models_multilingual_multi-dataset_bark", "bark", 24000),
]
COUNT = 5
PLACES = ["female/elizabeth_klett/jane_eyre", "male/elliot_miller/poisoned_pen", "mix/northandsouth"]
# The second opens a quotation that it does not close, as sentences cut out of books do.
TRANSCRIPTS = ['"Well," she said.', '"Stop, he cried.', "Nothing more.", "A; b, c.", "'Tis so."]


def lay_out(speech: Speech, root: Path) -> None:
    """Write ``fake`` and ``mailabs`` below ``root``."""
    originals: list[str] = []
    for number, (language, attack, architecture, rate) in enumerate(ATTACKS):
        folder = root / "fake" / language / attack
        lines = [HEADER]
        for index in range(COUNT):
            locale = {"en": "en_US", "de": "de_DE"}[language]
            place = PLACES[index % len(PLACES)]
            name = f"{place.rpartition('/')[2]}_{index:02d}_f000{index:03d}.wav"
            original = f"{locale}/by_book/{place}/wavs/{name}"
            originals.append(original)
            speech.write(folder / name, "spoof", index, rate)
            # Both ways to write the path occur.
            path = f"./fake/{language}/{attack}/{name}" if number % 2 else name
            fields = [path, original, language, "True", "2.5", "?", attack, architecture, TRANSCRIPTS[index]]
            lines.append("|".join(fields) + "\n")
        (folder / "meta.csv").write_text("".join(lines))
    for index, original in enumerate(dict.fromkeys(originals)):
        speech.write(root / "mailabs" / original, "bonafide", index)
    speech.write(root / "mailabs/en_US/by_book/mix/northandsouth/wavs/unused.wav", "bonafide", 0)
