"""Open-set metrics of attribution: how well rejection scores separate known from unknown classes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spooftrace.archive import ArchiveReader
from spooftrace.common.errors import InputError
from spooftrace.common.records import SCORES_RECORD, read_scores_record
from spooftrace.evaluation.outputs import NO_VALUE, Outputs, truth_table

Array = np.ndarray

NEIGHBOURS = 50  # as in OpenOOD
BLOCK = 8192  # embeddings scored at a time
OPEN_SET_CONVENTION = (
    "Rejection scores are higher for known classes. fpr95_ood_positive: fraction of known utterances rejected at the "
    "threshold that rejects 95 % of the unknown ones (OpenOOD); fpr95_id_positive: fraction of unknown utterances "
    "accepted at the threshold that accepts 95 % of the known ones (ST-Codecfake); eer: ASVspoof tie rule; oscr: area "
    "under the curve of correct classification against false acceptance."
)
OPEN_SET_METRICS = {
    "auroc": "AUROC",
    "fpr95_ood_positive": "FPR95 (unknown pos.)",
    "fpr95_id_positive": "FPR95 (known pos.)",
    "eer": "EER",
    "oscr": "OSCR",
}


@dataclass(frozen=True)
class Embeddings:
    """Embeddings for detectors of unknown classes, one vector per utterance.

    Attributes:
        test: ``feats.scp`` of the test set.
        train: ``feats.scp`` of the training set.
        train_data: Data directory of the training set, with the label table.
    """

    test: Path
    train: Path
    train_data: Path


def open_set_metrics(scores: Mapping[str, Array], is_known: Array, correct: Array) -> dict[str, dict[str, float]]:
    """Rejection score -> OPEN_SET_METRICS.

    Args:
        scores: Name -> scores of the N utterances, higher for known classes, (N,).
        is_known: Utterances of a class that the model knows, bool (N,).
        correct: Known utterances whose class was predicted correctly, bool (known utterances,).
    """
    from spooftrace.metrics.openset import open_set_report

    return {name: open_set_report(values[is_known], correct, values[~is_known]) for name, values in scores.items()}


def rejection_scores(
    logits: Array, utts: Sequence[str], embeddings: Embeddings | None, label_table: str, outputs: Outputs
) -> dict[str, Array]:
    """Detector -> rejection scores (N,): two computed from the logits, and two more from embeddings if given.

    Args:
        logits: (N, C).
        utts: The N utterances.
        embeddings: Embeddings of the test and the training set, or None.
        label_table: Table with the true classes.
        outputs: Output file, whose columns are the C classes.

    Raises:
        InputError: Embeddings are missing or differ in shape, or the training set has a class that is not the model's.
    """
    from spooftrace.metrics.openset import Mahalanobis, NearestNeighbour, energy, max_softmax

    scores = {"max_softmax": max_softmax(logits), "energy": energy(logits)}
    if embeddings is None:
        return scores
    truth = truth_table(embeddings.train_data, label_table)
    train = [utt for utt, label in truth.items() if label != NO_VALUE]
    unlearnt = sorted({truth[utt] for utt in train} - set(outputs.columns))
    if unlearnt:
        raise InputError(
            f"{embeddings.train_data / label_table}: class '{unlearnt[0]}' is not one of the model's, "
            f"{', '.join(outputs.columns)}; give the data that the model was trained on"
        )
    vectors = np.concatenate(list(_blocks(embeddings.train, train)))
    try:
        detectors: dict[str, Callable[[Array], Array]] = {
            "mahalanobis": Mahalanobis().fit(vectors, [truth[utt] for utt in train]).score,
            f"nearest_neighbour_{NEIGHBOURS}": NearestNeighbour(NEIGHBOURS).fit(vectors).score,
        }
    except ValueError as error:
        raise InputError(f"{embeddings.train}: {error}") from None
    try:
        blocks = [[score(block) for score in detectors.values()] for block in _blocks(embeddings.test, utts)]
    except ValueError as error:
        raise InputError(f"{embeddings.test}: {error}") from None
    return scores | dict(zip(detectors, map(np.concatenate, zip(*blocks, strict=True)), strict=True))


def _blocks(scp: Path, utts: Sequence[str]) -> Iterator[Array]:
    """The embeddings of these utterances, (BLOCK, D) at a time, float32 or as stored."""
    ours = read_scores_record(scp.with_name(SCORES_RECORD)).get("embeddings", False)
    with ArchiveReader(scp, beside=ours) as reader:
        missing = [utt for utt in utts if utt not in reader]
        if missing:
            raise InputError(f"{scp}: no embedding for {len(missing)} of {len(utts)} utterances, such as {missing[0]}")
        for start in range(0, len(utts), BLOCK):
            block = [reader[utt] for utt in utts[start : start + BLOCK]]
            odd = [index for index, vector in enumerate(block) if vector.ndim != 1 or vector.shape != block[0].shape]
            if odd:
                raise InputError(
                    f"{scp}: {utts[start + odd[0]]} has an array of shape {block[odd[0]].shape}, "
                    f"{utts[start]} an array of shape {block[0].shape}; embeddings must be vectors of equal length"
                )
            yield np.stack(block)
