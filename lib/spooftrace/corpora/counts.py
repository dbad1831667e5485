"""Official counts of a set, the differences of a set on disk, and the summary line."""

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
    """Official counts of one set, as far as they are known.

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
        """Describe the differences from the official counts; empty if there are none."""
        labels = {"spoof": self.spoof} if self.bonafide is None else {"bonafide": self.bonafide, "spoof": self.spoof}
        differences = []
        for table, wanted in {"utt2label": labels, "utt2attack": self.attacks, **self.others}.items():
            counts = trials.counts(table) if wanted else Counter()
            what = "" if table == "utt2label" else f"of {table.removeprefix('utt2')} "
            differences += [
                f"{counts[name]:,} {what}{name} instead of {n:,}" for name, n in wanted.items() if counts[name] != n
            ]
        return differences


def gaps_of(name: str, trials: Trials, expected: Expected | None, missing: int) -> list[Gap]:
    """List what a set lacks; ``expected`` is given only if the trials differ from the official ones."""
    gaps = []
    if expected:
        listed = len(trials) if expected.bonafide is not None else trials.counts()["spoof"]
        official = (expected.bonafide or 0) + expected.spoof
        gaps.append(Gap(name, TRIALS, max(0, official - listed), official))
    return [*gaps, Gap(name, AUDIO, missing, len(trials))] if missing else gaps


def summary(
    data: DataDir, missing: int, extra: Collection[str], expected: Expected | None, differences: Collection[str]
) -> str:
    """The line about a prepared set; ``differences`` are those of its label file from the official counts."""
    labels = Counter(data.table("utt2label").values())
    speakers = set(data.table("utt2spk").values())
    parts = [f"{labels['bonafide']:,} bona fide and {counted(labels['spoof'], 'spoofed utterance')}"]
    if speakers != {"-"}:
        parts.append(counted(len(speakers), "speaker"))
    if expected is None:
        parts.append("no official counts to compare with")
    elif differences:
        bonafide = "" if expected.bonafide is None else f"{expected.bonafide:,} and "
        parts.append(f"PARTIAL: the official set has {bonafide}{expected.spoof:,}{'' if bonafide else ' spoofed'}")
    else:
        parts.append("the protocol has the official counts")
    if missing:
        parts.append(
            f"PARTIAL: {counted(missing, 'audio file')} {'is' if missing == 1 else 'are'} missing, see missing.txt"
        )
    if extra:
        parts.append(f"{counted(len(extra), 'file')} that no trial uses, see extra.txt")
    return f"{data.path}: {'; '.join(parts)}"
