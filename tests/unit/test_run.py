"""The job contract, checked on utils/run.py.

The tests that take the fixture ``launcher`` state what every launcher does; another one joins them by an entry in
``LAUNCHERS``. Those on the pool and on signals to local processes are about run.py alone.
"""

from __future__ import annotations

import os
import pty
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from spooftrace.jobs import contract, local, records

REPOSITORY = Path(__file__).resolve().parents[2]
# -I -S: no installed package is visible, as on a machine where nothing has been set up yet.
LAUNCHERS = {"run.py": [sys.executable, "-I", "-S", str(REPOSITORY / "utils" / "run.py")]}


class Launcher:
    """A launcher, always started in a folder whose name has a space."""

    def __init__(self, command: list[str], folder: Path) -> None:
        self.command = command
        self.folder = folder
        folder.mkdir()

    def __call__(self, *words: str, **env: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [*self.command, *words],
            cwd=self.folder,
            env={**os.environ, **env},
            capture_output=True,
            text=True,
            timeout=60,
        )

    def start(self, *words: str, **options) -> subprocess.Popen:
        return subprocess.Popen([*self.command, *words], cwd=self.folder, stderr=subprocess.PIPE, text=True, **options)

    def text(self, name: str) -> str:
        return (self.folder / name).read_text()

    def output(self, log: str) -> str:
        """What the command printed: a log without its comment lines."""
        return "".join(line for line in self.text(log).splitlines(keepends=True) if not line.startswith("#"))


@pytest.fixture(params=LAUNCHERS)
def launcher(request, tmp_path):
    return Launcher(LAUNCHERS[request.param], tmp_path / "work here")


@pytest.fixture
def run(tmp_path):
    return Launcher(LAUNCHERS["run.py"], tmp_path / "work here")


# ---- the command line, substitution, quoting: words -> exit status and what each log holds ----

WORDS = [
    "it's", 'say "hi"', "both ' and \"", "$HOME", "$(id) `id`", "a  b", "", "*", "~", "back\\slash", "new\nline", "#no",
    "<unk>", ">file", "a|b", "x;", "!", "(", "{a,b}", "&", "--lr=1 2", "k=v w", "naïve",
]  # fmt: skip
SHOW = [sys.executable, "-c", "import ast, sys; print(ascii(sys.argv[1:]))"]

