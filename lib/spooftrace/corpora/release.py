"""A corpus on disk -> data directories: find its files, compare them with the protocol, check the counts, write.

What every corpus module does after reading its protocol (``spooftrace.corpora.protocol``)::

    release = Release("ASVspoof 2019 LA", root, out, allow_partial).enter("LA")
    with release.part("train"):
        trials = read_protocol(release.find("ASVspoof2019_LA_cm_protocols/ASVspoof2019.LA.cm.train.trn.txt"))
        release.write("train", trials, Expected(bonafide=2580, spoof=22800), release.find("ASVspoof2019_LA_train/flac"))

The protocol decides what is in a set, never the files that happen to lie in a folder. The release is only read.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from spooftrace.atomic import atomic_write
from spooftrace.corpora.protocol import Trials
from spooftrace.datadir import DataDir, read_table
from spooftrace.datadir.incomplete import AUDIO, TRIALS, WHOLE_SET, Gap, write_gaps
from spooftrace.datadir.tables import has_content, table_text
from spooftrace.errors import InputError

SHOWN = 5  # entries of a folder, or files of a list, that a message names


@dataclass(frozen=True)
class Expected:
    """The counts of one set as released: utterances of each class, of each attack (or other ``utt2system``), and of
    values of other tables, ``{"utt2cond": {"C01": 47253}}``, as far as they are known (``bonafide`` may be None).
    """

    bonafide: int | None
    spoof: int
    systems: Mapping[str, int] = field(default_factory=dict)
    others: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    def differences(self, trials: Trials) -> list[str]:
        """What is not as released, in words; empty if all is."""
        labels = {"spoof": self.spoof} if self.bonafide is None else {"bonafide": self.bonafide, "spoof": self.spoof}
        odd = []
        for table, wanted in {"utt2label": labels, "utt2system": self.systems, **self.others}.items():
            found = trials.counts(table) if wanted else Counter()
            what = "" if table == "utt2label" else f"of {table.removeprefix('utt2')} "
            odd += [f"{found[name]:,} {what}{name} instead of {n:,}" for name, n in wanted.items() if found[name] != n]
        return odd


class MissingPart(InputError):
    """A part of a release is not there; whoever allows partial ones goes on without it."""


class Release:
    """One release of a corpus as it lies on disk, and the folder where its data directories go.

    ``prepared`` holds the data directories written so far.

    Args:
        name: the corpus, as messages name it.
        root: folder of the release; it becomes part of the paths in ``wav.scp`` as it is given.
        out: folder for the data directories.
        allow_partial: accept sets of which files or trials are missing; what is there is used.
        convention: how the sets are evaluated (``spooftrace evaluate --format``), noted in a file of that name.

    Raises:
        InputError: ``root`` is not a folder, or ``out`` is a file.
    """

    def __init__(
        self, name: str, root: str | Path, out: str | Path, allow_partial: bool = False, convention: str = "plain"
    ) -> None:
        self.name, self.root, self.out, self.allow_partial = name, Path(root), Path(out), allow_partial
        self.convention = convention
        self.prepared: list[DataDir] = []
        self._listings: dict[tuple[Path, str, bool], set[str]] = {}
        if not self.root.is_dir():
            what = "is a file, not the folder of the corpus" if self.root.exists() else "no such folder"
            raise InputError(f"{self.root}: {what}; give the folder of {name} with --root")
        if self.out.exists() and not self.out.is_dir():
            raise InputError(f"{self.out}: is a file; give a folder for the data directories with --out")

    def enter(self, folder: str) -> Release:
        """Go down into ``folder`` if it is there: the user may have given it itself, or what holds it."""
        if (self.root / folder).is_dir():
            self.root = self.root / folder
        return self

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """A block that prepares one set; where partial releases are allowed, a set that is not there is left out."""
        try:
            yield
        except MissingPart as error:
            if not self.allow_partial:
                raise
            # An older version of the set must not pass for this one.
            (self.out / name / "utt2spk").unlink(missing_ok=True)
            (self.out / name).mkdir(parents=True, exist_ok=True)
            write_gaps(self.out / name, [Gap(name, WHOLE_SET, 1, 1)])
            print(f"{self.out / name}: left out: {error}")

    def find(self, *candidates: str) -> Path:
        """The first of several relative paths that is there.

        Raises:
            MissingPart: none is; the message says what is there instead.
        """
        for candidate in candidates:
            if (self.root / candidate).exists():
                return self.root / candidate
        # Name the deepest folder that is right: half-unpacked archives and roots one level off look alike otherwise.
        nearest = self.root / candidates[0]
        while not nearest.is_dir():
            nearest = nearest.parent
        entries = sorted(entry.name for entry in os.scandir(nearest))
        found = ", ".join(entries[:SHOWN]) + (f" and {len(entries) - SHOWN} more" if len(entries) > SHOWN else "")
        places = list(dict.fromkeys(candidates))
        wanted = " nor ".join(places[:SHOWN]) + (f" nor {len(places) - SHOWN} more" if len(places) > SHOWN else "")
        raise MissingPart(
            f"{self.root}: not the folder of {self.name}, or not all unpacked: no {wanted}; "
            f"{nearest} has {found or 'nothing'}"
        )

    def write(
        self,
        name: str,
        trials: Trials,
        expected: Expected | None,
        audio: Path,
        suffix: str = ".flac",
        files: Mapping[str, str] | None = None,
        others: Collection[str] | None = (),
    ) -> DataDir:
        """Check one set against its release and its audio, write ``<out>/<name>`` and print a line about it.

        Files that are missing or extra are listed in ``<out>/<name>/missing.txt`` and ``extra.txt``. Extra ones are no
        mistake: releases hold enrolment speech and other things beside the trials.

        Args:
            name: the data directory.
            trials: its utterances.
            expected: its counts as released, None where no official figure is known.
            audio: folder of its audio files.
            suffix: end of the file names.
            files: utterance -> file name within ``audio``; by default the utterance id and ``suffix``.
            others: files of other sets in the same folder, which are not extra; None where no file of it is.

        Raises:
            InputError: no trials at all; other counts than released, unless partial sets are allowed.
            MissingPart: audio files are missing: some, unless partial sets are allowed, or all.
        """
        if not len(trials):
            raise InputError(f"{self.root}: the protocol of {name} lists no utterance; get it again")
        differences = expected.differences(trials) if expected else []
        if differences and not self.allow_partial:
            raise InputError(
                f"{self.name} {name}: {'; '.join(differences[:SHOWN])}; this is not all of the released protocol "
                "(--allow-partial takes what is there)"
            )
        names = files or {utt: utt + suffix for utt in trials.tables["utt2spk"]}
        present = self._listing(audio, suffix, deep=any("/" in name for name in names.values()))
        missing = [utt for utt, file in names.items() if file not in present]
        extra = [] if others is None else sorted(present.difference(names.values(), others))
        folder = self.out / name
        _list(folder / "missing.txt", [names[utt] for utt in missing])
        _list(folder / "extra.txt", extra)
        if missing and (len(missing) == len(names) or not self.allow_partial):
            (folder / "utt2spk").unlink(missing_ok=True)  # nothing here may look complete
            hint = "" if len(missing) == len(names) else " or use --allow-partial"
            raise MissingPart(
                f"{audio}: {len(missing):,} of the {len(names):,} audio files of {name} are missing "
                f"({_first([names[utt] for utt in missing])}); all are listed in {folder / 'missing.txt'}: "
                f"unpack or download them again{hint}"
            )
        gone = set(missing)
        tables = {"wav.scp": {utt: f"{audio}/{file}" for utt, file in names.items() if utt not in gone}}
        for table, values in trials.tables.items():
            tables[table] = {utt: value for utt, value in values.items() if utt not in gone} if gone else values
        if (folder / "utt2dur").is_file() and has_content(folder / "wav.scp", table_text(tables["wav.scp"])):
            tables["utt2dur"] = read_table(folder / "utt2dur")  # of the same files: they need not be looked at again
        if not has_content(folder / "convention", self.convention + "\n"):
            with atomic_write(folder / "convention") as file:
                file.write(self.convention + "\n")
        write_gaps(folder, self._gaps(name, trials, expected if differences else None, len(missing)))
        data = DataDir.write(folder, tables)
        self.prepared.append(data)
        print(self._summary(data, len(trials), extra, expected, differences))
        return data

    def _gaps(self, name: str, trials: Trials, expected: Expected | None, missing: int) -> list[Gap]:
        """What the set lacks of the release; ``expected`` only where the trials are not those released."""
        gaps = []
        if expected:
            counts = trials.counts()
            found = len(trials) if expected.bonafide is not None else counts["spoof"]
            released = (expected.bonafide or 0) + expected.spoof
            gaps.append(Gap(name, TRIALS, max(0, released - found), released))
        return [*gaps, Gap(name, AUDIO, missing, len(trials))] if missing else gaps

    def _listing(self, folder: Path, suffix: str, deep: bool) -> set[str]:
        """The audio files of a folder, looked up once for all sets that share it."""
        key = (folder, suffix, deep)
        if key not in self._listings:
            self._listings[key] = set(audio_files(folder, suffix, deep))
        return self._listings[key]

    def _summary(
        self, data: DataDir, listed: int, extra: Collection[str], expected: Expected | None, odd: Collection[str]
    ) -> str:
        labels = Counter(data.table("utt2label").values())
        speakers = set(data.table("utt2spk").values())
        parts = [f"{labels['bonafide']:,} bona fide and {labels['spoof']:,} spoofed utterances"]
        if speakers != {"-"}:
            parts.append(f"{len(speakers):,} speakers")
        if expected is None:
            parts.append("no official counts to compare with")
        elif odd:
            bonafide = "" if expected.bonafide is None else f"{expected.bonafide:,} and "
            parts.append(f"PARTIAL: the release has {bonafide}{expected.spoof:,}{'' if bonafide else ' spoofed'}")
        else:
            parts.append("the protocol's counts are those of the release")
        if len(data.utts) < listed:
            parts.append(f"PARTIAL: {listed - len(data.utts):,} audio files are missing, see missing.txt")
        if extra:
            parts.append(f"{len(extra):,} files are no trials, see extra.txt")
        return f"{data.path}: {'; '.join(parts)}"


def audio_files(folder: Path, suffix: str, deep: bool = False) -> Iterator[str]:
    """Names of the files in a folder that end in ``suffix``; with ``deep`` relative paths of those below it too."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(suffix):
                yield entry.name
            elif deep and entry.is_dir():
                yield from (f"{entry.name}/{name}" for name in audio_files(Path(entry.path), suffix, deep=True))


def _list(path: Path, names: Collection[str]) -> None:
    """Write names to a file, one a line; no names, no file."""
    if not names:
        path.unlink(missing_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as file:
        file.writelines(f"{name}\n" for name in names)


def _first(names: Collection[str]) -> str:
    return ", ".join(list(names)[:3]) + (", ..." if len(names) > 3 else "")
