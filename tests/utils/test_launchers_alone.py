"""The launchers run on a bare Python: no site-packages, no environment, no current folder on the path."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# Standard modules whose names modules of the library share.
SHADOWED = "import codecs, trace; print(*(module.__file__ for module in (codecs, trace)))"


@pytest.mark.parametrize("script", ["run.py", "slurm.py", "sge.py"])
def test_launchers_need_the_standard_library_only(script, tmp_path):
    command = [sys.executable, "-S", "-I", str(ROOT / "utils" / script), "--help"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0 and "JOB=" in done.stdout, done.stderr


@pytest.mark.parametrize("script", ["run.py", "slurm.py", "sge.py"])
def test_launchers_do_not_shadow_standard_modules(script, tmp_path):
    code = f"import runpy; runpy.run_path({str(ROOT / 'utils' / script)!r}); {SHADOWED}"
    done = subprocess.run([sys.executable, "-S", "-I", "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0 and str(ROOT / "lib") not in done.stdout, done.stderr


def test_a_command_runs_without_site_packages(tmp_path):
    command = [sys.executable, "-S", "-I", str(ROOT / "utils/run.py"), "a.log", "echo", "well"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0 and "well\n" in (tmp_path / "a.log").read_text(), done.stderr
