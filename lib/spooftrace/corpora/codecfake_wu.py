"""CodecFake of Wu, Tseng and Lee: VCTK re-synthesized by 15 neural codecs of six families.

Where it comes from. Hugging Face, ``rogertseng/CodecFake_wavs`` (a zip for each codec) and ``rogertseng/CodecFake``
(the same as parquet files, and ``datalist.csv``); licence CC BY 4.0. Paper: Wu, Tseng and Lee 2024, "CodecFake:
enhancing anti-spoofing models against deepfake audios from codec-based speech synthesis systems", Interspeech.

How it lies on disk. Unpacked zips anywhere below ``--root``, and if you have it the list (parquet is not read)::

    datalist.csv                                 wavpath,label,speaker_id,codec_name
    encodec_24khz/encodec_24khz+p272_103.wav     CODEC+UTT.wav; sampling rates differ from codec to codec
    genuine/genuine+p225_273.wav                 bona fide; the zips are reported to hold none

A line of the list is ``encodec_24khz+p272_103.wav,encodec_24khz,p272,encodec_24khz``, with or without folders before
the file's name; label and codec of bona fide speech are ``genuine``. Without the list, the names of the files tell the
same. The number of bona fide files has not been published, so only the codecs are counted.

Data directories: ``train``, ``dev`` (speakers p226, p229), ``eval`` (p227, p228), as the authors' code splits; each
codec has 42,752, 735 and 755 utterances there, as papers that use the corpus report. ``valle``: speech of VALL-E's
demo page, where the list has it.

Beware. An early version of the list begins with a row for the folder of the audio; such a row is passed over. The
authors called EnCodec without a bit rate, so which one was used (perhaps 1.5 kbit/s) is not certain: ``utt2nac`` has
``-``. Other parameters are those of the checkpoints that the authors' code names, bit rates partly derived.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path, PurePosixPath

from spooftrace.common.audio_suffixes import LOSSLESS
from spooftrace.common.english import first_of
from spooftrace.common.errors import InputError
from spooftrace.corpora.corpus import Corpus, Expected, MissingFiles
from spooftrace.corpora.protocol import LABELS, Trials, csv_rows
from spooftrace.corpora.request import Request
from spooftrace.corpora.spelling import fold, respell
from spooftrace.datadir import DataDir

GENUINE, DEMO = "genuine", "valle"
SPEAKERS = {"p226": "dev", "p229": "dev", "p227": "eval", "p228": "eval"}  # the others are train
# codec -> kHz, kbit/s, quantizers
CODECS = {
    "SpeechTokenizer": "16 4 8",
    "academicodec_hifi_16k_320d": "16 2 4",
    "academicodec_hifi_16k_320d_large_uni": "16 2 4",
    "academicodec_hifi_24k_320d": "24 3 4",
    "audiodec_24k_320d": "24 6.4 8",
    "descript-audio-codec-16khz": "16 6 12",
    "descript-audio-codec-24khz": "24 24 32",
    "descript-audio-codec-44khz": "44.1 7.74 9",
    "encodec_24khz": "24 - -",
    "funcodec-funcodec_en_libritts-16k-gr1nq32ds320": "16 16 32",
    "funcodec-funcodec_en_libritts-16k-gr8nq32ds320": "16 16 32",
    "funcodec-funcodec_en_libritts-16k-nq32ds320": "16 16 32",
    "funcodec-funcodec_en_libritts-16k-nq32ds640": "16 8 32",
    "funcodec-funcodec_zh_en_general_16k_nq32ds320": "16 16 32",
    "funcodec-funcodec_zh_en_general_16k_nq32ds640": "16 8 32",
}
FOLDED = {fold(name): name for name in (*CODECS, GENUINE)}  # spelling without letter case -> name
UNKNOWN = "- - -"
PER_CODEC = {"train": 42752, "dev": 735, "eval": 755}
SETS = tuple(PER_CODEC)
COUNTS = {name: Expected(None, len(CODECS) * n, dict.fromkeys(CODECS, n)) for name, n in PER_CODEC.items()}


def prepare(request: Request) -> list[DataDir]:
    """Write ``train``, ``dev`` and ``eval``, and ``valle`` if it is there."""
    corpus = Corpus.from_request(
        "CodecFake (Wu et al.)", request, (*SETS, DEMO), inner=("CodecFake",), tree=tuple(CODECS)
    )
    top = corpus.finder.bases[0]
    files = _audio_files(corpus, top)
    label_file = corpus.finder.labels(("datalist.csv",), r"wavpath,label,speaker_id,codec_name")
    if label_file is not None:
        corpus.record_origin("labels", label_file.parent)
        trials = read_protocol(label_file)
        files = _respelt(files, trials.tables["utt2spk"], top)
    else:
        files = _official_ids(files, top)
        trials = _trials_of_files(files, top)
    if not files:
        raise corpus.not_found("datalist.csv")
    sets: dict[str, list[str]] = {name: [] for name in SETS}
    for utt, speaker in trials.tables["utt2spk"].items():
        demo = trials.tables["utt2codec"][utt] == DEMO
        sets.setdefault(DEMO if demo else SPEAKERS.get(speaker, "train"), []).append(utt)
    for name, utts in sets.items():
        if not corpus.selected(name):
            continue
        with corpus.preparing(name):
            if not utts:
                raise MissingFiles(f"{top}: neither a list nor CODEC+UTT.wav files name an utterance of {name}")
            part = Trials()
            part.tables = {table: {utt: values[utt] for utt in utts} for table, values in trials.tables.items()}
            own = {utt: files.get(utt, f"{utt.partition('+')[0]}/{utt}.wav") for utt in utts}
            corpus.write(name, part, COUNTS.get(name), top, ".wav", own, others=None)
    return corpus.finish()


def _audio_files(corpus: Corpus, top: Path) -> dict[str, str]:
    """Utterance -> file below the root; files in the folder of a codec may lack the codec in their names.

    Raises:
        InputError: Two files have the same id.
    """
    files: dict[str, str] = {}
    for extension, stems in corpus.finder.tree.deep(top).audio.items():
        if extension.lower() not in LOSSLESS:
            continue
        for stem in sorted(stems):
            utt, folder = _utt(stem + extension), PurePosixPath(stem).parent.name
            if "+" not in utt and fold(folder) in FOLDED:
                utt = f"{FOLDED[fold(folder)]}+{utt}"
            if utt in files and "+" in utt:
                raise InputError(
                    f"{top}: {files[utt]} and {stem}{extension} are the same utterance; remove one of them"
                )
            files[utt] = stem + extension
    return files


def _respelt(files: Mapping[str, str], utts: Collection[str], top: Path) -> dict[str, str]:
    """Utterance -> file, including files whose names differ from the list by their spelling; prints what it matched."""
    spelling = respell(utts, files)
    if spelling.files:
        utt, file = min(spelling.files.items())
        print(f"{top}: {len(spelling.files):,} names spelt differently from the list: {file} for {utt}")
    if spelling.ambiguous:
        print(f"{top}: names fit several utterances, rename the files ({first_of(spelling.ambiguous)})")
    return {**files, **{utt: files[file] for utt, file in spelling.files.items()}}


def _official_ids(files: Mapping[str, str], top: Path) -> dict[str, str]:
    """Utterance -> file, with the ids ``CODEC+UTT`` in the official spelling: those of VCTK are lower-case.

    Raises:
        InputError: Two files have the same id.
    """
    official: dict[str, str] = {}
    changed: dict[str, str] = {}
    for utt, file in files.items():
        codec, plus, rest = utt.partition("+")
        if plus and fold(codec) in FOLDED:
            utt = f"{FOLDED[fold(codec)]}+{fold(rest)}"
            if utt != f"{codec}{plus}{rest}":
                changed[utt] = file
        if utt in official and plus:
            raise InputError(f"{top}: {official[utt]} and {file} are the same utterance; remove one of them")
        official[utt] = file
    if changed:
        utt, file = min(changed.items())
        print(f"{top}: {len(changed):,} names spelt differently from the official ids: {file} for {utt}")
    return official


def read_protocol(path: str | Path) -> Trials:
    """The trials of ``datalist.csv``: speaker, label, codec (``utt2attack``, ``utt2codec``), parameters (``utt2nac``).

    Raises:
        InputError: a row is not of this corpus (file and line are named).
    """
    trials = Trials()
    for number, row in csv_rows(path, ("wavpath", "label", "speaker_id", "codec_name")):
        if not row["wavpath"].endswith(".wav") and not len(trials):
            continue  # the folder of the audio
        utt = _utt(row["wavpath"])
        codec, label = row["codec_name"], row["label"]
        if codec != DEMO and (LABELS.get(label.lower()) == "bonafide") != (codec == GENUINE):
            raise InputError(f"{path}:{number}: '{utt}' has label '{label}' but codec '{codec}'; get the file again")
        # The label of a spoofed row is not documented: a word for it, or the codec once more.
        _add(trials, (path, number), utt, row["speaker_id"], codec, "spoof" if label == codec != GENUINE else label)
    return trials


def _trials_of_files(names: Iterable[str], root: Path) -> Trials:
    """The trials that the names of files tell; those without a codec, such as VCTK's own, are passed over."""
    trials = Trials()
    for utt in sorted(names):
        codec, plus, rest = utt.partition("+")
        if plus:
            label = "bonafide" if codec == GENUINE else "spoof"
            _add(trials, (root / utt, 1), utt, rest.partition("_")[0], codec, label)
    return trials


def _utt(file: str) -> str:
    return PurePosixPath(file).stem.replace(" ", "_")


def _add(trials: Trials, at: tuple[str | Path, int], utt: str, speaker: str, codec: str, label: str) -> None:
    if codec not in (*CODECS, GENUINE, DEMO):
        raise InputError(f"{at[0]}:{at[1]}: unknown codec '{codec}' of '{utt}'; the file is damaged, or newer")
    if codec != DEMO and not utt.startswith(f"{codec}+{speaker}_"):
        raise InputError(
            f"{at[0]}:{at[1]}: '{utt}' is not an utterance of '{speaker}' by '{codec}'; "
            "is it the list of another corpus?"
        )
    attack, name = ("-", "real") if codec == GENUINE else (codec, codec)
    trials.add(at, utt, speaker=speaker, label=label, attack=attack, codec=name, nac=CODECS.get(codec, UNKNOWN))
