"""From a corpus on disk to data directories: find the files, check them against the protocol, write the tables.

Each corpus module follows this pattern::

    corpus = Corpus.from_request("ASVspoof 2019 LA", request, SETS, inner=("LA",))
    for name, path in corpus.label_files({"train": LABELS}).items():
        with corpus.preparing(name):
            corpus.write(name, read_protocol(path), EXPECTED, ["ASVspoof2019_LA_train/flac"], labels=path)
    return corpus.finish()

The protocol decides which utterances are in a set, not the files in a folder. ``spooftrace.corpora.finder`` searches
for label files and audio; the corpus is only read. The label files of all sets are located before anything is written.
A set that cannot be prepared is reported, and the others are prepared.
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
from spooftrace.corpora.finder import SHOWN, Finder, MissingFiles
from spooftrace.corpora.missing_files import audio_missing_error, not_found_error
from spooftrace.corpora.protocol import Trials
from spooftrace.corpora.request import Request
from spooftrace.datadir import DataDir, read_table
from spooftrace.datadir.incomplete import WHOLE_SET, Gap, write_gaps
from spooftrace.datadir.tables import has_content, table_text, write_text

__all__ = ["Corpus", "Expected", "MissingFiles"]

AGAIN = "unpack or download them again"


class Corpus:
    """A corpus on disk and the folder for its data directories.

    Attributes:
        prepared: Data directories written so far.

    Args:
        name: Name of the corpus in messages.
        root: Folder of the corpus. Paths in ``wav.scp`` begin with it as given.
        out: Folder for the data directories.
        allow_partial: Accept sets with missing files or trials and use the rest.
        convention: How the sets are evaluated (``spooftrace evaluate --format``), written to the file ``convention``.
        inner: Names of the folder that holds the corpus in the official tree; ``root`` is that folder or its parent.
        tree: Further folders of the official tree; if ``root`` is one of them, its parent is used.
        known: Names of all sets of the corpus.
        sets: Names of the sets to prepare, separated by commas; None for all.

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
        self._origins: dict[str, dict[str, None]] = {"labels": {}, "audio": {}}  # folders that files came from
        if not self.root.is_dir():
            what = "is a file, not the folder of the corpus" if self.root.exists() else "no such folder"
            raise InputError(f"{self.root}: {what}; give the folder of {name} with --root")
        if self.out.exists() and not self.out.is_dir():
            raise InputError(f"{self.out}: is a file; give a folder for the data directories with --out")
        self._selected = None if sets is None else sets.replace(",", " ").split()
        unknown = [word for word in self._selected or [] if word not in known]
        if unknown or self._selected == []:
            raise InputError(f"--sets {sets}: {name} has no set '{' '.join(unknown)}'; it has {', '.join(known)}")

    @classmethod
    def from_request(
        cls,
        name: str,
        request: Request,
        known: Iterable[str],
        convention: str = "plain",
        inner: Sequence[str] = (),
        tree: Sequence[str] = (),
    ) -> Corpus:
        """The corpus that the options of ``spooftrace prepare`` describe."""
        known = tuple(known)
        return cls(name, request.root, request.out, request.allow_partial, convention, inner, tree, known, request.sets)

    @property
    def root(self) -> Path:
        """Folder of the corpus."""
        return self.finder.root

    def selected(self, name: str) -> bool:
        """Whether a set is to be prepared (``--sets``)."""
        return self._selected is None or name in self._selected

    @contextmanager
    def preparing(self, name: str) -> Iterator[None]:
        """Context in which one set is prepared. If it fails, the other sets are still prepared (see ``finish``)."""
        try:
            yield
        except InputError as error:
            # An earlier version of the set must not be taken for the current one.
            (self.out / name / "utt2spk").unlink(missing_ok=True)
            self.prepared = [data for data in self.prepared if data.path != self.out / name]
            left_out = self.allow_partial and isinstance(error, MissingFiles)
            if left_out:
                (self.out / name).mkdir(parents=True, exist_ok=True)
                write_gaps(self.out / name, [Gap(name, WHOLE_SET, 1, 1)])
            else:
                self._failures[name] = error
            print(f"{self.out / name}: {'left out' if left_out else 'not prepared'}: {error}")

    def finish(self) -> list[DataDir]:
        """Print which folders were used, and return the data directories.

        Raises:
            InputError: A set could not be prepared.
            MissingFiles: Files are missing for every set that could not be prepared.
        """
        if self.prepared:
            where = "; ".join(
                f"{what} in {first_of(places, SHOWN)}" for what, places in self._origins.items() if places
            )
            print(f"{self.name} taken from {self.root}: {where}")
        if not self._failures:
            return self.prepared
        name, error = next(iter(self._failures.items()))
        if len(self._failures) == 1 and not self.prepared:
            raise error
        ready = len(self.prepared)
        kind = MissingFiles if all(isinstance(error, MissingFiles) for error in self._failures.values()) else InputError
        raise kind(
            f"{self.name}: not prepared: {', '.join(self._failures)} "
            f"({counted(ready, 'other set')} {'is' if ready == 1 else 'are'} ready); {name}: {error}"
        )

    def label_files(
        self, places: Mapping[str, Sequence[str]], first_line: str | Mapping[str, str] = ""
    ) -> dict[str, Path]:
        """Locate the label files of all selected sets before any set is prepared.

        Sets without a label file are reported. If no set has one and the root is a folder within the official tree, the
        search is repeated one level higher.

        Args:
            places: Set -> possible relative paths of its label file, the official one first.
            first_line: Regular expression for the first or second line of a label file, for all sets or by set.

        Returns:
            Set -> label file, for the sets that have one.

        Raises:
            MissingFiles: No set has a label file.
            InputError: Several files fit a set, and they differ.
        """
        wanted = {name: options for name, options in places.items() if self.selected(name)}
        paths = self.finder.all_labels(wanted, first_line)
        if wanted and not any(paths.values()):
            raise self.not_found(*next(iter(wanted.values())))
        for name, path in paths.items():
            if path is None:
                with self.preparing(name):
                    raise self.not_found(*wanted[name])
            else:
                self.record_origin("labels", path.parent)
        return {name: path for name, path in paths.items() if path is not None}

    def find(self, *places: str) -> Path:
        """Locate a file or folder that may be at several relative paths, in order of preference.

        Raises:
            MissingFiles: There is none; the message lists what the folder holds instead.
            InputError: It is not at any of the paths, and several other places fit.
        """
        path = self.finder.folder(places) or self.finder.labels(places)
        if path is None:
            raise self.not_found(*places)
        return path

    def not_found(self, *places: str) -> MissingFiles:
        """The error for relative paths at which there is no file or folder."""
        return not_found_error(self.finder, self.name, places)

    def record_origin(self, what: str, folder: str | Path, note: str = "") -> None:
        """Record the folder that ``labels`` or ``audio`` came from, for the message of ``finish``."""
        place = os.path.relpath(folder, self.root)
        self._origins[what][("the root itself" if place == "." else place) + note] = None

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
        """Check a set against the official counts and its audio, write ``<out>/<name>``, and print a summary line.

        Missing and extra audio files are listed in ``<out>/<name>/missing.txt`` and ``extra.txt``. Extra files are
        allowed: corpora also hold enrolment speech and the like.

        Args:
            name: Name of the data directory.
            trials: Utterances of the set.
            expected: Official counts, None where they are not known.
            audio: Possible relative paths of the audio folder, the official one first (other folders are searched as
                well); or the only folder to use.
            suffix: Official extension of the audio files.
            files: Utterance -> file name within ``audio``; by default the utterance id and ``suffix``.
            others: Files of other sets in the same folder, which are not extra; None if no file in it is extra.
            labels: The label file; folders beside it are tried first.
            outside: Utterance -> audio file outside the corpus, for utterances cut out of other recordings.

        Raises:
            InputError: There are no trials, the counts differ from the official ones (unless partial sets are allowed),
                or the audio files are in several places.
            MissingFiles: All audio files are missing; or some, unless partial sets are allowed.
        """
        if not len(trials):
            raise InputError(f"{self.root}: the protocol of {name} lists no utterance; download it again")
        outside = outside or {}
        stem_of = {utt: utt for utt in trials.tables["utt2spk"] if utt not in outside}
        if files is not None:
            stem_of = {utt: file[: file.rindex(".")] for utt, file in files.items()}
        place = self._audio(stem_of, audio, suffix, labels)
        differences = expected.differences(trials) if expected else []
        # If there is no audio at all, the folder is the wrong one: ``_check_audio`` reports that instead.
        if differences and place.sources and not self.allow_partial:
            raise InputError(
                f"{self.name} {name}: {'; '.join(differences[:SHOWN])}; the protocol is incomplete "
                "(--allow-partial uses what is there)"
            )
        folder = self.out / name
        extra = [] if others is None else place.extra(stem_of, others)
        _list(folder / "extra.txt", extra)
        self._check_audio(name, place, stem_of, audio, suffix)
        tables = {"wav.scp": {**place.paths(stem_of), **outside}}
        gone = set(place.missing)
        for table, values in trials.tables.items():
            tables[table] = {utt: value for utt, value in values.items() if utt not in gone}
        if (folder / "utt2dur").is_file() and has_content(folder / "wav.scp", table_text(tables["wav.scp"])):
            tables["utt2dur"] = read_table(folder / "utt2dur")  # the audio files are the same: keep their durations
        write_text(folder / "convention", self.convention + "\n")
        write_gaps(folder, gaps_of(name, trials, expected if differences else None, len(place.missing)))
        data = DataDir.write(folder, tables)
        self.prepared.append(data)
        print(summary(data, len(place.missing), extra, expected, differences))
        return data

    def _check_audio(
        self, name: str, place: Audio, stem_of: Mapping[str, str], audio: Path | Sequence[str], suffix: str
    ) -> None:
        """List the missing audio files of a set, and record the folders of the others.

        Raises:
            MissingFiles: All are missing; or some, unless partial sets are allowed.
        """
        listed = self.out / name / "missing.txt"
        _list(listed, [stem_of[utt] + suffix for utt in place.missing])
        if place.missing and (len(place.missing) == len(stem_of) or not self.allow_partial):
            (self.out / name / "utt2spk").unlink(missing_ok=True)  # the directory must not look complete
            hint = "" if len(place.missing) == len(stem_of) else " or use --allow-partial"
            remedy = f"{listed}: {AGAIN}{hint}"
            raise audio_missing_error(self.finder, self.name, name, place, stem_of, audio, suffix, remedy)
        for source in place.sources:
            self.record_origin("audio", source.folder, f" ({source.differences(suffix)})")

    def _audio(
        self, stem_of: Mapping[str, str], audio: Path | Sequence[str], suffix: str, labels: Path | None
    ) -> Audio:
        if isinstance(audio, Path):
            return self.audio.within(stem_of, audio, suffix)
        return self.audio.anywhere(stem_of, audio, suffix, labels)


def _list(path: Path, names: Collection[str]) -> None:
    """Write one name per line; without names there is no file."""
    write_text(path, "".join(f"{name}\n" for name in names))
