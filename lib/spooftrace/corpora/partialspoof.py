"""PartialSpoof 1.2: speech of ASVspoof 2019 LA in which short segments are replaced by spoofed ones, and the reverse.

Where it comes from. Zenodo 5766198; licence CC BY 4.0. Paper: Zhang et al. 2023, "The PartialSpoof database and
countermeasures for the detection of short fake speech segments embedded in an utterance".

How it lies on disk (``--root`` is the folder with ``database``, or ``database`` itself)::

    database/protocols/PartialSpoof_LA_cm_protocols/PartialSpoof.LA.cm.{train,dev,eval}.trl.txt     train is .trl too
    database/{train,dev,eval}/con_wav/*.wav                                16 kHz
    database/segment_labels/{train,dev,eval}_seglab_{0.01,...,0.64}.npy    labels of frames of 10 to 640 ms
    database/{train,dev,eval}/con_data/rttm_2cls_0sil_spoof                labels of segments, in seconds

A line of a protocol is that of ASVspoof 2019, e.g. ``LA_0079 CON_T_0000029 - CON spoof``. Spoofed utterances are named
CON, bona fide ones keep their names of ASVspoof 2019.

Beside its tables each data directory gets, from the files that are there:

``segment_labels_0.01.txt`` ... ``segment_labels_0.64.txt``, lines ``UTT LABEL LABEL ...``, one label a frame: 0 spoof,
1 bona fide, as in the release. (Some public code takes them the other way round; they are compared with the protocol.)

``segment_times.txt``, lines ``UTT START END LABEL START END LABEL ...``, in seconds, with the same labels.

Beware: the ``.npy`` files hold pickled objects, which ``numpy.load(allow_pickle=True)`` would let run any code. Here an
unpickler reads them that knows arrays and dictionaries only.
"""

from __future__ import annotations

import pickle
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from spooftrace.common.errors import InputError
from spooftrace.corpora.corpus import Corpus, Expected
from spooftrace.corpora.protocol import Trials, rows
from spooftrace.corpora.request import Request
from spooftrace.datadir import DataDir, write_table
from spooftrace.pretrained.unpickler import RestrictedUnpickler

# Utterances as in ASVspoof 2019 LA.
SETS = {"train": Expected(2580, 22800), "dev": Expected(2548, 22296), "eval": Expected(7355, 63882)}
PROTOCOLS = "protocols/PartialSpoof_LA_cm_protocols"
RESOLUTIONS = ("0.01", "0.02", "0.04", "0.08", "0.16", "0.32", "0.64")  # seconds
SPOOF, BONAFIDE = "0", "1"
SEGMENTS = {"bonafide": BONAFIDE, "spoof": SPOOF}
MOSTLY = 0.99  # of the utterances must have labels of segments that fit their own


def prepare(request: Request) -> list[DataDir]:
    """Write ``train``, ``dev`` and ``eval``, with the labels of segments that are there."""
    tree = ["protocols", *SETS, *(f"{name}/con_wav" for name in SETS)]
    corpus = Corpus.from_request("PartialSpoof", request, SETS, inner=("database",), tree=tree)
    protocols = {name: [f"{PROTOCOLS}/PartialSpoof.LA.cm.{name}.trl.txt"] for name in SETS}
    for name, protocol in corpus.label_files(protocols).items():
        with corpus.preparing(name):
            trials = read_protocol(protocol)
            labels = trials.tables["utt2label"]
            tables = {}
            for resolution in RESOLUTIONS:
                path = corpus.finder.labels([f"segment_labels/{name}_seglab_{resolution}.npy"])
                if path is not None:
                    tables[f"segment_labels_{resolution}.txt"] = read_segment_labels(path, labels)
            if path := corpus.finder.labels([f"{name}/con_data/rttm_2cls_0sil_spoof"], by_name=False):
                tables["segment_times.txt"] = read_segment_times(path, labels)
            for file, table in tables.items():
                write_table(request.out / name / file, table)
            folders = [f"{name}/con_wav", f"wav/{name}"]
            corpus.write(name, trials, SETS[name], folders, ".wav", labels=protocol)
            print(f"{request.out / name}: labels of segments: {', '.join(tables) or 'none in the release'}")
    return corpus.finish()


def read_protocol(path: str | Path) -> Trials:
    """The trials of a protocol: speaker, label; ``utt2attack`` is CON for spoofed utterances.

    Raises:
        InputError: a line is not of this corpus (file and line are named).
    """
    trials = Trials(r"(CON|LA)_[TDE]_\d{7}", {"utt2attack": {"-", "CON"}})
    for number, (speaker, utt, _, attack, label) in rows(path, 5):
        trials.add((path, number), utt, speaker=speaker, label=label, attack=attack)
    return trials


