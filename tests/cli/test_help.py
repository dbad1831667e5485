"""Help texts appear without loading anything large; names in them are those of the library."""

import subprocess
import sys

import pytest

from spooftrace.audio.silence import DETECTORS
from spooftrace.audit.findings import LABELS
from spooftrace.cli import audit, evaluate, trim
from spooftrace.cli.main import COMMANDS
from spooftrace.cli.options import CommandParser
from spooftrace.evaluation import export, keys, uncertainty
from spooftrace.evaluation.evaluate import TASKS

SCRIPT = """
import contextlib, io, sys
from spooftrace.cli.main import COMMANDS, main
for command in [*COMMANDS, None]:
    text = io.StringIO()
    with contextlib.redirect_stdout(text), contextlib.suppress(SystemExit):
        main([command, "--help"] if command else ["--help"])
    heavy = sorted({"torch", "numpy", "lightning", "transformers"} & set(sys.modules))
    print(command, "usage: spooftrace" in text.getvalue(), heavy)
"""


def test_no_help_imports_torch_or_numpy():
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [f"{command} True []" for command in [*COMMANDS, None]]


def test_names_in_help_texts():
    assert list(evaluate.TASKS) == list(TASKS)
    assert list(evaluate.KEY_FORMATS) == list(keys.FORMATS)
    assert list(evaluate.EXPORTS) == list(export.FORMATS)
    assert list(evaluate.UNITS) == list(uncertainty.UNITS)
    assert list(trim.METHODS) == list(DETECTORS)
    assert audit.LABELS == LABELS


@pytest.mark.parametrize("words", [["--num-nodes", "2"], ["--num_nodes", "2"], ["--num_nodes=2"]])
def test_underscores_in_options_are_hyphens(words):
    parser = CommandParser()
    parser.add_argument("--num-nodes", type=int)
    parser.add_argument("--data.eval_crop")
    assert parser.parse_args(words).num_nodes == 2
    crop, others = parser.parse_known_args(["--data.eval_crop", "full", "--seed_everything", "3"])
    assert vars(crop)["data.eval_crop"] == "full" and others == ["--seed_everything", "3"]


def test_sub_commands_take_both_spellings():
    parser = CommandParser()
    parser.add_subparsers(dest="command").add_parser("list").add_argument("--one-based", action="store_true")
    assert parser.parse_args(["list", "--one_based"]).one_based
