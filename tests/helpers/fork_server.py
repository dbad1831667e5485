"""A fast ``spooftrace`` command, forked from a process that has the modules loaded.

A recipe calls ``spooftrace`` a dozen times, and each call imports torch, Lightning and what they import, which takes
longer than the work on a miniature. ``tools_folder`` makes a copy of ``tools/`` from links. Its ``spooftrace`` sends
the caller's arguments, folder, environment and standard streams to the server, which runs the command. Tests of
signals, of kills and of the recipe that users run first use the real command.

The server is a separate process, started by ``python fork_server.py SOCKET``. It ends when its standard input closes,
and therefore does not outlive the tests.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path

# The client imports as little as possible, and starts in a few milliseconds.
CLIENT = """#!{python} -SI
import json, os, signal, socket, sys
connection = socket.socket(socket.AF_UNIX)
connection.connect({path!r})
request = json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)]).encode()
socket.send_fds(connection, [len(request).to_bytes(8, "big")], [0, 1, 2])
connection.sendall(request)
answers = connection.makefile()
child = int(answers.readline())
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2):
    signal.signal(number, lambda number, _: os.kill(child, number))
status = answers.readline()
sys.exit(int(status) if status else 70)
"""


def serve(path: str) -> None:
    """Accept commands on a Unix socket until standard input closes."""
    # The imports of the stages. None of them starts a thread, which would not survive a fork.
    import lightning  # noqa: F401
    import torch
    import transformers  # noqa: F401

    import spooftrace.backends
    import spooftrace.batching.build
    import spooftrace.frontends
    import spooftrace.scoring
    import spooftrace.tasks
    import spooftrace.training.learner  # noqa: F401

    torch.set_num_threads(1)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(64)
    server = os.getpid()
    threading.Thread(target=_end_with_stdin, args=(server,), daemon=True).start()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # no zombies
    print("ready", flush=True)
    while True:
        connection, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            _run(connection)
        connection.close()


def _end_with_stdin(server: int) -> None:
    sys.stdin.read()
    os.kill(server, signal.SIGKILL)


def _run(connection: socket.socket) -> None:
    """Run the command of the client in the forked process."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    size, streams, _, _ = socket.recv_fds(connection, 8, 3)
    with connection.makefile("rb") as requests:
        words, folder, environment = json.loads(requests.read(int.from_bytes(size, "big")))
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.stdin, sys.stdout, sys.stderr = (
        open(number, mode, encoding="utf-8", errors="surrogateescape", buffering=1, closefd=False)  # noqa: SIM115
        for number, mode in ((0, "r"), (1, "w"), (2, "w"))
    )
    sys.argv = [str(Path(sys.executable).with_name("spooftrace")), *words]
    connection.sendall(f"{os.getpid()}\n".encode())
    status = 1
    try:
        from spooftrace.cli.main import main

        status = main()
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    with contextlib.suppress(OSError):
        connection.sendall(f"{status}\n".encode())
    os._exit(status)


@contextlib.contextmanager
def tools_folder(tools: Path, folder: Path) -> Iterator[Path]:
    """Make a copy of ``tools/`` from links, with a ``spooftrace`` that is forked from a server.

    Args:
        tools: The real folder, set up.
        folder: An empty folder for the copy, the socket, and the server's log.

    Yields:
        The copy. Its ``setup.sh`` does nothing.
    """
    copy, venv = folder / "tools", tools / "venv"
    (copy / "venv/bin").mkdir(parents=True)
    for source, target, own in (
        (tools, copy, {"venv", "setup.sh"}),
        (venv, copy / "venv", {"bin"}),
        (venv / "bin", copy / "venv/bin", {"spooftrace"}),
    ):
        for entry in source.iterdir():
            if entry.name not in own:
                (target / entry.name).symlink_to(entry)
    path = folder / "socket"
    for name, text in {
        "setup.sh": "#!/bin/sh\n",
        "venv/bin/spooftrace": CLIENT.format(python=Path(sys.executable).resolve(), path=str(path)),
    }.items():
        (copy / name).write_text(text, encoding="utf-8")
        (copy / name).chmod(0o755)
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(
            [str(venv / "bin/python"), __file__, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log
        )
    assert server.stdout is not None and server.stdout.readline() == b"ready\n", (folder / "log").read_text()
    try:
        yield copy
    finally:
        server.communicate()  # closes its standard input


if __name__ == "__main__":
    serve(sys.argv[1])