def read_segment_labels(path: Path, utt2label: Mapping[str, str]) -> dict[str, str]:
    """The labels of all frames of some utterances, separated by blanks: 0 spoof, 1 bona fide.

    Args:
        path: a file ``*_seglab_*.npy``.
        utt2label: the utterances and what they are as a whole; those with a spoofed frame are spoof.

    Raises:
        InputError: the file is not of this kind, lacks an utterance, has other labels than 0 and 1, or contradicts
            ``utt2label``.
    """
    import numpy as np

    labels = read_pickled_npy(path)
    table = {}
    contradictions = []
    for utt, label in utt2label.items():
        if utt not in labels:
            raise InputError(f"{path}: has no labels of '{utt}'; get the segment labels of this version again")
        frames = [str(frame) for frame in np.asarray(labels[utt]).tolist()]
        odd = set(frames) - {SPOOF, BONAFIDE}
        if odd or not frames:
            found = f"the label '{min(odd)}'" if odd else "no labels"
            raise InputError(f"{path}: '{utt}' has {found}, expected {SPOOF} (spoof) and {BONAFIDE} (bona fide)")
        if (SPOOF in frames) != (label == "spoof"):
            contradictions.append(utt)
        table[utt] = " ".join(frames)
    if len(contradictions) > (1 - MOSTLY) * len(table):
        raise InputError(
            f"{path}: the labels of {len(contradictions):,} of {len(table):,} utterances, '{contradictions[0]}' first, "
            "contradict the protocol; 0 must be spoof and 1 bona fide"
        )
    if contradictions:
        print(f"{path}: labels of {len(contradictions):,} utterances contradict the protocol: {contradictions[0]} ...")
    return table


def read_segment_times(path: Path, utts: Iterable[str]) -> dict[str, str]:
    """Start, end (seconds) and label (0 spoof, 1 bona fide) of each segment of some utterances, separated by blanks.

    Args:
        path: a file of ``SPEAKER UTT 1 START DURATION <NA> <NA> spoof <NA> <NA>`` lines (RTTM). Segments that are
            neither ``spoof`` nor ``bonafide`` but ``nonspeech`` are left out.
        utts: the utterances.

    Raises:
        InputError: a line is not of this kind, or an utterance has no segment.
    """
    found: dict[str, list[str]] = {utt: [] for utt in utts}
    for number, (_, utt, _, start, duration, _, _, label, *_) in rows(path, 9, 10):
        kind = SEGMENTS.get(label)
        try:
            # Rounded as in the official metrics: the sum of two decimal numbers is not quite one.
            end = round(float(start) + float(duration), 5)
        except ValueError:
            raise InputError(
                f"{path}:{number}: '{start} {duration}' is not a start and a duration in seconds"
            ) from None
        if kind is None and label != "nonspeech":
            raise InputError(f"{path}:{number}: unknown label '{label}'; known are bonafide, spoof and nonspeech")
        if kind is not None and utt in found and end > float(start):
            found[utt] += [start, str(end), kind]
    lacking = [utt for utt, segments in found.items() if not segments]
    if lacking:
        raise InputError(f"{path}: has no segment of '{lacking[0]}'; get the release again")
    return {utt: " ".join(segments) for utt, segments in found.items()}


def read_pickled_npy(path: Path) -> dict[str, Any]:
    """The dictionary in a ``.npy`` file, whatever ``numpy.save`` pickled, without running code that is in it.

    Raises:
        InputError: the file is not a ``.npy`` file with one dictionary, or has objects other than arrays, dictionaries
            and text.
    """
    import numpy as np

    try:
        with open(path, "rb") as file:
            version = np.lib.format.read_magic(file)
            read_header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
            shape, _, dtype = read_header[version](file)
            if shape != () or not dtype.hasobject:
                raise ValueError("an array of numbers")
            content = _ArrayUnpickler(file).load().item()
    except (pickle.UnpicklingError, ValueError, TypeError, KeyError, IndexError, AttributeError, EOFError) as error:
        raise InputError(f"{path}: not segment labels, or damaged ({error}); get the file again") from None
    if not isinstance(content, dict):
        raise InputError(f"{path}: not segment labels, but {type(content).__name__}; get the file again")
    return content


class _ArrayUnpickler(RestrictedUnpickler):
    """Unpickles arrays, dictionaries and text only."""

    scan = False  # it would take 10 s for the labels of the eval set

    def resolve(self, path: str) -> Any:
        import numpy as np

        # How arrays and their scalars are put together again; its module was numpy.core before numpy 2.
        rebuild_array, rebuild_scalar = np.zeros(1).__reduce__()[0], np.float64(0).__reduce__()[0]
        allowed: dict[str, Any] = {
            "collections.defaultdict": defaultdict,
            "builtins.list": list,
            "numpy.ndarray": np.ndarray,
            "numpy.dtype": np.dtype,
        }
        for core in ("numpy.core.multiarray", "numpy._core.multiarray"):
            allowed |= {f"{core}._reconstruct": rebuild_array, f"{core}.scalar": rebuild_scalar}
        return allowed.get(path)
