"""ST-Codecfake: source tracing of neural codecs, six of them seen in training, five unseen.

Where it comes from. Zenodo 14631091 (train, dev, eval_id, eval_ood, labels) and 14631085 (the other sets); licence
CC BY-NC-ND. Paper: Xie et al. 2025, "Neural codec source tracing: toward comprehensive attribution in open-set
condition", arXiv 2501.06514.

How it lies on disk (``--root`` is ``st-codecfake`` or the folder with it)::

    st-codecfake/label/{train,dev,eval_id,eval_ood7,eval_ood8-11}.txt     'label' may be missing, the files then lie in
    st-codecfake/{train,dev,eval_id,eval_ood}/*.wav                       st-codecfake itself
    st-codecfake/ID_diff_config/{C3-1,...,C3-4,C4-1,...,C4-3}/*.wav       no labels here and below:
    st-codecfake/ID_diff_source/{NCSSD-mimi,NCSSD-snac}/*.wav             the folder tells the class
    st-codecfake/OOD_diff_config/wavtokenizer_small40/*.wav
    st-codecfake/OOD_diff_source/NCSSD_wavtokenizer/*.wav
    st-codecfake/ALM/{moshi,mini-omni,speechgpt-gen,valle}/*.wav          mini-omni may have a folder A1-A2 inside

A line is ``FILE real|fake CLASS``, e.g. ``encodec_p230_135.wav fake 4``. Data directories: ``train``, ``dev``,
``eval_id``, ``eval_ood`` (both label files), ``config_C3-1`` ..., ``source_mimi`` ..., ``config_small40``,
``source_wavtokenizer``, ``alm_moshi`` ... Sets without bona fide speech are of use for source tracing only.

``utt2attack`` is the number of the class, ``-`` for real speech, whose ``utt2codec`` is ``real``. Classes 1 to 7 are
the codecs of ``CODECS``. Which of AcademiCodec, DAC, AudioDec and SoundStream is 8, 9, 10 or 11 has not been
verified, so ``utt2codec`` of these comes from the beginning of the file name, and is ``-`` if that names none of them.
C3-4 is FunCodec (class 3) as its name says; the authors' README has a 4 there, against their own results.

``utt2nac`` describes the usual checkpoint of a codec, ``-`` where it is not known which one was used. The paper's table
of configurations has not been compared; do that before citing figures of source parsing.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from spooftrace.corpora.codecfake_xie import LINE, add_file
from spooftrace.corpora.corpus import Corpus, Expected, MissingFiles
from spooftrace.corpora.folder_tree import Tree
from spooftrace.corpora.protocol import Trials, rows
from spooftrace.corpora.request import Request
from spooftrace.datadir import DataDir

CODECS = {
    "1": "mimi",
    "2": "speechtokenizer",
    "3": "funcodec",
    "4": "encodec",
    "5": "facodec",
    "6": "snac",
    "7": "wavtokenizer",
}
UNORDERED = ("academicodec", "dac", "audiodec", "soundstream")  # 8 to 11, one way or the other
CLASSES = [str(number) for number in range(1, 12)]
# codec -> kHz, kbit/s, quantizers of its usual checkpoint
PARAMETERS = {
    "mimi": "24 1.1 8",
    "speechtokenizer": "16 4 8",
    "funcodec": "16 16 32",
    "encodec": "24 6 8",
    "facodec": "16 4.8 6",
    "snac": "24 0.98 3",
    "wavtokenizer": "24 0.9 1",
    "academicodec": "- - 4",  # exists at 16 and 24 kHz
    "audiodec": "24 6.4 8",
    "soundstream": "16 - -",
}
UNKNOWN = "- - -"


@dataclass(frozen=True)
class Folder:
    """A set without labels: where it lies, the class of all its files, how many there are, codec parameters."""

    paths: tuple[str, ...]
    kind: str
    files: int | None = None
    nac: str | None = None


LABELLED = {
    "train": (("train",), "train", Expected(10000, 60000, dict.fromkeys(CLASSES[:6], 10000))),
    "dev": (("dev",), "dev", Expected(1000, 6000, dict.fromkeys(CLASSES[:6], 1000))),
    "eval_id": (("eval_id",), "eval_id", Expected(13228, 79368, dict.fromkeys(CLASSES[:6], 13228))),
    "eval_ood": (("eval_ood7", "eval_ood8-11"), "eval_ood", Expected(0, 66140, dict.fromkeys(CLASSES[6:], 13228))),
}
# Numbers of files as in the authors' result files; their README says 10,000 for all but speechgpt-gen.
FOLDERS = {
    **{
        f"config_C{kind}-{variant}": Folder((f"ID_diff_config/C{kind}-{variant}",), kind, 13228, UNKNOWN)
        for kind, variants in (("3", "1234"), ("4", "123"))
        for variant in variants
    },
    "source_mimi": Folder(("ID_diff_source/NCSSD-mimi",), "1"),
    "source_snac": Folder(("ID_diff_source/NCSSD-snac",), "6"),
    "config_small40": Folder(("OOD_diff_config/wavtokenizer_small40",), "7", None, "24 0.48 1"),
    "source_wavtokenizer": Folder(("OOD_diff_source/NCSSD_wavtokenizer",), "7"),
    "alm_moshi": Folder(("ALM/moshi",), "1"),
    "alm_mini-omni": Folder(("ALM/mini-omni/A1-A2", "ALM/mini-omni"), "6"),
    "alm_speechgpt-gen": Folder(("ALM/speechgpt-gen",), "2", 18),
    "alm_valle": Folder(("ALM/valle",), "4", 4436),
}


def prepare(request: Request) -> list[DataDir]:
    """Write the four labelled sets and one for each folder of the open-set part."""
    tree = [*LABELLED, *(path for entry in FOLDERS.values() for path in entry.paths)]
    corpus = Corpus.from_request("ST-Codecfake", request, (*LABELLED, *FOLDERS), inner=("st-codecfake",), tree=tree)
    protocols = {name: [f"label/{labels[0]}.txt", f"{labels[0]}.txt"] for name, (labels, *_) in LABELLED.items()}
    for name, path in corpus.label_files(protocols, LINE).items():
        with corpus.preparing(name):
            labels, folder, expected = LABELLED[name]
            trials = add_protocol(new_trials(), path)
            for label in labels[1:]:
                add_protocol(trials, corpus.find(f"label/{label}.txt", f"{label}.txt"))
            corpus.write(name, trials, expected, [folder], ".wav", labels=path)
    for name, entry in FOLDERS.items():
        if not corpus.selected(name):
            continue
        with corpus.preparing(name):
            audio = corpus.find(*entry.paths)
            count = None if entry.files is None else Expected(0, entry.files)
            corpus.write(name, read_folder(audio, entry), count, audio, ".wav")
    return corpus.finish()


def read_protocol(path: str | Path) -> Trials:
    """The utterances of a label file: speaker and source, label, class (``utt2attack``), codec and its parameters.

    Raises:
        InputError: a line is not of this corpus (file and line are named).
    """
    return add_protocol(new_trials(), path)


def new_trials() -> Trials:
    """No utterances yet."""
    return Trials(known={"utt2attack": {"-", *CLASSES}})


def add_protocol(trials: Trials, path: str | Path) -> Trials:
    """Add the utterances of a label file."""
    for number, (file, label, kind) in rows(path, 3):
        add_utterance(trials, (path, number), file, label, kind)
    return trials


def add_utterance(
    trials: Trials, at: tuple[str | Path, int], file: str, label: str, kind: str, nac: str | None = None
) -> None:
    """Add one file; ``nac`` are its codec parameters where they are not those of the usual checkpoint."""
    named = file.split("_")[0].lower()
    codec = CODECS.get(kind) or (named if named in UNORDERED else "-")
    add_file(trials, at, file, label, kind, attack=kind, codec=codec)
    parameters = UNKNOWN if label == "real" else nac or PARAMETERS.get(codec, UNKNOWN)
    trials.tables.setdefault("utt2nac", {})[file.removesuffix(".wav")] = parameters


def read_folder(audio: Path, entry: Folder) -> Trials:
    """The utterances of a set without labels: all files of its folder, as fake speech of its class.

    Raises:
        InputError: a file name has white space.
        MissingFiles: there are no files.
    """
    trials = new_trials()
    by_extension = Tree().folder(audio).audio
    extension = max((".wav", ".flac"), key=lambda extension: len(by_extension.get(extension, ())))
    files = sorted(f"{stem}.wav" for stem in by_extension.get(extension, ()))
    if not files:
        raise MissingFiles(f"{audio}: has no .wav files; unpack or download them again")
    for number, file in enumerate(files, start=1):
        add_utterance(trials, (audio, number), file, "fake", entry.kind, entry.nac)
    return trials