CONTRACT = {
    "one task": (["x.log", "echo", "hi"], 0, {"x.log": "hi\n"}),
    "array": (["JOB=1:3", "x.JOB.log", "echo", "JOB"], 0, {"x.1.log": "1\n", "x.2.log": "2\n", "x.3.log": "3\n"}),
    "array not from 1": (["JOB=9:10", "x.JOB.log", "echo", "JOB"], 0, {"x.9.log": "9\n", "x.10.log": "10\n"}),
    "array of one number": (["JOB=7", "x.JOB.log", "echo", "JOB"], 0, {"x.7.log": "7\n"}),
    "array of one may have a plain log": (["JOB=1:1", "x.log", "echo", "JOB"], 0, {"x.log": "1\n"}),
    "every occurrence, inside words": (["J=1:2", "J.J.log", "echo", "J", "Jack"], 0, {"1.1.log": "1 1ack\n"}),
    "a longer name": (["my_id=1:2", "x.my_id.log", "echo", "amy_id"], 0, {"x.2.log": "a2\n"}),
    "options on both sides": (
        ["--mem", "4G", "--gpu", "0", "JOB=1:2", "--time", "1:00:00", "-tc", "1", "x.JOB.log", "echo", "JOB"],
        0,
        {"x.1.log": "1\n", "x.2.log": "2\n"},
    ),
    "underscores in options": (["--num_threads", "1", "x.log", "echo", "a"], 0, {"x.log": "a\n"}),
    "options end at the log": (["x.log", "echo", "--gpu", "JOB=1:2"], 0, {"x.log": "--gpu JOB=1:2\n"}),
    "log folders are made": (["JOB=1:2", "a b/JOB/c/x.log", "echo", "a"], 0, {"a b/1/c/x.log": "a\n"}),
    "both output streams": (["x.log", "bash", "-c", "echo out; echo err >&2"], 0, {"x.log": "out\nerr\n"}),
    "no standard input": (["x.log", "cat", "&&", "[", "/dev/stdin", "-ef", "/dev/null", "]"], 0, {"x.log": ""}),
    "words arrive as given": (["x.log", *SHOW, *WORDS], 0, {"x.log": ascii(WORDS) + "\n"}),
    "a command of 200 kB": (["x.log", "printf", "%s", *["a" * 99] * 2_000], 0, {"x.log": "a" * 99 * 2_000 + "\n"}),
    "variables in front": (["x.log", "A=x y$", "B=", "bash", "-c", 'echo "$A$B"'], 0, {"x.log": "x y$\n"}),
    "the inner shell's variables": (["JOB=3", "x.log", "bash", "-c", "echo $1 $0", "a", "JOB"], 0, {"x.log": "3 a\n"}),
    "test command": (["JOB=1:2", "x.JOB.log", "[", "JOB", "!=", "3", "]"], 0, {"x.1.log": ""}),
    "pipe": (["x.log", "printf", "b\\na\\n", "|", "sort"], 0, {"x.log": "a\nb\n"}),
    "files": (
        ["JOB=1:2", "x.JOB.log", "echo", "JOB", ">", "o JOB", "&&", "cat", "<", "o JOB", ">>", "p JOB"],
        0,
        {"o 1": "1\n", "p 2": "2\n"},
    ),
    "error stream": (["x.log", "ls", "/no", "2>", "e", ";", "ls", "/no", "2>>", "e", ";", "true"], 0, {"x.log": ""}),
    "errors into a pipe": (["x.log", "bash", "-c", "echo e >&2", "2>&1", "|", "tr", "e", "f"], 0, {"x.log": "f\n"}),
    "or": (["x.log", "false", "||", "echo", "b"], 0, {"x.log": "b\n"}),
    "failure": (["x.log", "bash", "-c", "exit 3"], 1, {"x.log": ""}),
    "failure in a pipe": (["x.log", "false", "|", "true"], 1, {"x.log": ""}),
    "failure in a pipe, ignored": (["--pipefail", "false", "x.log", "false", "|", "true"], 0, {"x.log": ""}),
    "failure by argument": (["JOB=3", "x.log", "bash", "-c", "exit $1", "x", "JOB"], 1, {"x.log": ""}),
    "death by a signal": (["x.log", "bash", "-c", "kill -9 $$"], 1, {}),
    "no such command": (["x.log", "no-such-command"], 1, {}),
    "a pipe to nowhere": (["x.log", "echo", "|"], 1, {}),
    "a failure does not stop the others": (
        ["--max-jobs-run", "1", "JOB=1:3", "x.JOB.log", "bash", "-c", "echo JOB; exit $((JOB < 3))"],
        1,
        {"x.1.log": "1\n", "x.2.log": "2\n", "x.3.log": "3\n"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CONTRACT)
def test_contract(launcher, case):
    words, status, files = CONTRACT[case]
    done = launcher(*words)
    assert (done.returncode, done.stdout) == (status, ""), done.stderr
    assert (done.stderr == "") == (status == 0)
    for name, content in files.items():
        assert launcher.output(name) == content


WRONG = {
    "nothing": ([], 255, "LOGFILE and COMMAND missing"),
    "no command": (["x.log"], 255, "COMMAND missing"),
    "unknown option": (["--foo-bar", "1", "x.log", "touch", "ran"], 255, "unknown option --foo-bar; the options are"),
    "unknown short option": (["-V", "x.log", "touch", "ran"], 255, "unknown option -V;"),
    "equals sign": (["--gpu=1", "x.log", "touch", "ran"], 255, "write --gpu 1, not --gpu=1"),
    "the array for a value": (["--mem", "JOB=1:2", "x.log", "touch", "ran"], 255, "--mem needs a value, found JOB=1:2"),
    "the log for a value": (["--time", "x.log", "touch", "ran"], 255, "--time needs a value, found x.log"),
    "an option for a value": (["--gpu", "--mem", "x.log", "touch", "ran"], 255, "--gpu needs a value, found --mem"),
    "nothing for a value": (["--gpu"], 255, "--gpu needs a value"),
    "not a number": (["--gpu", "all", "x.log", "touch", "ran"], 255, "--gpu needs a whole number, 0 or more; found"),
    "no task at a time": (["-tc", "0", "x.log", "touch", "ran"], 255, "--max-jobs-run needs a whole number, 1 or more"),
    "bad pick": (["--pick", "some", "x.log", "touch", "ran"], 255, "--pick needs one of all, failed, incomplete"),
    "bad boolean": (["--pipefail", "no", "x.log", "touch", "ran"], 255, "--pipefail needs one of true, false"),
    "task 0": (["JOB=0:2", "x.JOB.log", "touch", "ran"], 255, "JOB=0:2: a range of tasks is NAME=FIRST:LAST"),
    "backwards": (["JOB=3:1", "x.JOB.log", "touch", "ran"], 255, "JOB=3:1: a range"),
    "half a range": (["JOB=1:", "x.JOB.log", "touch", "ran"], 255, "JOB=1:: a range"),
    "not a range": (["JOB=a:b", "x.JOB.log", "touch", "ran"], 255, "JOB=a:b: a range"),
    "two ranges": (["JOB=1:2", "K=1:2", "x.JOB.log", "touch", "ran"], 255, "K=1:2: the range of tasks is given twice"),
    "one log for many": (["JOB=1:2", "x.log", "touch", "ran"], 1, "2 tasks cannot share one log: put JOB into x.log"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_wrong_command_line(case):
    words, status, message = WRONG[case]
    with pytest.raises(contract.LauncherExit) as caught:
        contract.parse(words, "run.py")
    assert caught.value.status == status
    assert message in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("case", ["unknown option", "one log for many"])
def test_wrong_command_line_runs_nothing(launcher, case):
    words, status, message = WRONG[case]
    done = launcher(*words)
    assert (done.returncode, done.stdout) == (status, "")
    assert message in done.stderr and done.stderr.count("\n") == 1
    assert list(launcher.folder.iterdir()) == []


def test_help(launcher):
    done = launcher("--gpu", "1", "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert all(option in done.stdout for option in contract.OPTIONS)


def test_array_spec_is_not_confused_with_a_log_path():
    assert contract.parse(["lr=0.1/x.log", "true"], "run.py").log == "lr=0.1/x.log"


def test_tightest_limit_holds():
    assert contract.parse(["-tc", "2", "--max-jobs-run", "5", "x.log", "true"], "run.py").max_jobs_run == 2


# ---- logs and reports ----

LOG = r"""# bash -c 'echo line; printf end; exit 3'
# Started at \w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \S+ \d{4}
#
line
end
# Accounting: time=\d+ threads=2
# Ended \(code 3\) at \w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \S+ \d{4}, elapsed time \d+ seconds
"""


def test_log_format(launcher):
    launcher("--num-threads", "2", "x.log", "bash", "-c", "echo line; printf end; exit 3")
    assert re.fullmatch(LOG, launcher.text("x.log"))


def test_log_names_the_signal(launcher):
    launcher("x.log", "bash", "-c", "kill -9 $$")
    assert "# Ended (code 137; signal 9)" in launcher.text("x.log")


def test_log_replaces_an_older_one(launcher):
    launcher("x.log", "echo", "old")
    launcher("x.log", "echo", "new")
    assert launcher.output("x.log") == "new\n"


def test_log_quotes_a_command_of_several_lines(launcher):
    launcher("x.log", "bash", "-c", "echo a\necho b")
    assert launcher.text("x.log").startswith("# bash -c 'echo a\n# echo b'\n# Started at ")
    assert launcher.output("x.log") == "a\nb\n"


def test_report_on_one_task(launcher):
    done = launcher("x.log", "bash", "-c", "echo no such file: a.wav; exit 1")
    first, second, *rest = done.stderr.splitlines()
    assert first.endswith("job failed, log is in x.log")
    assert second.endswith("end of x.log:")
    assert any(line.endswith("no such file: a.wav") for line in rest)


def test_report_on_an_array(launcher):
    script = "for i in {1..99}; do echo line $i of JOB; done; exit $((JOB % 2))"
    done = launcher("JOB=2:9", "log/x.JOB.log", "bash", "-c", script)
    lines = done.stderr.splitlines()
    messages = [line.partition(": ")[2] for line in lines[:3]]
    assert messages == ["4 / 8 failed, log is in log/x.*.log", "failed tasks: 3 5 7 9", "end of log/x.3.log:"]
    assert lines[3] == "  line 82 of 3" and len(lines) == 3 + records.TAIL_LINES
    assert lines[-1].startswith("  # Ended (code 1)")


def test_report_shows_a_progress_bar_once(launcher):
    done = launcher("x.log", "bash", "-c", r"printf '1%%\r2%%\r3%%\r\n\377'; exit 1")
    assert "  3%\n" in done.stderr and "1%" not in done.stderr.replace("1%%", "")


# ---- --pick ----


def test_pick(launcher):
    attempt = ["JOB=1:4", "x.JOB.log", "bash", "-c", 'echo >> ran.JOB; exit "$(cat code.JOB)"']
    for task, code in enumerate([0, 1, 0, 2], start=1):
        (launcher.folder / f"code.{task}").write_text(str(code))

    def ran():
        return [(launcher.folder / f"ran.{task}").read_text().count("\n") for task in (1, 2, 3, 4)]

    assert launcher(*attempt).returncode == 1 and ran() == [1, 1, 1, 1]

    (launcher.folder / ".x.3.log.status").unlink()  # as after a power cut
    done = launcher("--pick", "incomplete", *attempt)
    assert ran() == [1, 1, 2, 1]
    assert done.returncode == 1 and "2 / 4 failed" in done.stderr and "failed tasks: 2 4" in done.stderr

    (launcher.folder / "code.2").write_text("0")
    done = launcher("--pick", "failed", *attempt)
    assert ran() == [1, 2, 2, 2]
    assert done.returncode == 1 and "1 / 4 failed" in done.stderr

    (launcher.folder / "code.4").write_text("0")
    (launcher.folder / "x.1.log").unlink()  # deleting a log forgets the task
    assert launcher("--pick", "failed", *attempt).returncode == 0 and ran() == [2, 2, 2, 3]
    assert launcher("--pick", "failed", *attempt).returncode == 0 and ran() == [2, 2, 2, 3]
    assert launcher("--pick", "all", *attempt).returncode == 0 and ran() == [3, 3, 3, 4]


def test_pick_believes_the_record_and_not_the_log(launcher):
    words = ["x.log", "bash", "-c", "echo '# Ended (code 0) at noon, elapsed time 0 seconds'; echo >> ran; exit 1"]
    launcher(*words)
    launcher("--pick", "failed", *words)
    assert launcher.text("ran") == "\n\n"


@pytest.mark.parametrize("text", ["", "0 1", "ok"])
def test_damaged_record_means_not_ended(tmp_path, text):
    log = tmp_path / "x.log"
    log.touch()
    records.record_path(log).write_text(text)
    assert records.read_record(log) is None


# ---- the local pool ----


def test_runs_tasks_at_the_same_time(run):
    wait_for_the_other = "touch JOB; for i in {1..500}; do [ -e $((3 - JOB)) ] && exit 0; sleep 0.01; done; exit 1"
    assert run("--max-jobs-run", "2", "JOB=1:2", "x.JOB.log", "bash", "-c", wait_for_the_other).returncode == 0


def test_never_runs_more_than_the_limit(run):
    count = "touch on.JOB; sleep 0.1; set -- on.*; echo $#; rm on.JOB"
    assert run("--max-jobs-run", "2", "JOB=1:6", "x.JOB.log", "bash", "-c", count).returncode == 0
    assert all(int(run.output(f"x.{task}.log")) <= 2 for task in range(1, 7))


ENVIRONMENT = ["bash", "-c", 'echo "${CUDA_VISIBLE_DEVICES-unset} ${OMP_NUM_THREADS-unset}"']


def test_threads_are_exported(run):
    run("--num-threads", "3", "x.log", *ENVIRONMENT, CUDA_VISIBLE_DEVICES="0")
    assert run.output("x.log") == "0 3\n"


def test_environment_is_left_alone_by_default(run):
    run("x.log", *ENVIRONMENT, CUDA_VISIBLE_DEVICES="5,6", OMP_NUM_THREADS="7")
    assert run.output("x.log") == "5,6 7\n"


def test_no_gpu_hides_all(run):
    run("--gpu", "0", "x.log", *ENVIRONMENT, CUDA_VISIBLE_DEVICES="5,6", OMP_NUM_THREADS="1")
    assert run.output("x.log") == " 1\n"


def test_running_tasks_never_share_a_gpu(run):
    # mkdir fails when another running task holds the same GPU.
    hold = "ids=$CUDA_VISIBLE_DEVICES; mkdir ${ids//,/ } && sleep 0.1 && rmdir ${ids//,/ } && echo $ids"
    done = run("--gpu", "2", "JOB=1:6", "x.JOB.log", "bash", "-c", hold, CUDA_VISIBLE_DEVICES="4,7,GPU-8f,1,9")
    assert done.returncode == 0, done.stderr
    assert {run.output(f"x.{task}.log") for task in range(1, 7)} == {"4,7\n", "GPU-8f,1\n"}


@pytest.mark.parametrize(("visible", "found"), [("4,7", "4 7"), ("", "none"), ("-1", "none")])
def test_more_gpus_than_there_are(run, visible, found):
    done = run("--gpu", "3", "x.log", "touch", "ran", CUDA_VISIBLE_DEVICES=visible)
    assert done.returncode == 255 and "--gpu 3: not enough GPUs" in done.stderr and f"({found})" in done.stderr
    assert list(run.folder.iterdir()) == []


def test_gpus_from_nvidia_smi(monkeypatch, tmp_path):
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\n[ $1 = -L ] && echo 'GPU 0: NVIDIA A (UUID: GPU-1)\nGPU 1: NVIDIA A (UUID: GPU-2)'\n")
    tool.chmod(0o755)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert local.visible_gpus() == ["0", "1"]
    tool.unlink()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert local.visible_gpus() == []


SLOTS = {  # on 10 CPUs and 4 GPUs: options -> tasks at the same time
    "as many as CPUs": (["JOB=1:50"], 10),
    "no more than tasks": (["JOB=1:3"], 3),
    "a few more than CPUs all start": (["JOB=1:13"], 13),
    "40 % more do not": (["JOB=1:14"], 10),
    "limit": (["--max-jobs-run", "4", "JOB=1:50"], 4),
    "limit above the CPUs": (["--max-jobs-run", "30", "JOB=1:50"], 30),
    "threads": (["--num-threads", "3", "JOB=1:50"], 3),
    "threads and limit": (["--num-threads", "3", "-tc", "30", "JOB=1:50"], 3),
    "more threads than CPUs": (["--num-threads", "64", "JOB=1:50"], 1),
    "one GPU each": (["--gpu", "1", "JOB=1:50"], 4),
    "three GPUs each": (["--gpu", "3", "JOB=1:50"], 1),
    "GPUs and limit": (["--gpu", "1", "-tc", "3", "JOB=1:50"], 3),
    "GPUs and threads": (["--gpu", "1", "--num-threads", "5", "JOB=1:50"], 2),
    "GPUs hidden": (["--gpu", "0", "JOB=1:50"], 10),
}


@pytest.mark.parametrize("case", SLOTS)
def test_slots(monkeypatch, case):
    words, count = SLOTS[case]
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(10)), raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2,3")
    assert len(local.make_slots(contract.parse([*words, "x.JOB.log", "true"], "run.py"))) == count


def test_a_log_that_cannot_be_written(run):
    (run.folder / "log.2").write_text("a file where a folder is needed")
    done = run("JOB=1:3", "log.JOB/x.log", "echo", "JOB")
    assert done.returncode == 1
    assert "cannot start task 2: " in done.stderr and "1 / 3 failed" in done.stderr and "log.2" in done.stderr
    assert [run.output(f"log.{task}/x.log") for task in (1, 3)] == ["1\n", "3\n"]


def test_a_log_that_vanishes(run):
    done = run("JOB=1:2", "log.JOB/x.log", "bash", "-c", "[ JOB = 1 ] || rm -r log.JOB")
    assert done.returncode == 1
    assert "cannot record the end of task 2: " in done.stderr and "1 / 2 failed" in done.stderr


def test_progress_line_on_a_terminal(run):
    reader, terminal = pty.openpty()
    command = "for step in 1 2 3 4 5; do echo step $step of JOB; sleep 0.2; done"
    words = [*run.command, "JOB=1:2", "x.JOB.log", "bash", "-c", command]
    assert subprocess.run(words, cwd=run.folder, stderr=terminal).returncode == 0
    os.close(terminal)
    shown = os.read(reader, 4096).decode()
    os.close(reader)
    assert "\rrun.py: 0/2 done; x.1.log: step " in shown
    assert shown.rstrip().endswith("\rrun.py: 2/2 done")
    assert shown.count("\n") == 1


def test_short_jobs_are_quiet(run):
    assert run("JOB=1:3", "x.JOB.log", "true").stderr == ""


def test_progress_lines_in_a_log(run):
    impatient = "import sys; from spooftrace.jobs import local; local.PROGRESS_SECONDS = local.TERMINAL_SECONDS = 0.2; "
    impatient += "sys.exit(local.main(['x.log', 'bash', '-c', 'echo half done; sleep 1']))"
    done = subprocess.run([sys.executable, "-c", impatient], cwd=run.folder, capture_output=True, text=True)
    assert done.returncode == 0
    assert "run.py: 0/1 done; x.log: half done\n" in done.stderr


# ---- signals: every process of a task holds a fifo open, so the fifo ends when the last of them is gone ----

TWO_PROCESSES = "exec 9>fifo; echo ready >&9; sleep 1000 & sleep 1000; wait"


class Fifo:
    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self.reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        self.ready = 0

    def _ended(self) -> bool:
        try:
            read = os.read(self.reader, 4096)
        except BlockingIOError:
            return False
        self.ready += read.count(b"ready")
        return read == b""

    def wait_until_ready(self, tasks: int) -> None:
        deadline = time.monotonic() + 20
        while self.ready < tasks:
            self._ended()
            assert time.monotonic() < deadline, "the tasks did not start"
            time.sleep(0.01)

    def wait_until_gone(self) -> None:
        deadline = time.monotonic() + 5
        while not self._ended():
            assert time.monotonic() < deadline, "a process of a task is still alive"
            time.sleep(0.01)


@pytest.fixture
def fifo(run):
    fifo = Fifo(run.folder / "fifo")
    yield fifo
    os.close(fifo.reader)


@pytest.fixture
def impatient(run):
    """run.py that waits for half a second where it usually waits much longer."""
    code = (
        f"import sys; sys.path.insert(0, {str(REPOSITORY / 'lib')!r}); from spooftrace.jobs import local; "
        "local.STOP_SECONDS = local.LEFTOVER_SECONDS = 0.5; sys.exit(local.main(sys.argv[1:]))"
    )
    run.command = [sys.executable, "-c", code]
    return run


# bash makes `sleep &` ignore SIGINT, so that case also shows that background processes are not waited for.
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_signal_ends_launcher_and_tasks(run, fifo, name):
    process = run.start("--max-jobs-run", "2", "JOB=1:5", "x.JOB.log", "bash", "-c", TWO_PROCESSES)
    fifo.wait_until_ready(2)
    process.send_signal(getattr(signal, name))
    _, errors = process.communicate(timeout=20)
    fifo.wait_until_gone()
    assert process.returncode == 2
    assert f"stopped by {name}, 0 / 5 done, log is in x.*.log" in errors
    assert sorted(path.name for path in run.folder.iterdir()) == [
        "fifo",
        "x.1.log",
        "x.2.log",
    ]  # no third task, no record


def test_tasks_may_finish_their_work_when_stopped(run, fifo):
    script = "trap 'sleep 0.2; echo saved; exit 0' TERM; exec 9>fifo; echo ready >&9; while :; do sleep 0.05; done"
    run("x.log", "true")  # the record of this earlier success must not survive
    process = run.start("x.log", "bash", "-c", script)
    fifo.wait_until_ready(1)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=20)
    fifo.wait_until_gone()
    assert process.returncode == 2 and "saved\n" in run.output("x.log")
    # It exited with 0, but it was cut short: it has to run again.
    assert run("--pick", "incomplete", "x.log", "echo", "again").returncode == 0
    assert run.output("x.log") == "again\n"


def test_commands_may_finish_their_work_after_their_bash_has_ended(run, fifo):
    save = "import signal, time; signal.signal(signal.SIGTERM, lambda *_: (time.sleep(0.3), print('saved'), exit(0))); "
    save += "open('fifo', 'w').write('ready'); f = open('fifo', 'w'); time.sleep(1000)"
    process = run.start("x.log", sys.executable, "-c", save)
    fifo.wait_until_ready(1)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=20)
    fifo.wait_until_gone()
    assert process.returncode == 2 and "saved\n" in run.output("x.log")


def test_what_ignores_the_signal_is_killed(impatient, fifo):
    process = impatient.start("x.log", "bash", "-c", "trap '' TERM; " + TWO_PROCESSES)
    fifo.wait_until_ready(1)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=20)
    fifo.wait_until_gone()
    assert process.returncode == 2


def test_second_interrupt_kills_at_once(run, fifo):
    process = run.start("x.log", "bash", "-c", "trap '' INT; " + TWO_PROCESSES)
    fifo.wait_until_ready(1)
    process.send_signal(signal.SIGINT)
    time.sleep(0.2)  # two signals at once would be taken for one
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=local.STOP_SECONDS / 2)
    fifo.wait_until_gone()
    assert process.returncode == 2


