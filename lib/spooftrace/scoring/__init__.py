"""Stage 5: score a data directory with a trained system.

An array job: job ``J`` of ``N`` scores its part, and ``--collect`` then checks that every utterance is there and writes
``scores.txt``; a single job does both. ``<exp>/<set>/`` gets

| file | holds |
|---|---|
| ``scores.txt`` | ``utt score``, higher = more bona fide, byte-sorted |
| ``scores.json`` | what was scored, with what and how; it marks the scores as complete |
| ``embeddings.{ark,scp}`` | with ``--embeddings``: a vector an utterance, what the back-end's last linear layer gets |

| module | does |
|---|---|
| ``scorer`` | the trained system at work: batches in, scores and embeddings out |
| ``store`` | what scores are made from, the parts of an array job, the files above |
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spooftrace.common.errors import InputError
from spooftrace.common.journal import fingerprint
from spooftrace.datadir import DataDir
from spooftrace.datadir.incomplete import as_json, read_gaps
from spooftrace.scoring.store import Parts, is_complete, origin, write
from spooftrace.system.files import CONFIG, MODEL, recorded_frontends

if TYPE_CHECKING:
    from spooftrace.scoring.scorer import Scorer
    from spooftrace.system.packing import Precision

__all__ = ["Scoring", "score", "score_all"]


def score(
    exp: Path, directory: Path, dump: Path, out: Path, num_gpus: int = 0, policy: Sequence[str] = (),
    precision: Precision = "fp32",
) -> None:  # fmt: skip
    """Score one data directory; arguments and errors are those of ``Scoring`` and its methods."""
    scoring = Scoring(exp, dump, policy, num_gpus, precision)
    scoring.score_part(directory, out)
    scoring.collect(directory, out)


def score_all(
    load: Callable[[], Scoring], directories: Sequence[Path], out: Path, job: int = 1, num_jobs: int = 1,
    collect_only: bool = False,
) -> None:  # fmt: skip
    """Score data directories that are not scored yet, or do one job's share of the work.

    Args:
        load: Returns the trained system; called once the data directories are known to have different names.
        directories: The data directories.
        out: Folder for ``<set>/scores.txt``.
        job: Number of this job, from 1.
        num_jobs: Jobs that share the work; a single one also collects.
        collect_only: Only write the score files, after all jobs have run.

    Raises:
        InputError: As ``Scoring`` and its methods, or two data directories have the same last name.
    """
    seen: dict[str, Path] = {}
    for directory in directories:
        if seen.setdefault(directory.name, directory) != directory:
            raise InputError(
                f"{seen[directory.name]} and {directory}: scores are kept by the last part of the name, so these would "
                "overwrite each other; score one of them with another --out"
            )
    scoring = load()
    for directory in directories:
        path = out / directory.name / "scores.txt"
        if scoring.is_complete(directory, path):
            print(f"{path}: already scored")
            continue
        if not collect_only:
            scoring.score_part(directory, path, job, num_jobs)
        if collect_only or num_jobs == 1:
            scoring.collect(directory, path, num_jobs)


class Scoring:
    """Scores data directories with the trained system of an experiment, which is loaded once.

    Args:
        exp: Folder of the trained system.
        dump: Where stage 3 stored cached streams.
        policy: Overrides of how it scores, e.g. ``["--data.eval_crop", "full"]``.
        num_gpus: 1 to compute on the GPU.
        precision: Of the front-ends.
        embeddings: Also write ``embeddings.{ark,scp}``.

    Raises:
        InputError: No trained model in ``exp``, or a policy that there is not.
    """

    def __init__(
        self,
        exp: Path,
        dump: Path,
        policy: Sequence[str] = (),
        num_gpus: int = 0,
        precision: Precision = "fp32",
        embeddings: bool = False,
    ) -> None:
        from spooftrace.system.experiment import load_experiment

        self.dump = dump
        self.num_gpus = num_gpus
        self.precision: Precision = precision
        self.embeddings = embeddings
        self._system = fingerprint(exp, CONFIG, MODEL)
        self.experiment = load_experiment(exp, policy, model_sha256=self._system.get(MODEL))
        self.config = self.experiment.config
        self._scorer: Scorer | None = None
        self._origins: dict[Path, dict[str, Any]] = {}

    def is_complete(self, directory: Path, out: Path) -> bool:
        """Whether ``out`` holds these scores of ``directory``, and what goes with it is beside."""
        return is_complete(out, self._origin(directory), self.embeddings)

    def score_part(self, directory: Path, out: Path, job: int = 1, num_jobs: int = 1, title: str | None = None) -> None:
        """Score one part of a data directory; goes on where a killed run stopped.

        Batches are those of the whole directory, and every ``num_jobs``-th is done here. So the scores are the same to
        the last bit whatever the number of jobs and however often one was killed, and long utterances are shared out.

        Args:
            directory: The data directory.
            out: The score file that ``collect`` writes; until then the scores are in a folder beside.
            job: This part, from 1.
            num_jobs: Number of parts.
            title: What the progress calls this; default: the directory and the part.

        Raises:
            InputError: Bad data, or as ``Scorer.score``. What was finished before is kept.
        """
        from spooftrace.common.progress import Progress
        from spooftrace.scoring.scorer import Scorer

        data = DataDir.read(directory)
        parts = Parts(out, self._origin(directory))
        mine = self._shares(data, num_jobs)[job - 1]
        with parts.archive(job, num_jobs) if self.embeddings else nullcontext() as archive:
            done = parts.done(archive)
            todo = [batch for batch in mine if not done.issuperset(batch)]
            if not todo:
                print(f"{directory}: part {job} of {num_jobs} is done already")
                return
            if self._scorer is None:
                self._scorer = Scorer(self.experiment, self.num_gpus, self.precision, self.embeddings)
            what = f"scoring {title or f'{directory}, part {job} of {num_jobs}'}"
            total, left = (sum(map(len, batches)) for batches in (mine, todo))
            with parts.journal(job, num_jobs) as journal, Progress(what, total) as progress:
                progress.skip(total - left)
                for utt, scores, embedding in self._scorer.score(directory, self.dump, todo):
                    if archive and embedding is not None and utt not in archive.keys:
                        archive.write(utt, embedding)
                    if utt not in done:
                        journal.add(utt, " ".join(map(str, scores)))  # the shortest text that reads back the same
                    progress.advance()

    def collect(self, directory: Path, out: Path, num_jobs: int = 1) -> None:
        """Join the parts of an array job: write ``out`` and what goes with it.

        Raises:
            InputError: A part is not finished.
        """
        from spooftrace.config.loading import build

        data = DataDir.read(directory)
        made = self._origin(directory)
        parts = Parts(out, made)
        scores, embeddings = parts.scores(), parts.embeddings() if self.embeddings else None
        done = scores.keys() if embeddings is None else scores.keys() & embeddings.keys()
        for job, batches in enumerate(self._shares(data, num_jobs), 1):
            missing = [utt for batch in batches for utt in batch if utt not in done]
            if missing:
                raise InputError(
                    f"{out}: part {job} of {num_jobs} is not finished, {len(missing):,} utterances have no score, "
                    f"first '{missing[0]}'; run 'spooftrace score' for it with the same options (again, if it failed)"
                )
        incomplete = as_json(read_gaps(directory))
        write(out, made, data.utts, scores, embeddings, build(self.config.task), incomplete)
        parts.remove()
        print(f"{out}: {len(data.utts):,} scores")

    def _origin(self, directory: Path) -> dict[str, Any]:
        if directory not in self._origins:  # looking at every audio file takes a while
            frontends = recorded_frontends(self.experiment.path)
            self._origins[directory] = origin(
                self._system, self.config, self.precision, directory, self.dump, frontends
            )
        return self._origins[directory]

    def _shares(self, data: DataDir, num_jobs: int) -> list[list[list[str]]]:
        """The batches of each job."""
        from spooftrace.batching.batches import plan_scoring

        if not data.utts:
            raise InputError(f"{data.path}: no utterances")
        options = self.config.data
        plan = plan_scoring(data, options.eval_batch_size, whole=options.eval_crop != "first")
        return [plan[job::num_jobs] for job in range(num_jobs)]
