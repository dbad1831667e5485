"""Score audio files with a trained detector."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from spooftrace.common.errors import InputError
from spooftrace.inference.recordings import read_task, score_recordings

if TYPE_CHECKING:
    from spooftrace.system.packing import Precision


def detect(
    exp: Path, paths: Sequence[Path], policy: Sequence[str] = (), num_gpus: int = 0, precision: Precision = "fp32"
) -> tuple[list[tuple[Path, float]], int]:
    """Score audio files; the scores are those of stages 3 to 5 on a data directory with these files.

    A threshold from the ``metrics.json`` of a test set suits files that resemble that test set.

    Args:
        exp: Folder of a trained detector.
        paths: Audio files, or folders of audio files.
        policy: Overrides of how utterances are scored, e.g. ``["--data.eval_crop", "full"]``.
        num_gpus: 1 to compute on the GPU.
        precision: Of the front-ends.

    Returns:
        Files with their scores, higher = more bona fide, and the number of files that could not be used.

    Raises:
        InputError: ``exp`` holds no trained detector.
    """
    if not read_task(exp).detects:
        raise InputError(f"{exp}: does not tell bona fide speech from spoofs; use spooftrace trace")
    results = score_recordings("spooftrace detect", exp, paths, policy, num_gpus, precision)
    scores = [float(line.split()[1]) for line in results.tables.get("scores.txt", ())]
    return list(zip(results.files, scores, strict=True)), results.failed
