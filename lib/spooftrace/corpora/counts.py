"""The counts of a set as released, what a set on disk lacks of them, and the line that says so."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from spooftrace.common.english import counted
from spooftrace.corpora.protocol import Trials
from spooftrace.datadir import DataDir
from spooftrace.datadir.incomplete import AUDIO, TRIALS, Gap


@dataclass(frozen=True)
class Expected:
    """The counts of one set as its authors released it, as far as they are known.

    Attributes:
        bonafide: Bona fide utterances; None where the number is unknown.
        spoof: Spoofed utterances.
        attacks: Attack -> its utterances.
        others: Another table -> value -> its utterances, such as ``{"utt2cond": {"C01": 47253}}``.
    """

    bonafide: int | None
    spoof: int
    attacks: Mapping[str, int] = field(default_factory=dict)
    others: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    def differences(self, trials: Trials) -> list[str]:
        """What is not as released, in words; empty if all is."""
        labels = {"spoof": self.spoof} if self.bonafide is None else {"bonafide": self.bonafide, "spoof": self.spoof}
        odd = []
        for table, wanted in {"utt2label": labels, "utt2attack": self.attacks, **self.others}.items():
            counts = trials.counts(table) if wanted else Counter()
            what = "" if table == "utt2label" else f"of {table.removeprefix('utt2')} "
            odd += [
                f"{counts[name]:,} {what}{name} instead of {n:,}" for name, n in wanted.items() if counts[name] != n
            ]
        return odd


def gaps_of(name: str, trials: Trials, expected: Expected | None, missing: int) -> list[Gap]:
    """What the set lacks of the release; ``expected`` only where the trials are not those released."""
    gaps = []
    if expected:
        listed = len(trials) if expected.bonafide is not None else trials.counts()["spoof"]
        released = (expected.bonafide or 0) + expected.spoof
        gaps.append(Gap(name, TRIALS, max(0, released - listed), released))
    return [*gaps, Gap(name, AUDIO, missing, len(trials))] if missing else gaps


def summary(
    data: DataDir, missing: int, extra: Collection[str], expected: Expected | None, differences: Collection[str]
) -> str:
    """What was prepared, in one line; ``differences`` are those of the label file from the release."""
    labels = Counter(data.table("utt2label").values())
    speakers = set(data.table("utt2spk").values())
    parts = [f"{labels['bonafide']:,} bona fide and {counted(labels['spoof'], 'spoofed utterance')}"]
    if speakers != {"-"}:
        parts.append(counted(len(speakers), "speaker"))
    if expected is None:
        parts.append("no official counts to compare with")
    elif differences:
        bonafide = "" if expected.bonafide is None else f"{expected.bonafide:,} and "
        parts.append(f"PARTIAL: the release has {bonafide}{expected.spoof:,}{'' if bonafide else ' spoofed'}")
    else:
        parts.append("the protocol's counts are those of the release")
    if missing:
        parts.append(
            f"PARTIAL: {counted(missing, 'audio file')} {'is' if missing == 1 else 'are'} missing, see missing.txt"
        )
    if extra:
        parts.append(f"{counted(len(extra), 'file')} beside the trials, see extra.txt")
    return f"{data.path}: {'; '.join(parts)}"
