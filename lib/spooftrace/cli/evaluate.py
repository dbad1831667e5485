"""``spooftrace evaluate``: scores and labels -> metrics."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

# The same names as in spooftrace.evaluation, which imports numpy: tasks, layouts of keys, exports, resampling units.
TASKS = ("detection", "attribution", "parsing", "sasv")
KEY_FORMATS = ("plain", "asvspoof2019", "asvspoof2021", "asvspoof5", "ctrsvdd")
EXPORTS = ("asvspoof2019", "asvspoof2021", "asvspoof5", "ctrsvdd")
UNITS = ("trial", "speaker", "attack")
EARLIER_UNITS = {"system": "attack"}  # earlier name -> name


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``spooftrace evaluate``."""
    path: dict[str, Any] = {"type": Path, "metavar": "FILE"}
    add = parser.add_argument
    add("--task", choices=TASKS, default="detection", help="what was scored (detection)")
    add(
        "--scores",
        required=True,
        help="score file in any known layout; for attribution a file with the header 'utt CLASS CLASS ...' (logits) or "
        "'utt predicted', for parsing 'utt khz kbps quantizers'",
        **path,
    )
    add("--data", type=Path, metavar="DIR", help="data directory of the test set, e.g. data/eval")
    add("--key", help="official key of the test set, instead of --data; for detection with --format", **path)
    add("--out", help="metrics file to write, e.g. exp/x/eval/metrics.json", **path)
    add(
        "--tables",
        type=Path,
        metavar="DIR",
        help="write every table to DIR as .txt, .csv (names that begin like a formula get ' in front) and .tex",
    )

    group = parser.add_argument_group("detection")
    add = group.add_argument
    add(
        "--format",
        choices=KEY_FORMATS,
        help="layout of the key, and the challenge that decides what is computed; plain: 'utt label' and no challenge "
        "(required with --key; with --data by default the word in its file 'convention')",
    )
    add("--subset", help="trials to evaluate, 'all' for all (eval, where the key has subsets)")
    add("--asv-scores", help="ASV scores for the t-DCF: of ASVspoof 2019, or score.txt of ASVspoof 2021", **path)
    add("--export", metavar="FORMAT:FILE", help=f"write the scores for submission: {', '.join(EXPORTS)}")
    add(
        "--bootstrap",
        choices=UNITS,
        type=lambda unit: EARLIER_UNITS.get(unit, unit),
        help="95 %% intervals of the pooled EER and minDCF; what is resampled",
    )
    add("--against", help="scores of another system on the same trials: difference and significance", **path)

    group = parser.add_argument_group("attribution and parsing")
    add = group.add_argument
    add("--labels", metavar="TABLE", help="table of --data with the true classes (utt2vq)")
    add("--embeddings", help="feats.scp of the test set, for detectors of unknown classes", **path)
    add("--train-embeddings", help="feats.scp of the training set", **path)
    add("--train-data", type=Path, metavar="DIR", help="data directory of the training set, which defines the classes")
    add("--codec-data", type=Path, metavar="DIR", nargs="+", help="further directories with codecs to choose from")


def run(args: argparse.Namespace) -> None:
    """``spooftrace evaluate``."""
    from spooftrace.evaluation.evaluate import Options, evaluate

    evaluate(Options(**vars(args)))
