"""What tests rely on, so that they pass on every machine: signals, programs, bounds on rounding, tests/run.sh."""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from helpers import half_precision
from helpers.programs import install_python, install_shell
from helpers.tolerance import assert_equal_up_to_rounding, rounding, terms
from torch import nn

TESTS = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("name", ["HUP", "INT", "QUIT", "TERM", "USR1"])
@pytest.mark.parametrize("how", ["ignored", "blocked"])
def test_signals_reach_programs_that_tests_start(name, how):
    """The process that starts pytest may ignore or block signals, as nohup and shell scripts do."""
    stop = f"import os, signal; os.kill(os.getpid(), signal.SIG{name}); print('went on')"
    test = (
        f"import signal, subprocess, sys\n"
        f"if '{how}' == 'blocked': signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIG{name}])\n"
        f"sys.path.insert(0, {str(TESTS)!r})\n"
        f"from helpers import signals; signals.give_children_default_signals()\n"
        f"sys.exit(subprocess.run([sys.executable, '-c', {stop!r}]).returncode == 0)\n"
    )
    ignore = f"trap '' {name}; " if how == "ignored" else ""
    command = ["bash", "-c", f"{ignore}exec {shlex.quote(sys.executable)} -c {shlex.quote(test)}"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert (result.returncode, result.stdout) == (0, ""), result.stderr


@pytest.mark.parametrize("folder", ["a b", "it's", 'say "hi"', "café", "$HOME", "long" * 60])
def test_programs_run_whatever_the_path_of_python(tmp_path, monkeypatch, folder):
    python = tmp_path / folder / "python3"
    python.parent.mkdir()
    install_shell(python, f'exec {shlex.quote(sys.executable)} "$@"')
    monkeypatch.setattr(sys, "executable", str(python))
    install_python(tmp_path / folder / "tool", "import sys; print(sys.argv[1:], sys.flags.isolated)", "-I")
    result = subprocess.run([tmp_path / folder / "tool", "a  b", "'"], capture_output=True, text=True, check=True)
    assert result.stdout == """['a  b', "'"] 1\n"""


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("size", [100, 10_000])
def test_rounding_is_the_size_of_real_errors(dtype, size):
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(2, 64, size, generator=generator, dtype=torch.float64).to(dtype)
    one_by_one = torch.zeros(64, dtype=dtype)
    for start in range(size):
        one_by_one += x[:, start] * y[:, start]
    exact = (x.double() * y.double()).sum(1)
    assert_equal_up_to_rounding(one_by_one, exact, size, dtype)
    assert rounding(exact, size, dtype) < 300 * (one_by_one - exact).abs().max()
    with pytest.raises(AssertionError):
        assert_equal_up_to_rounding(exact * (1 + 2 * rounding(1.0, size, dtype)), exact, size, dtype)


def test_terms_of_a_network():
    assert terms(nn.Sequential(nn.Conv1d(3, 8, 5), nn.BatchNorm1d(8), nn.Linear(7, 2))) == 3 * 5 + 7


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Conv1d(4, 8, 3, stride=2), nn.GELU(), nn.Conv1d(8, 8, 3))

    def forward(self, x):
        return self.layers(x).detach(), None


def test_a_wrong_operation_of_this_processor_is_told_from_our_errors(monkeypatch):
    model, x = Model(), torch.randn(2, 4, 50, generator=torch.Generator().manual_seed(1))
    half_precision.check_bfloat16_autocast(model, x)
    right = model.layers[2].forward
    monkeypatch.setattr(
        model.layers[2], "forward", lambda x: right(x) * (1.3 if torch.is_autocast_enabled("cpu") else 1)
    )
    with pytest.raises(AssertionError):
        half_precision.check_bfloat16_autocast(model, x)
    monkeypatch.undo()
    monkeypatch.setattr(half_precision, "EPS", 1e-6)  # as if the processor rounded more than it should
    with pytest.raises(pytest.xfail.Exception, match=r"aten::convolution of \[\(2, 4, 50\)"):
        half_precision.check_bfloat16_autocast(model, x)


# Stands in for Python and ruff: what it is called with decides how it ends.
STUB = """\
case "$(basename "$0") $*" in
  *--ignore*) echo "FAILED tests/b.py::test_slow"; echo "1 failed, 2 passed"; exit $SLOW ;;
  *"--doctest-modules lib tests"*) echo "FAILED tests/a.py::test_fast"; echo "1 failed, 3 passed"; exit $FAST ;;
  *tests/cluster*) echo "no tests ran"; exit $CLUSTER ;;
  ruff* | lint-imports*) echo "All checks passed!"; exit 0 ;;
  *) echo "python $*"; exit 5 ;;
esac
"""


@pytest.fixture
def suite(tmp_path):
    """Runs tests/run.sh in a checkout whose programs end as they are told."""
    root = tmp_path / "a checkout's café"
    for name in ("tools/setup.sh", "tools/get_model.sh", "tools/slurm_lab.sh"):
        install_shell(root / name, "exit 0")
    for name in ("python", "ruff", "lint-imports"):
        install_shell(root / "tools/venv/bin" / name, STUB)
    (root / "tests").mkdir()
    shutil.copy(TESTS / "run.sh", root / "tests/run.sh")

    def run(*words, **status):
        env = {**os.environ, "FAST": "0", "SLOW": "0", "CLUSTER": "0", **status}
        return subprocess.run([root / "tests/run.sh", *words], env=env, capture_output=True, text=True)

    return run


def test_all_parts_run_and_all_failures_are_reported(suite):
    result = suite(FAST="1", SLOW="1")
    assert result.returncode == 1
    summary = result.stdout.split("tests/run.sh: summary\n")[1].splitlines()
    assert summary == [
        "ruff check: All checks passed!", "ruff format: All checks passed!",
        "order of the rooms: All checks passed!",
        "FAILED tests/a.py::test_fast", "fast tests: 1 failed, 3 passed",
        "FAILED tests/b.py::test_slow", "slow tests: 1 failed, 2 passed",
        "cluster tests: no tests ran",
    ]  # fmt: skip
    assert result.stderr.splitlines()[-2:] == [
        "tests/run.sh: failed: fast tests (exit status 1)",
        "tests/run.sh: failed: slow tests (exit status 1)",
    ]


@pytest.mark.parametrize("part", ["FAST", "SLOW", "CLUSTER"])
@pytest.mark.parametrize("status", ["1", "5", "137"])  # a failure, nothing collected, killed
def test_one_part_that_fails_is_enough(suite, part, status):
    assert suite().returncode == 0
    result = suite(**{part: status})
    assert result.returncode == 1
    assert f"(exit status {status})" in result.stderr.splitlines()[-1]


def test_fast_leaves_the_slow_parts_out(suite):
    result = suite("fast", SLOW="1", CLUSTER="1")
    assert (result.returncode, result.stderr.count("slow"), result.stderr.count("cluster")) == (0, 0, 0)
    assert "fast tests: " in result.stdout


def test_rooms_are_folders_of_tests(suite, tmp_path):
    root = tmp_path / "a checkout's café"
    for name in ("tests/archive", "tests/recipes", "lib/spooftrace/archive"):
        (root / name).mkdir(parents=True)
    result = suite("-x", "archive", "recipes")
    paths = "tests/archive lib/spooftrace/archive tests/recipes"
    assert (result.returncode, result.stdout) == (5, f"python -m pytest -m not slow --doctest-modules -x {paths}\n")


def test_arguments_go_to_pytest(suite):
    result = suite("-k", "a name")
    assert (result.returncode, result.stdout) == (5, "python -m pytest -k a name\n")
