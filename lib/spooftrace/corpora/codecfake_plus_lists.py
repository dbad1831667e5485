"""Subsets of CodecFake+'s CoRS: lists that are balanced over a class of codecs, and halves by what is said.

The authors train and test on lists with one spoofed copy of every VCTK utterance, so that there is as much bona fide
as spoofed speech and as much of each class as of the others. Their lists are in their repository, but how they drew
them is not. ``balanced`` draws lists of the same shape from the labels of the whole corpus.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Collection

from spooftrace.corpora.codecfake_plus_codecs import REAL, TASKS
from spooftrace.corpora.protocol import Trials

SEEN_CONTENT = 250  # the last utterance number that "seen content" takes in


def split_utt(utt: str) -> tuple[str, str, str]:
    """Speaker, utterance number and codec key of a CoRS utterance; the key is empty for bona fide speech.

    >>> split_utt("s5_400_vocos_encodec_6")
    ('s5', '400', 'vocos_encodec_6')
    >>> split_utt("p225_001")
    ('p225', '001', '')
    """
    speaker, _, rest = utt.partition("_")
    number, _, codec = rest.partition("_")
    return speaker, number, codec


def balanced(trials: Trials, task: str, seed: int) -> Trials:
    """Every bona fide utterance and one copy of it, classes of the copies equal within one.

    The utterances are put in an order that depends on the seed only, the classes take turns in this order, and each
    utterance's copy is drawn among the codecs of its class. The draws are SHA-256 sums of seed, task and utterance:
    the same on every machine, whatever the order of the label file. (Where copies are missing, a class of those there
    are takes the turn, and an utterance without any is left out.)

    Args:
        trials: all of a split of CoRS.
        task: ``vq``, ``aux`` or ``dec``, whose classes are balanced.
        seed: another one gives another list.
    """
    class_of = trials.tables[f"utt2{task}"]
    copies: dict[str, dict[str, list[str]]] = {utt: {} for utt, name in class_of.items() if name == REAL}
    for utt, name in class_of.items():
        original = "_".join(split_utt(utt)[:2])
        if name != REAL and original in copies:
            copies[original].setdefault(name, []).append(utt)
    draws = {utt: hashlib.sha256(f"{seed} {task} {utt}".encode()).digest() for utt in copies}
    turns = Counter(dict.fromkeys(TASKS[task], 0))
    chosen: list[str] = []
    for original in sorted(copies, key=draws.__getitem__):
        if copies[original]:
            name = min(copies[original], key=lambda name: (turns[name], TASKS[task].index(name)))
            turns[name] += 1
            candidates = sorted(copies[original][name])
            chosen += [original, candidates[int.from_bytes(draws[original][-8:], "big") % len(candidates)]]
    return select(trials, set(chosen).__contains__)


def content(trials: Trials, seen: bool) -> Trials:
    """The utterances with a number up to ``SEEN_CONTENT`` (seen), or those with a higher one.

    The paper's measure of unseen content. Beware: it goes by the number alone, and the same number is not the same
    sentence for every VCTK speaker.
    """
    return select(trials, lambda utt: (int(split_utt(utt)[1]) <= SEEN_CONTENT) == seen)


def select(trials: Trials, wanted: Callable[[str], bool]) -> Trials:
    """The trials with some of the utterances, in the same order."""
    utts: Collection[str] = [utt for utt in trials.tables["utt2spk"] if wanted(utt)]
    part = Trials()
    part.tables = {name: {utt: table[utt] for utt in utts} for name, table in trials.tables.items()}
    return part
