"""The oldest Python that setup.py promises can run the code, as far as vermin knows."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
OLDEST = "3.10"


def vermin(*paths: str | Path) -> subprocess.CompletedProcess[str]:
    command = [Path(sys.executable).with_name("vermin"), f"-t={OLDEST}-", "--no-tips", "--violations", *map(str, paths)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT)


def test_setup_promises_that_version():
    assert f'python_requires=">={OLDEST}"' in (ROOT / "setup.py").read_text(encoding="utf-8")


def test_no_syntax_or_library_of_a_later_python_is_used():
    folders = ["lib", "utils", "egs", *sorted(ROOT.glob("tools/*.py"))]
    result = vermin(*folders)
    assert result.returncode == 0, result.stdout + result.stderr


def test_vermin_notices_a_later_function(tmp_path):
    (tmp_path / "later.py").write_text("import hashlib\nhashlib.file_digest\n", encoding="utf-8")
    result = vermin(tmp_path)
    assert result.returncode == 1 and "hashlib.file_digest" in result.stdout
