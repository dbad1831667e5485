"""Stage 5: score a data directory with a trained system.

In an array job, job ``J`` of ``N`` scores one shard. ``--collect`` then checks that no utterance is missing and writes
``scores.txt``. A single job does both. Files in ``<exp>/<set>/``:

| file | content |
|---|---|
| ``scores.txt`` | ``utt score``, higher = more bona fide, byte-sorted |
| ``scores.json`` | data, system and settings of the scores; it marks the scores as complete |
| ``embeddings.{ark,scp}`` | with ``--embeddings``: one vector per utterance, the input of the last linear layer |

| module | does |
|---|---|
| ``scorer`` | compute scores and embeddings of batches with a trained system |
| ``store`` | origin of scores, shards of an array job, the files above |
| ``verifying`` | ``spooftrace status --verify``: check that written files are unchanged |
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
from spooftrace.scoring.store import Shards, is_complete, origin_of_scores, write
from spooftrace.system.files import CONFIG, MODEL, recorded_frontends

if TYPE_CHECKING:
    from spooftrace.scoring.scorer import Scorer
    from spooftrace.system.packing import Precision

__all__ = ["Scoring", "score", "score_all"]


def score(
    exp: Path, directory: Path, dump: Path, out: Path, num_gpus: int = 0, policy: Sequence[str] = (),
    precision: Precision = "fp32",
) -> None:  # fmt: skip
    """Score a data directory as a single shard.

    Args:
        exp: Folder of the trained system.
        directory: The data directory.
        dump: Folder of stored streams.
        out: The score file.
        num_gpus: 1 to compute on the GPU.
        policy: Overrides of the scoring options, such as ``["--data.eval_crop", "full"]``.
        precision: Precision of the front-ends.

    Raises:
        InputError: ``Scoring`` or one of its methods fails.
    """
    scoring = Scoring(exp, dump, policy, num_gpus, precision)
    scoring.score_shard(directory, out)
    scoring.collect(directory, out)


def score_all(
    load: Callable[[], Scoring], directories: Sequence[Path], out: Path, job: int = 1, num_jobs: int = 1,
    collect_only: bool = False,
) -> None:  # fmt: skip
    """Score data directories that are not scored yet, or one shard of each in an array job.

    Args:
        load: Returns the trained system; called after the names of the data directories have been checked.
        directories: The data directories.
        out: Folder for ``<set>/scores.txt``.
        job: Number of this job, counted from 1.
        num_jobs: Number of jobs; a single job also collects.
        collect_only: Only collect the shards, after all jobs have run.

    Raises:
        InputError: Two data directories have the same last name, or ``Scoring`` or one of its methods fails.
    """
    seen: dict[str, Path] = {}
    for directory in directories:
        if seen.setdefault(directory.name, directory) != directory:
            raise InputError(
                f"{seen[directory.name]} and {directory} have the same last name, so their scores would overwrite "
                "each other; score one of them with another --out"
            )
    scoring = load()
    for directory in directories:
        path = out / directory.name / "scores.txt"
        if scoring.is_complete(directory, path):
            print(f"{path}: already scored")
            continue
        if not collect_only:
            scoring.score_shard(directory, path, job, num_jobs)
        if collect_only or num_jobs == 1:
            scoring.collect(directory, path, num_jobs)


class Scoring:
    """Score data directories with the trained system of an experiment, which is loaded once.

    Args:
        exp: Folder of the trained system.
        dump: Folder of stored streams.
        policy: Overrides of the scoring options, such as ``["--data.eval_crop", "full"]``.
        num_gpus: 1 to compute on the GPU.
        precision: Precision of the front-ends.
        embeddings: Also write ``embeddings.{ark,scp}``.

    Raises:
        InputError: ``exp`` has no trained model, or a scoring option is unknown.
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
        """Return whether a score file and its companions are complete.

        Args:
            directory: The data directory.
            out: The score file.

        Returns:
            Whether ``out`` holds the scores of ``directory`` by this system, with embeddings if required.

        Raises:
            InputError: Stored features are missing or were computed from other audio.
        """
        return is_complete(out, self._origin(directory), self.embeddings)

    def score_shard(
        self, directory: Path, out: Path, job: int = 1, num_jobs: int = 1, title: str | None = None
    ) -> None:
        """Score one shard of a data directory, and continue an interrupted run.

        The batches are planned for the whole directory, and a job computes every ``num_jobs``-th of them. Scores are
        therefore bit-identical for any number of jobs and restarts, and all jobs get a share of the long utterances.
        Scores that were finished before an error are kept.

        Args:
            directory: The data directory.
            out: The score file that ``collect`` writes; until then the scores are in a folder beside it.
            job: Number of this shard, counted from 1.
            num_jobs: Number of shards.
            title: Title of the progress; by default the directory and the shard.

        Raises:
            InputError: The data directory is invalid, or ``Scorer.score`` fails.
        """
        from spooftrace.common.progress import Progress
        from spooftrace.scoring.scorer import Scorer

        data = DataDir.read(directory)
        shards = Shards(out, self._origin(directory))
        batches = self._batches(data, num_jobs)[job - 1]
        with shards.archive(job, num_jobs) if self.embeddings else nullcontext() as archive:
            done = shards.done(archive)
            todo = [batch for batch in batches if not done.issuperset(batch)]
            if not todo:
                print(f"{directory}: shard {job} of {num_jobs} is already scored")
                return
            if self._scorer is None:
                self._scorer = Scorer(self.experiment, self.num_gpus, self.precision, self.embeddings)
            task = f"scoring {title or f'{directory}, shard {job} of {num_jobs}'}"
            total, left = (sum(map(len, plan)) for plan in (batches, todo))
            with shards.journal(job, num_jobs) as journal, Progress(task, total) as progress:
                progress.skip(total - left)
                for utt, scores, embedding in self._scorer.score(directory, self.dump, todo):
                    if archive and embedding is not None and utt not in archive.keys:
                        archive.write(utt, embedding)
                    if utt not in done:
                        journal.add(utt, " ".join(map(str, scores)))  # the shortest text that reads back exactly
                    progress.advance()

    def collect(self, directory: Path, out: Path, num_jobs: int = 1) -> None:
        """Join the shards of an array job: write ``out`` and its companions.

        Args:
            directory: The data directory.
            out: The score file.
            num_jobs: Number of shards.

        Raises:
            InputError: A shard is not finished.
        """
        from spooftrace.config.loading import build

        data = DataDir.read(directory)
        origin = self._origin(directory)
        shards = Shards(out, origin)
        scores, embeddings = shards.scores(), shards.embeddings() if self.embeddings else None
        done = scores.keys() if embeddings is None else scores.keys() & embeddings.keys()
        for job, batches in enumerate(self._batches(data, num_jobs), 1):
            missing = [utt for batch in batches for utt in batch if utt not in done]
            if missing:
                raise InputError(
                    f"{out}: shard {job} of {num_jobs} is not finished, {len(missing):,} utterances have no score, "
                    f"first '{missing[0]}'; run 'spooftrace score' for it with the same options"
                )
        incomplete = as_json(read_gaps(directory))
        write(out, origin, data.utts, scores, embeddings, build(self.config.task), incomplete)
        shards.remove()
        print(f"{out}: {len(data.utts):,} scores")

    def _origin(self, directory: Path) -> dict[str, Any]:
        if directory not in self._origins:  # cached, because it inspects every audio file
            frontends = recorded_frontends(self.experiment.path)
            self._origins[directory] = origin_of_scores(
                self._system, self.config, self.precision, directory, self.dump, frontends
            )
        return self._origins[directory]

    def _batches(self, data: DataDir, num_jobs: int) -> list[list[list[str]]]:
        """Return the batches of each job."""
        from spooftrace.batching.batches import plan_scoring

        if not data.utts:
            raise InputError(f"{data.path}: no utterances")
        options = self.config.data
        plan = plan_scoring(data, options.eval_batch_size, whole=options.eval_crop != "first")
        return [plan[job::num_jobs] for job in range(num_jobs)]