def test_interrupt_reaches_a_launcher_in_the_background(run, fifo):
    # A script's `run.py ... &` starts with SIGINT ignored.
    ignore = f"trap '' INT; exec {shlex.quote(sys.executable)} {shlex.quote(run.command[-1])} \"$@\""
    run.command = ["bash", "-c", ignore, "x"]
    process = run.start("x.log", "bash", "-c", TWO_PROCESSES)
    fifo.wait_until_ready(1)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    fifo.wait_until_gone()
    assert process.returncode == 2


def test_nohup_is_respected(run, fifo):
    run.command = ["nohup", *run.command]
    process = run.start("x.log", "bash", "-c", "exec 9>fifo; echo ready >&9; sleep 0.3; echo survived")
    fifo.wait_until_ready(1)
    process.send_signal(signal.SIGHUP)
    process.communicate(timeout=20)
    assert process.returncode == 0 and run.output("x.log") == "survived\n"


def test_background_processes_do_not_outlive_their_task(impatient, fifo):
    assert impatient("x.log", "bash", "-c", "exec 9>fifo; echo ready >&9; sleep 1000 & exit 0").returncode == 0
    fifo.wait_until_ready(1)
    fifo.wait_until_gone()


def test_background_processes_may_end_by_themselves(run):
    assert run("x.log", "bash", "-c", "{ sleep 0.3; echo late; } & exit 0").returncode == 0
    assert run.output("x.log") == "late\n"
