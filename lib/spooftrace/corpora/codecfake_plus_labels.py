"""Label files and lists of CodecFake+: the columns of each kind of line, checked against the taxonomy of codecs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from spooftrace.common.errors import InputError
from spooftrace.corpora.codecfake_plus_codecs import CODECS, MODELS, REAL, SPELLINGS
from spooftrace.corpora.codecfake_plus_lists import split_utt
from spooftrace.corpora.protocol import LABELS, Trials, rows

SPLITS = {"train": 42965, "dev": 735, "test": 755}  # utterances of VCTK in each; CoRS has a copy of each by every codec
SPEAKERS = {"p226": "dev", "p229": "dev", "p227": "test", "p228": "test"}  # the other 106 are in train
# Classes as the files spell them, in lower case, where we do not.
CLASSES = {"trad": "none", "scq": "sq"}

BONAFIDE = {"attack": "-", "codec": REAL, "vq": REAL, "aux": REAL, "dec": REAL, "nac": "- - -"}
# Codec key -> what the tables say; made once, not for each of a million rows.
COLUMNS = {"": BONAFIDE} | {
    key: {"attack": key, "codec": key, "vq": codec.vq, "aux": codec.aux, "dec": codec.dec, "nac": codec.nac}
    for key, codec in CODECS.items()
}


def read_protocol(path: str | Path) -> Trials:
    """The trials of any label file or list of this corpus; the number of columns tells which kind it is.

    Raises:
        InputError: a line is not of this corpus, or contradicts its taxonomy (file and line are named).
    """
    trials = Trials()
    for at, utt, columns in _read(path):
        trials.add(at, utt, **columns)
    return trials


def read_cors_labels(path: str | Path) -> dict[str, Trials]:
    """The trials of ``CoRS_labels.txt``, by split.

    Raises:
        InputError: as ``read_protocol``; or a line is of CoSG.
    """
    splits = {split: Trials() for split in SPLITS}
    for at, utt, columns in _read(path):
        if "model" in columns:
            raise InputError(f"{at[0]}:{at[1]}: '{utt}' is of CoSG, not of CoRS; has the other label file this name?")
        splits[SPEAKERS.get(columns["speaker"], "train")].add(at, utt, **columns)
    return splits


def _read(path: str | Path) -> Iterator[tuple[tuple[str | Path, int], str, dict[str, str]]]:
    """File and line, utterance, and what ``Trials.add`` wants to know about it."""
    for number, fields in rows(path, 3, 4, 5, 6, 7):
        at = (path, number)
        if fields[0] in MODELS:
            # MODEL CLIP VQ AUX DEC LABEL of Hugging Face, or MODEL CLIP [-] [-] LABEL of the lists. The fourth column
            # of CoSG_SEEN.txt is a class, of another task in the copy that the authors' baseline has.
            classes = dict(zip(("vq", "aux", "dec"), fields[2:5], strict=True)) if len(fields) == 6 else {}
            yield at, f"{fields[0]}/{fields[1]}", _cosg_columns(at, fields[0], fields[1], fields[-1], classes)
        else:
            # SPEAKER FILE LABEL of Hugging Face, or SPEAKER UTT - - LABEL, or SPEAKER UTT - AUX DEC VQ LABEL.
            classes = dict(zip(("aux", "dec", "vq"), fields[3:6], strict=True)) if len(fields) == 7 else {}
            utt = fields[1].removesuffix(".wav")
            yield at, utt, _cors_columns(at, fields[0], utt, fields[-1], classes)


def _cors_columns(
    at: tuple[str | Path, int], speaker: str, utt: str, label: str, classes: dict[str, str]
) -> dict[str, str]:
    own_speaker, number, key = split_utt(utt)
    if own_speaker != speaker or not number.isdigit():
        raise InputError(
            f"{at[0]}:{at[1]}: '{utt}' is no utterance of '{speaker}'; is it the protocol of another corpus?"
        )
    columns = COLUMNS.get(SPELLINGS.get(key, key))
    if columns is None:
        raise InputError(f"{at[0]}:{at[1]}: unknown codec '{key}' of '{utt}'; the file is damaged, or newer")
    if LABELS.get(label.lower()) == ("spoof" if columns is BONAFIDE else "bonafide"):
        raise InputError(f"{at[0]}:{at[1]}: '{utt}' is {label}, but its name says otherwise; get the file again")
    _check_classes(at, utt, classes, columns)
    return {"speaker": speaker, "label": label, **columns}


def _cosg_columns(
    at: tuple[str | Path, int], model: str, clip: str, label: str, classes: dict[str, str]
) -> dict[str, str]:
    columns = {**BONAFIDE, "model": model}
    if LABELS.get(label.lower()) == "spoof":
        known = MODELS[model]
        columns |= {"attack": model, "codec": "-", "vq": known.vq, "aux": known.aux, "dec": known.dec}
    if label.lower() in LABELS:  # Trials.add reports another one
        _check_classes(at, f"{model}/{clip}", classes, columns)
    return {"speaker": "-", "label": label, **columns}


def _check_classes(at: tuple[str | Path, int], utt: str, classes: dict[str, str], columns: dict[str, str]) -> None:
    """Compare what a line says about the codec with the taxonomy."""
    for task, value in classes.items():
        if CLASSES.get(value.lower(), value.lower()) != columns[task]:
            raise InputError(
                f"{at[0]}:{at[1]}: {task} of '{utt}' is '{value}', but '{columns[task]}' in the taxonomy; "
                "the file is damaged, or newer"
            )
