"""Score audio files with a trained system, without a data directory of the user's own."""

from __future__ import annotations

import contextlib
import io
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spooftrace.audio.notes import gathered
from spooftrace.audio.reading import audio_info
from spooftrace.common.audio_suffixes import AUDIO
from spooftrace.common.english import counted
from spooftrace.common.errors import InputError, display
from spooftrace.scoring import Scoring

if TYPE_CHECKING:
    from spooftrace.system.packing import Precision

LIKE_TRAINING = (
    "the results hold for recordings like those that the system was trained on; other channels, languages, codecs or "
    "attacks can get confident results that are wrong"
)


@dataclass(frozen=True)
class Results:
    """Scores of audio files.

    Attributes:
        files: The files that could be used, in the order given.
        tables: Name of a score file -> its lines for these files, in this order, with its header if it has one.
        failed: Number of files that could not be used; each has been named on stderr.
    """

    files: Sequence[Path]
    tables: Mapping[str, Sequence[str]]
    failed: int


def read_task(exp: Path) -> Any:
    """Return the task of a trained system, with its trained state.

    Raises:
        InputError: ``exp`` holds no trained system.
    """
    from spooftrace.system.experiment import load_experiment

    return load_experiment(exp).task


def score_recordings(
    command: str, exp: Path, paths: Sequence[Path], policy: Sequence[str] = (), num_gpus: int = 0,
    precision: Precision = "fp32",
) -> Results:  # fmt: skip
    """Run stages 3 to 5 on a temporary data directory.

    A file that cannot be used is named on stderr, and the others are scored.

    Args:
        command: Name of the command, for messages on stderr.
        exp: Folder of a trained system.
        paths: Audio files, or folders of audio files.
        policy: Overrides of how utterances are scored.
        num_gpus: 1 to compute on the GPU.
        precision: Of the front-ends.

    Raises:
        InputError: As for scoring, if it concerns all files.
    """
    failures: dict[Path, str] = {}
    files = list(_audio_files(paths, failures))
    # Stage messages name temporary files; stdout carries only the result.
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        session = _Session(Scoring(exp, Path(folder) / "dump", policy, num_gpus, precision), Path(folder))
        links = [session.link(number, file) for number, file in enumerate(files)]
        names = dict(zip(map(str, links), map(str, files), strict=True))
        with gathered(command, names, own=True):
            tables = session.score_all(links, files, failures)
    used = [file for file in files if file not in failures]
    if used:
        print(f"{command}: note: {LIKE_TRAINING}", file=sys.stderr)
    for message in failures.values():
        print(f"{command}: error: {message}", file=sys.stderr)
    return Results(used, tables, len(failures))


def _audio_files(paths: Sequence[Path], failures: dict[Path, str]) -> Iterator[Path]:
    """Yield the files among ``paths``, and the audio files in the folders among them."""
    for path in paths:
        if path.is_dir():
            inside = sorted(file for file in path.rglob("*") if file.suffix.lower() in AUDIO and file.is_file())
            if not inside:
                failures[path] = f"{display(path)}: a folder without audio files; give files or another folder"
            yield from inside
        elif path.is_file():
            yield path
        else:
            pipe = "not a regular file; write the audio to a file" if path.exists() else "no such audio file"
            failures[path] = f"{display(path)}: {pipe}"


class _Session:
    """A trained system, loaded once, and a temporary folder for its data directories.

    The data directories hold links to the audio files: any file name may contain blanks, which tables cannot hold.
    """

    def __init__(self, scoring: Scoring, folder: Path) -> None:
        from spooftrace.extraction.pipeline import Extraction, Settings

        self.folder, self.dump = folder, folder / "dump"
        self.scoring = scoring
        config = scoring.config
        self.nodes = {stream: config.streams[stream] for stream in config.data.cached}
        settings = Settings(precision=scoring.precision, num_gpus=scoring.num_gpus)
        self.extraction = Extraction(settings) if self.nodes else None
        (folder / "audio").mkdir()

    def link(self, number: int, file: Path) -> Path:
        """Link to a file, keeping an ordinary suffix: libsndfile recognises files without a header by it."""
        suffix = file.suffix if re.fullmatch(r"\.\w+", file.suffix, re.ASCII) else ""
        link = self.folder / "audio" / f"{number:06d}{suffix}"
        link.symlink_to(file.resolve())
        return link

    def score_all(
        self, links: Sequence[Path], files: Sequence[Path], failures: dict[Path, str]
    ) -> dict[str, list[str]]:
        """Score all files at once, or each by itself if that fails; returns the lines of the score files."""
        seconds: dict[Path, float] = {}
        names = dict(zip(links, files, strict=True))
        for link, file in names.items():
            try:
                samples, rate, _ = audio_info(link)
                seconds[link] = samples / rate
            except (InputError, OSError) as error:
                failures[file] = self._message(file, link, str(error))
        if not seconds:
            return {}
        try:
            return self._score("files", seconds)
        except InputError as error:
            if len(seconds) == 1:
                (link,) = seconds
                failures[names[link]] = self._message(names[link], link, str(error))
                return {}
        tables: dict[str, list[str]] = {}
        for link in seconds:
            try:
                scored = self._score(f"file{link.stem}", {link: seconds[link]})
            except InputError as error:
                failures[names[link]] = self._message(names[link], link, str(error))
                continue
            for name, lines in scored.items():
                tables.setdefault(name, lines[:-1])  # a header, if there is one
                tables[name].append(lines[-1])
        return tables

    def _score(self, name: str, seconds: Mapping[Path, float]) -> dict[str, list[str]]:
        """Return the lines of each score file for some links; an utterance has the name of its link."""
        from spooftrace.datadir import DataDir
        from spooftrace.extraction import collect

        data = self.folder / name
        utts = {link.stem: link for link in seconds}
        tables = {
            "wav.scp": {utt: str(link) for utt, link in utts.items()},
            "utt2spk": {utt: utt for utt in utts},
            "utt2dur": {utt: f"{seconds[link]:.6f}" for utt, link in utts.items()},
        }
        DataDir.write(data, tables)
        title = counted(len(seconds), "file")
        if self.extraction is not None:
            nodes = {self.dump / stream / name: node for stream, node in self.nodes.items()}
            self.extraction.run(nodes, data, title=title)
            for target, node in nodes.items():
                collect(node, data, target, num_jobs=1)
        self.scoring.score_shard(data, data / "scores.txt", title=title)
        self.scoring.collect(data, data / "scores.txt")
        return {path.name: path.read_text(encoding="utf-8").splitlines() for path in data.glob("scores*.txt")}

    def _message(self, file: Path, link: Path, message: str) -> str:
        """Return a message that names the audio file instead of the link in the temporary folder."""
        message = message.replace(str(link), display(file))
        message = re.sub(rf"{re.escape(str(self.folder))}[^:,;\s]*(?:: )?", "", message)
        message = re.sub(rf"\b(?:utterance|key) '{link.stem}'(?:: )?", "", message).strip()
        if message.startswith(display(file)):
            return message
        return f"{display(file)}{' ' if message.startswith('(') else ': '}{message}"
