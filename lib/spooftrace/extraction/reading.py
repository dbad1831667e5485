"""Utterances of similar length to batches, and their audio decoded ahead of the device that computes on it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from spooftrace.audio import audio_info
from spooftrace.datadir import DataDir
from spooftrace.extraction.sources import read_noted

READERS = 2  # decoding leaves Python's lock alone; one core decodes some hundred times faster than playing
AHEAD = 3  # batches that are decoded and wait


def durations(data: DataDir, utts: Iterable[str]) -> dict[str, float]:
    """Seconds of each utterance: from ``utt2dur``, the segment's times, or else the header of the audio file.

    Raises:
        InputError: an audio file is missing or has no sound header.
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
    """Divide utterances into batches of at most ``most_seconds`` of audio, padding included; a longer one is alone.

    The longest come first, so that what does not fit into memory shows at once.

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
    """Every batch with the waves (N,) of its utterances, 16 kHz, and notes of what the audio is.

    The next batches are decoded meanwhile.

    Raises:
        InputError: an audio file is missing or damaged; the batches before it have been given.
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
