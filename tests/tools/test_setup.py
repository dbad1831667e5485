"""tools/setup.sh: what it says of a Python that will not do, and an environment in a folder of any name."""

import os
import shutil
import subprocess
import venv
from pathlib import Path

import pytest
from helpers.programs import install_shell

TOOLS = Path(__file__).resolve().parents[2] / "tools"


@pytest.fixture
def make_checkout(tmp_path):
    """Makes a checkout that has what setup.sh looks at, in a folder of that name."""

    def make(name: str = "a checkout") -> Path:
        root = tmp_path / name
        (root / "tools").mkdir(parents=True)
        for script in ("setup.sh", "torchaudio_extension.sh"):
            shutil.copy(TOOLS / script, root / "tools" / script)
        (root / "setup.py").write_text("# the setup\n", encoding="utf-8")
        (root / "tools/constraints.txt").write_text("torch==1\n", encoding="utf-8")
        return root

    return make


def setup(root: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, **variables}
    return subprocess.run([root / "tools/setup.sh"], env=env, capture_output=True, text=True)


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("echo \"pyenv: python3: command not found\" >&2; echo 'It exists in: 3.11.7' >&2; exit 127",
         "does not run: pyenv: python3: command not found"),
        ("echo 'No version is set for command python3' >&2; exit 126", "does not run: No version is set for command"),
        ("echo 'error while loading libpython3.11.so.1.0' >&2; exit 127", "does not run: error while"),
        ("exit 9009", "does not run"),
        ("exit 0", "does not run"),
        ("[ \"$2\" = 'import sys; sys.exit(sys.version_info < (3, 10))' ] && exit 1; echo version 3.9.2",
         "Python 3.9.2 ({python}) is too old"),
        ("case $2 in *ensurepip*) exit 1 ;; esac; echo a notice; echo version 3.12.1",
         "cannot make virtual environments: install the system package python3-venv"),
    ],
)  # fmt: skip
def test_a_python_that_will_not_do(make_checkout, tmp_path, script, message):
    python = tmp_path / "my bin/python3"
    install_shell(python, script)
    root = make_checkout()
    result = setup(root, SPOOFTRACE_PYTHON=str(python))
    assert result.returncode == 1
    assert message.format(python=python) in result.stderr.splitlines()[0]
    assert " is too old" in message or " is too old" not in result.stderr
    assert str(python) in result.stderr, "it says which Python"
    assert not (root / "tools/venv").exists()


@pytest.mark.parametrize("locale", ["C", "POSIX", "C.UTF-8"])
@pytest.mark.parametrize("name", ["café", "日本語", "new user's naïve folder"])
def test_the_library_is_imported_whatever_the_folder_and_the_locale(make_checkout, name, locale):
    root = make_checkout(name)
    environment = root / "tools/venv"
    venv.create(environment, symlinks=True)
    (root / "lib").mkdir()
    (root / "lib/the_library.py").write_text("print('imported')\n", encoding="utf-8")
    (packages,) = environment.glob("lib/python3.*/site-packages")
    link = packages / "__editable__.spooftrace-0.1.0.pth"
    link.write_text(f"{root / 'lib'}\n", encoding="utf-8")  # as pip does
    install_shell(environment / "bin/spooftrace", "exit 0")
    wanted = f"# the setup\ntorch==1\n{environment} "
    (environment / ".spooftrace-setup").write_text(wanted, encoding="utf-8")

    for _ in range(2):
        result = setup(root, SPOOFTRACE_PYTHON="")
        assert (result.returncode, result.stderr) == (0, ""), "all is installed"
    command = [environment / "bin/python", "-c", "import the_library"]
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "LC_", "LANG"))}
    result = subprocess.run(command, env={**env, "LC_ALL": locale}, capture_output=True, text=True)
    assert (result.returncode, result.stdout) == (0, "imported\n"), result.stderr
    assert link.read_text(encoding="ascii") and [path.name for path in packages.glob("*.new")] == []
