"""Batch utterances of similar length, and decode their audio ahead of the device."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from spooftrace.audio import audio_info
from spooftrace.datadir import DataDir
from spooftrace.extraction.sources import read_noted

READERS = 2  # threads suffice: decoding releases the GIL, and one core decodes about 100 s of audio per second
AHEAD = 3  # decoded batches that may wait for the device


def durations(data: DataDir, utts: Iterable[str]) -> dict[str, float]:
    """Return the durations of utterances from ``utt2dur``, the segment or the header of the audio file.

    Args:
        data: The data directory.
        utts: The utterances.

    Returns:
        Utterance -> seconds.

    Raises:
        InputError: An audio file is missing or has no audio header.
    """
    known = data.tables.get("utt2dur", {})

    def seconds(utt: str) -> float:
        if utt in known:
            return float(known[utt])
        path, start, end = data.audio(utt)
        if start is not None and end is not None:
            return end - start
        samples, rate, _ = audio_info(path)
        return samples / rate

    utts = list(utts)
    if known:
        return {utt: seconds(utt) for utt in utts}
    with ThreadPoolExecutor(READERS) as pool:
        return dict(zip(utts, pool.map(seconds, utts), strict=True))


def plan_batches(seconds: Mapping[str, float], most_seconds: float, most_utterances: int) -> Iterator[list[str]]:
    """Divide utterances into batches of at most ``most_seconds`` of audio, padding included.

    A longer utterance has a batch of its own. The longest come first, because then a lack of memory shows at once.

    Args:
        seconds: Utterance -> its duration.
        most_seconds: Maximum duration of a padded batch.
        most_utterances: Maximum number of utterances in a batch.

    Yields:
        The utterances of each batch.

    >>> list(plan_batches({"a": 1.0, "b": 4.0, "c": 3.0, "d": 9.0}, most_seconds=8.0, most_utterances=10))
    [['d'], ['b', 'c'], ['a']]
    """
    batch: list[str] = []
    for utt in sorted(seconds, key=lambda utt: (-seconds[utt], utt)):
        if batch and (len(batch) == most_utterances or seconds[batch[0]] * (len(batch) + 1) > most_seconds):
            yield batch
            batch = []
        batch.append(utt)
    if batch:
        yield batch


def read_ahead(
    data: DataDir, batches: Iterable[list[str]]
) -> Iterator[tuple[list[str], list[np.ndarray], dict[str, str]]]:
    """Read the audio of batches, and decode the following batches in the background.

    Args:
        data: The data directory.
        batches: The utterances of each batch.

    Yields:
        The utterances of a batch, their waves (N,) at 16 kHz, and utterance -> note for ``feats.sums``.

    Raises:
        InputError: An audio file is missing or damaged; all earlier batches have been yielded.
    """
    pool = ThreadPoolExecutor(READERS)
    waiting: deque[tuple[list[str], list[Future[tuple[np.ndarray, str]]]]] = deque()

    def finished() -> tuple[list[str], list[np.ndarray], dict[str, str]]:
        utts, futures = waiting.popleft()
        waves, notes = zip(*(future.result() for future in futures), strict=True)
        return utts, list(waves), dict(zip(utts, notes, strict=True))

    try:
        for utts in batches:
            waiting.append((utts, [pool.submit(read_noted, *data.audio(utt)) for utt in utts]))
            if len(waiting) > AHEAD:
                yield finished()
        while waiting:
            yield finished()
    finally:
        pool.shutdown(cancel_futures=True)
