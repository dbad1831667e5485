"""A corpus on disk -> data directories: find its files, compare them with the protocol, check the counts, write.

What every corpus module does::

    release = Release.asked("ASVspoof 2019 LA", request, SETS, inner=("LA",))
    for name, path in release.labels({"train": LABELS}).items():
        with release.part(name):
            release.write(name, read_protocol(path), EXPECTED, ["ASVspoof2019_LA_train/flac"], labels=path)
    return release.finish()

The protocol decides what is in a set, not the files in a folder. ``spooftrace.corpora.finder`` searches for label files
and audio. The corpus is only read. The label files of all sets are looked
for before anything is written. A set that cannot be prepared is named, and the others are prepared.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from spooftrace.common.english import counted, first_of
from spooftrace.common.errors import InputError
from spooftrace.corpora.audio_files import AudioFinder
from spooftrace.corpora.audio_sources import Audio
from spooftrace.corpora.counts import Expected, gaps_of, summary
from spooftrace.corpora.finder import SHOWN, Finder, MissingPart
from spooftrace.corpora.missing import no_audio, nothing_at
from spooftrace.corpora.protocol import Trials
from spooftrace.corpora.request import Request
from spooftrace.datadir import DataDir, read_table
from spooftrace.datadir.incomplete import WHOLE_SET, Gap, write_gaps
from spooftrace.datadir.tables import has_content, table_text, write_text

__all__ = ["Expected", "MissingPart", "Release"]

AGAIN = "unpack or download them again"


class Release:
    """One release of a corpus as it lies on disk, and the folder where its data directories go.

    ``prepared`` holds the data directories written so far.

    Args:
        name: the corpus, as messages name it.
        root: folder of the release; it becomes part of the paths in ``wav.scp`` as it is given.
        out: folder for the data directories.
        allow_partial: accept sets of which files or trials are missing; what is there is used.
        convention: how the sets are evaluated (``spooftrace evaluate --format``), noted in a file of that name.
        inner: names of the folder that holds the corpus in the official tree; the root may be its parent or itself.
        tree: further folders of the official tree; a root that is one of them is left for its parent.
        known: names of all sets that the corpus can have.
        sets: those that are wanted, separated by commas; by default all.

    Raises:
        InputError: ``root`` is not a folder, ``out`` is a file, or ``sets`` names an unknown set.
    """

    def __init__(
        self,
        name: str,
        root: str | Path,
        out: str | Path,
        allow_partial: bool = False,
        convention: str = "plain",
        inner: Sequence[str] = (),
        tree: Sequence[str] = (),
        known: Iterable[str] = (),
        sets: str | None = None,
    ) -> None:
        self.name, self.out, self.allow_partial = name, Path(out), allow_partial
        self.convention = convention
        self.finder = Finder(Path(root), inner, tree)
        self.audio = AudioFinder(self.finder)
        self.prepared: list[DataDir] = []
        self._failures: dict[str, InputError] = {}
        self._taken: dict[str, dict[str, None]] = {"labels": {}, "audio": {}}  # the layout, for the message about it
        if not self.root.is_dir():
            what = "is a file, not the folder of the corpus" if self.root.exists() else "no such folder"
            raise InputError(f"{self.root}: {what}; give the folder of {name} with --root")
        if self.out.exists() and not self.out.is_dir():
            raise InputError(f"{self.out}: is a file; give a folder for the data directories with --out")
        self._wanted = None if sets is None else sets.replace(",", " ").split()
        unknown = [word for word in self._wanted or [] if word not in known]
        if unknown or self._wanted == []:
            raise InputError(f"--sets {sets}: {name} has no set '{' '.join(unknown)}'; it has {', '.join(known)}")

    @classmethod
    def asked(
        cls,
        name: str,
        request: Request,
        known: Iterable[str],
        convention: str = "plain",
        inner: Sequence[str] = (),
        tree: Sequence[str] = (),
    ) -> Release:
        """The release that the options of ``spooftrace prepare`` describe."""
        known = tuple(known)
        return cls(name, request.root, request.out, request.allow_partial, convention, inner, tree, known, request.sets)

    @property
    def root(self) -> Path:
        """Folder of the release."""
        return self.finder.root

    def wants(self, name: str) -> bool:
        """Whether a set is among those that ``--sets`` asks for."""
        return self._wanted is None or name in self._wanted

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """A block that prepares one set; a set that cannot be prepared does not stop the others (see ``finish``)."""
        try:
            yield
        except InputError as error:
            # An older version of the set must not pass for this one.
            (self.out / name / "utt2spk").unlink(missing_ok=True)
            self.prepared = [data for data in self.prepared if data.path != self.out / name]
            left_out = self.allow_partial and isinstance(error, MissingPart)
            if left_out:
                (self.out / name).mkdir(parents=True, exist_ok=True)
                write_gaps(self.out / name, [Gap(name, WHOLE_SET, 1, 1)])
            else:
                self._failures[name] = error
            print(f"{self.out / name}: {'left out' if left_out else 'not prepared'}: {error}")

    def finish(self) -> list[DataDir]:
        """Say which layout was taken, and return the data directories.

        Raises:
            InputError: a set could not be prepared, and is none that may be missing.
        """
        if self.prepared:
            where = "; ".join(f"{what} in {first_of(places, SHOWN)}" for what, places in self._taken.items() if places)
            print(f"{self.name} taken from {self.root}: {where}")
        if not self._failures:
            return self.prepared
        name, error = next(iter(self._failures.items()))
        if len(self._failures) == 1 and not self.prepared:
            raise error
        ready = len(self.prepared)
        kind = MissingPart if all(isinstance(error, MissingPart) for error in self._failures.values()) else InputError
        raise kind(
            f"{self.name}: not prepared: {', '.join(self._failures)} "
            f"({counted(ready, 'other set')} {'is' if ready == 1 else 'are'} ready); {name}: {error}"
        )

    def labels(self, places: Mapping[str, Sequence[str]], first_line: str | Mapping[str, str] = "") -> dict[str, Path]:
        """The label files of the sets that are wanted, all looked for before any set is prepared.

        Sets without one are named; where none has one, and the root is a folder within the official tree, the search
        begins again one level higher.

        Args:
            places: set -> where its label file may be, relative paths, the official one first.
            first_line: regular expression for the first or second line of a label file, of all sets or of each.

        Raises:
            MissingPart: no set has one.
            InputError: a label file is there twice, with different content.
        """
        wanted = {name: options for name, options in places.items() if self.wants(name)}
        paths = self.finder.all_labels(wanted, first_line)
        if wanted and not any(paths.values()):
            raise self.missing(*next(iter(wanted.values())))
        for name, path in paths.items():
            if path is None:
                with self.part(name):
                    raise self.missing(*wanted[name])
            else:
                self.took("labels", path.parent)
        return {name: path for name, path in paths.items() if path is not None}

    def find(self, *places: str) -> Path:
        """The file or folder at the first of several relative paths that is there.

        Raises:
            MissingPart: none is; the message says what is there instead.
            InputError: several are, elsewhere.
        """
        path = self.finder.folder(places) or self.finder.labels(places)
        if path is None:
            raise self.missing(*places)
        return path

    def missing(self, *places: str) -> MissingPart:
        """The error that nothing lies at some relative paths."""
        return nothing_at(self.finder, self.name, places)

    def took(self, what: str, folder: str | Path, note: str = "") -> None:
        """Remember where ``labels`` or ``audio`` were taken from."""
        place = os.path.relpath(folder, self.root)
        self._taken[what][("the root itself" if place == "." else place) + note] = None

    def write(
        self,
        name: str,
        trials: Trials,
        expected: Expected | None,
        audio: Path | Sequence[str],
        suffix: str = ".flac",
        files: Mapping[str, str] | None = None,
        others: Collection[str] | None = (),
        labels: Path | None = None,
        outside: Mapping[str, str] | None = None,
    ) -> DataDir:
        """Check one set against its release and its audio, write ``<out>/<name>`` and print a line about it.

        Files that are missing or extra are listed in ``<out>/<name>/missing.txt`` and ``extra.txt``. Extra ones are no
        mistake: releases hold enrolment speech and other things beside the trials.

        Args:
            name: the data directory.
            trials: its utterances.
            expected: its counts as released, None where no official figure is known.
            audio: relative paths of folders where its audio files may be, the official one first (they are searched for
                elsewhere too); or the very folder.
            suffix: end of the file names in the release.
            files: utterance -> file name within ``audio``; by default the utterance id and ``suffix``.
            others: files of other sets in the same folder, which are not extra; None where no file of it is.
            labels: the label file, beside which the audio may be.
            outside: utterance -> audio file outside the release, for utterances that were cut out of other recordings.

        Raises:
            InputError: no trials at all; other counts than released, unless partial sets are allowed; audio files that
                are in several places.
            MissingPart: audio files are missing: some, unless partial sets are allowed, or all.
        """
        if not len(trials):
            raise InputError(f"{self.root}: the protocol of {name} lists no utterance; get it again")
        outside = outside or {}
        stem_of = {utt: utt for utt in trials.tables["utt2spk"] if utt not in outside}
        if files is not None:
            stem_of = {utt: file[: file.rindex(".")] for utt, file in files.items()}
        place = self._audio(stem_of, audio, suffix, labels)
        differences = expected.differences(trials) if expected else []
        # Without any audio the folder is the wrong one, and ``_check_audio`` says so.
        if differences and place.sources and not self.allow_partial:
            raise InputError(
                f"{self.name} {name}: {'; '.join(differences[:SHOWN])}; this is not all of the released protocol "
                "(--allow-partial takes what is there)"
            )
        folder = self.out / name
        extra = [] if others is None else place.extra(stem_of, others)
        _list(folder / "extra.txt", extra)
        self._check_audio(name, place, stem_of, audio, suffix)
        tables = {"wav.scp": place.paths(stem_of) | outside}
        gone = set(place.missing)
        for table, values in trials.tables.items():
            tables[table] = {utt: value for utt, value in values.items() if utt not in gone}
        if (folder / "utt2dur").is_file() and has_content(folder / "wav.scp", table_text(tables["wav.scp"])):
            tables["utt2dur"] = read_table(folder / "utt2dur")  # of the same files: they need not be looked at again
        write_text(folder / "convention", self.convention + "\n")
        write_gaps(folder, gaps_of(name, trials, expected if differences else None, len(place.missing)))
        data = DataDir.write(folder, tables)
        self.prepared.append(data)
        print(summary(data, len(place.missing), extra, expected, differences))
        return data

    def _check_audio(
        self, name: str, place: Audio, stem_of: Mapping[str, str], audio: Path | Sequence[str], suffix: str
    ) -> None:
        """List the missing audio files of a set, and remember where the others are.

        Raises:
            MissingPart: some are missing, unless partial sets are allowed, or all.
        """
        listed = self.out / name / "missing.txt"
        _list(listed, [stem_of[utt] + suffix for utt in place.missing])
        if place.missing and (len(place.missing) == len(stem_of) or not self.allow_partial):
            (self.out / name / "utt2spk").unlink(missing_ok=True)  # nothing here may look complete
            hint = "" if len(place.missing) == len(stem_of) else " or use --allow-partial"
            raise no_audio(self.finder, self.name, name, place, stem_of, audio, suffix, f"{listed}: {AGAIN}{hint}")
        for source in place.sources:
            self.took("audio", source.folder, f" ({source.differences(suffix)})")

    def _audio(
        self, stem_of: Mapping[str, str], audio: Path | Sequence[str], suffix: str, labels: Path | None
    ) -> Audio:
        if isinstance(audio, Path):
            return self.audio.within(stem_of, audio, suffix)
        return self.audio.anywhere(stem_of, audio, suffix, labels)


def _list(path: Path, names: Collection[str]) -> None:
    """Write names to a file, one a line; no names, no file."""
    write_text(path, "".join(f"{name}\n" for name in names))
