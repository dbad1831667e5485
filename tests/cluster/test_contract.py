"""The job contract, checked on utils/run.py, on utils/slurm.py with a real SLURM, and on utils/sge.py with programs
that stand in for those of Grid Engine.

Every test here states what all launchers do.
"""

from __future__ import annotations

import re
import signal
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from cluster.launchers import SAVES, Launcher, python_script
from spooftrace.jobs import contract, records

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
    "a wish to go on, unasked": (["x.log", "bash", "-c", "exit 75"], 1, {"x.log": ""}),
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


@pytest.fixture(scope="module")
def ran(make_launcher, tmp_path_factory):
    """Every case, launcher and its end, eight at a time because queues take their time."""
    launchers = {case: make_launcher(tmp_path_factory.mktemp("case") / "work here") for case in CONTRACT}
    with ThreadPoolExecutor(8) as pool:
        ends = pool.map(lambda case: launchers[case](*CONTRACT[case][0]), CONTRACT)
        return {case: (launchers[case], end) for case, end in zip(CONTRACT, ends, strict=True)}


@pytest.mark.parametrize("case", CONTRACT)
def test_contract(ran, case):
    _, status, files = CONTRACT[case]
    launcher, done = ran[case]
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
(# Running on .*
)?# Started at \w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \S+ \d{4}
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


def test_a_log_that_is_a_link_stays_one(launcher):
    (launcher.folder / "real.log").write_text("old")
    (launcher.folder / "x.log").symlink_to("real.log")
    done = launcher("--retry", "1", "x.log", "bash", "-c", "echo new; [ -e tried ] || { touch tried; exit 1; }")
    assert done.returncode == 0 and (launcher.folder / "x.log").is_symlink()
    assert launcher.output("real.log") == "new\n" and launcher.output("x.log.bak") == "new\n"


def test_log_quotes_a_command_of_several_lines(launcher):
    launcher("x.log", "bash", "-c", "echo a\necho b")
    assert launcher.text("x.log").startswith("# bash -c 'echo a\n# echo b'\n# ")
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


# ---- --retry ----

FAILS_AT_FIRST = (
    'echo attempt >> JOB.tries; echo "$(wc -l < JOB.tries)"; [ "$(wc -l < JOB.tries)" -ge $(cat JOB.needs) ]'
)


def test_only_failed_tasks_are_tried_again(launcher):
    for task, needs in enumerate([1, 3, 9, 2], start=1):
        (launcher.folder / f"{task}.needs").write_text(str(needs))
    done = launcher("--retry", "2", "JOB=1:4", "x.JOB.log", "bash", "-c", FAILS_AT_FIRST)
    assert done.returncode == 1
    assert "trying tasks 2 3 4 again (1 of 2)" in done.stderr and "trying tasks 2 3 again (2 of 2)" in done.stderr
    assert "1 / 4 failed" in done.stderr and "failed tasks: 3\n" in done.stderr
    assert [launcher.text(f"{task}.tries").count("\n") for task in (1, 2, 3, 4)] == [1, 3, 3, 2]
    assert [records.read_record(launcher.folder / f"x.{task}.log") for task in (1, 2, 3, 4)] == [0, 0, 1, 0]
    assert (launcher.output("x.2.log"), launcher.output("x.2.log.bak")) == ("3\n", "2\n")


def test_a_second_attempt_may_make_it_good(launcher):
    (launcher.folder / "1.needs").write_text("2")
    done = launcher("--retry", "1", "JOB=1:1", "x.log", "bash", "-c", FAILS_AT_FIRST)
    assert done.returncode == 0 and "trying the job again (1 of 1)" in done.stderr


def test_here_a_warned_command_goes_on_when_it_is_tried_again(tmp_path):
    """Only a queue takes a task back of its own accord; how, is in test_slurm_events.py and test_sge.py."""
    with Launcher(python_script("run.py"), tmp_path / "work here") as launcher:
        words = ["x.log", "python3", "-c", SAVES, "1", "warn"]
        done = launcher(*words)
        assert done.returncode == 1 and "# Ended (code 75) " in done.stderr
        (launcher.folder / "saved.1").unlink()
        assert launcher("--retry", "1", *words).returncode == 0
        assert (launcher.output("x.log.bak"), launcher.output("x.log")) == ("on\nsaved\n", "goes on\n")


# ---- the environment and signals ----


def test_folder_of_a_log_that_cannot_be_made(launcher):
    (launcher.folder / "log.2").write_text("a file where a folder is needed")
    done = launcher("JOB=1:3", "log.JOB/x.log", "echo", "JOB")
    assert done.returncode == 1
    assert (
        "1 / 3 failed" in done.stderr
        and "task 2: cannot start or write its log: " in done.stderr
        and "'log.2'" in done.stderr
    )
    assert [launcher.output(f"log.{task}/x.log") for task in (1, 3)] == ["1\n", "3\n"]


def test_no_place_for_the_log(launcher):
    (launcher.folder / "log").write_text("a file where a folder is needed")
    done = launcher("log/x.log", "touch", "ran")
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert "job failed: cannot start or write its log: " in done.stderr and "'log'" in done.stderr
    assert not (launcher.folder / "ran").exists()


def test_environment_reaches_the_task(launcher):
    words = ["bash", "-c", 'echo "$FRUIT ${CUDA_VISIBLE_DEVICES-unset} $OMP_NUM_THREADS"']
    launcher("--num-threads", "2", "--gpu", "0", "x.log", *words, FRUIT="a pear", CUDA_VISIBLE_DEVICES="5,6")
    assert launcher.output("x.log") == "a pear  2\n"


def test_never_more_tasks_than_the_limit(launcher):
    count = "touch on.JOB; sleep 0.3; set -- on.*; echo $#; rm on.JOB"
    assert launcher("--max-jobs-run", "2", "JOB=1:5", "x.JOB.log", "bash", "-c", count).returncode == 0
    assert all(int(launcher.output(f"x.{task}.log")) <= 2 for task in range(1, 6))


# What a task of the other launchers is does not differ from what it is here, as long as the node is this machine.
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP", "SIGKILL"])
def test_no_task_outlives_its_launcher(launcher, make_fifo, name):
    fifo = make_fifo(launcher.folder / "fifo")
    command = "exec 9>fifo; echo ready >&9; sleep 1000 & sleep 1000; wait"
    process = launcher.start("--max-jobs-run", "2", "JOB=1:5", "x.JOB.log", "bash", "-c", command)
    fifo.wait_until_ready(2)
    process.send_signal(getattr(signal, name))
    _, errors = process.communicate(timeout=60)
    fifo.wait_until_gone()
    assert process.returncode == (2 if name != "SIGKILL" else -signal.SIGKILL)
    assert (f"stopped by {name}, 0 / 5 done, log is in x.*.log" in errors) == (name != "SIGKILL")
    names = {path.name for path in launcher.folder.iterdir() if path.is_file()}
    assert names == {"x.1.log", "x.2.log"}, "no third task, no record"
