"""The experiments of a recipe, from the options of its ``run.sh``: systems x seeds, with configurations."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

SYSTEMS = (Path("../../conf/systems"), Path("conf"))  # as published, and as the recipe differs from that
VECTORS = Path("../../conf/vectors")
DEFAULT_SEED = 1234
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")
TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+=-]*")
MODULE = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")


class OptionError(ValueError):
    """An option of ``run.sh`` cannot be used."""


@dataclass(frozen=True)
class Experiment:
    """One training: a system, a seed, and where its files lie.

    Attributes:
        exp: Folder of the experiment.
        name: Name of the system, with the task if it belongs to the name.
        seed: Random seed.
        dump: Folder of the stored streams.
        start: Folder of the experiment from which this one starts, or "".
        configs: Configuration files; later ones win.
    """

    exp: str
    name: str
    seed: int
    dump: str
    start: str
    configs: tuple[str, ...]

    def to_line(self) -> str:
        """Return this experiment as a line of a plan file."""
        return "\t".join((self.exp, self.name, str(self.seed), self.dump, self.start, " ".join(self.configs)))

    @classmethod
    def from_line(cls, line: str) -> Experiment:
        """Read a line of a plan file."""
        exp, name, seed, dump, start, configs = line.rstrip("\n").split("\t")
        return cls(exp, name, int(seed), dump, start, tuple(configs.split()))


@dataclass(frozen=True)
class Choice:
    """The options of ``run.sh`` that decide which experiments there are.

    Attributes:
        systems: Names of systems.
        seed: The seed, if ``--seed`` was given.
        seeds: The seeds, if ``--seeds`` was given.
        tag: End of the folder names instead of the seed.
        task: Task of a recipe that has several; "" for detection.
        variant: Part of the folder names, for other data of the same corpus.
        ptm: Models of ``conf/vectors`` for systems with a stream ``vector``; empty where the recipe has none.
        start_from: System -> the system of the same seed from which it starts.
        variants: System -> a variant of its own.
    """

    systems: Sequence[str]
    seed: int | None = None
    seeds: Sequence[int] = ()
    tag: str = ""
    task: str = ""
    variant: str = ""
    ptm: Sequence[str] = ()
    start_from: Mapping[str, str] = field(default_factory=dict)
    variants: Mapping[str, str] = field(default_factory=dict)


def experiments(choice: Choice) -> Iterator[Experiment]:
    """Yield the experiments of a recipe, whose folder is the current one: system by system, seed by seed."""
    for system in choice.systems:
        files = system_files(system, choice.task)
        has_vector = any(re.search(r"^ *vector:", _text(file), re.MULTILINE) for file in files)
        for model in choice.ptm if choice.ptm and has_vector else ("",):
            yield from _seeds(choice, system, files, model)


def system_files(system: str, task: str) -> list[Path]:
    """Return the configuration files of a system: at most one of each folder, that for the task if there is one."""
    names = [f"{system}_{task}.yaml"] if task else []
    found = [[path for name in (*names, f"{system}.yaml") if (path := folder / name).is_file()] for folder in SYSTEMS]
    return [paths[0] for paths in found if paths]


def known_systems() -> list[str]:
    """Return the names of the systems in ``conf/systems`` and in the recipe's own ``conf``."""
    return sorted({path.stem for folder in SYSTEMS for path in folder.glob("*.yaml")})


def known_models() -> list[str]:
    """Return the names of the models in ``conf/vectors``."""
    return sorted(path.stem for path in VECTORS.glob("*.yaml"))


def _seeds(choice: Choice, system: str, files: Sequence[Path], model: str) -> Iterator[Experiment]:
    """Yield the experiments with one system, on the vectors of ``model`` unless it is empty."""
    task = choice.task
    tasks = [
        path for folder in ("../..", ".") if task and (path := Path(folder, "conf/tasks", f"{task}.yaml")).is_file()
    ]
    of_task = bool(task) and any(path.name.endswith(f"_{task}.yaml") for path in files)
    name = system
    if task and not system.endswith(f"_{task}") and (tasks or of_task):
        name = f"{system}_{task}"  # the same system for another task is another experiment
    if of_task or any("MultiAttribution" in _text(file) for file in files):
        tasks = []  # such a system is for one task alone, or for several at once
    variant = model or "_".join(filter(None, (_of_system(choice.variants, name), choice.variant)))
    start = _of_system(choice.start_from, name)
    configs = [*files, *tasks]
    seeds = choice.seeds or [_published_seed(configs) if choice.seed is None else choice.seed]
    if model:
        configs.append(VECTORS / f"{model}.yaml")
    paths = tuple(f"./{path}" if path in tasks and path.parts[0] == "conf" else str(path) for path in configs)
    for seed in seeds:
        yield Experiment(
            _folder(choice, name, variant, seed), name, seed, f"dump/{model}" if model else "dump",
            _folder(choice, start, variant, seed) if start else "", paths,
        )  # fmt: skip


def _folder(choice: Choice, name: str, variant: str, seed: int) -> str:
    stem = "_".join(filter(None, ("exp/" + name, variant)))
    if choice.seeds:
        return "_".join(filter(None, (stem, choice.tag, f"s{seed}")))
    return f"{stem}_{choice.tag or f's{seed}'}"


def _of_system(values: Mapping[str, str], name: str) -> str:
    """Return the value for a system; ``sastnet`` also stands for ``sastnet_vq``."""
    return next((value for system, value in values.items() if name == system or name.startswith(f"{system}_")), "")


def _published_seed(configs: Sequence[Path]) -> int:
    """Return the seed of the last configuration file that has one: published results belong to a seed."""
    found = [seed for path in configs for seed in re.findall(r"^seed_everything: *(\d+)", _text(path), re.MULTILINE)]
    return int(found[-1]) if found else DEFAULT_SEED


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")
