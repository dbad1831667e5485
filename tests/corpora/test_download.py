"""``spooftrace download``: what it prints, and downloading from a local server that misbehaves in all ways."""

from __future__ import annotations

import errno
import hashlib
import http.server
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from helpers.commands import run_command
from helpers.locks import held_elsewhere

from spooftrace.common.errors import InputError
from spooftrace.corpora import download as downloading
from spooftrace.corpora import fetch
from spooftrace.corpora.download import SOURCES, download
from spooftrace.corpora.fetch import Client, Unreachable
from spooftrace.corpora.source_types import Bundle, File


def md5(data: bytes) -> str:
    return "md5:" + hashlib.md5(data).hexdigest()


def tar_of(files: dict[str, bytes], mode: str = "w:gz") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


class Server(http.server.ThreadingHTTPServer):
    """Zenodo and Hugging Face in small. ``files`` are served under ``/files/NAME``; the rest are ways to misbehave."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.checksums = True
        self.ranges = True
        self.range_shift = 0  # bytes that an answer begins too late
        self.drops: list[int] = []  # bytes to send before the connection breaks, one an answer
        self.wrong_bytes = 0  # answers yet to be spoilt
        self.answers: list[int] = []  # status codes to send first
        self.log: list[tuple[str, str]] = []

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def gets(self, name: str) -> list[str]:
        """The Range headers of all requests of a file."""
        return [byte_range for path, byte_range in self.log if path.endswith("/" + name)]


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        server = self.server
        server.log.append((self.path, self.headers.get("Range", "")))
        if server.answers:
            self.send_error(server.answers.pop(0))
        elif self.path == "/api/records/17":
            entries = [
                {
                    "key": name,
                    "size": len(data),
                    "checksum": md5(data),
                    "links": {"self": f"{server.base}/files/{name}"},
                }
                for name, data in server.files.items()
            ]
            self.reply(json.dumps({"files": entries}).encode())
        elif self.path == "/api/datasets/own/er/tree/main":
            entries = [
                {
                    "type": "file",
                    "path": name,
                    "size": len(data),
                    "lfs": {"oid": hashlib.sha256(data).hexdigest()},
                }
                for name, data in server.files.items()
            ]
            self.reply(json.dumps([{"type": "directory", "path": "data"}, *entries]).encode())
        else:
            name = self.path.rpartition("/")[2]
            if name not in server.files:
                self.send_error(404)
                return
            self.reply(server.files[name])

    def reply(self, data: bytes) -> None:
        server = self.server
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        start, status = 0, 200
        if asked and server.ranges:
            start, status = int(asked[1]) + server.range_shift, 206
            if start >= len(data):
                self.send_error(416)
                return
        self.send_response(status)
        self.send_header("Content-Length", str(len(data) - start))
        if status == 206:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.end_headers()
        body = data[start:]
        if self.path.startswith(("/files", "/datasets")):
            if server.wrong_bytes:
                server.wrong_bytes -= 1
                body = bytes([body[0] ^ 1]) + body[1:]
            if server.drops:
                body = body[: server.drops.pop(0)]
        self.wfile.write(body)


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def no_sync(monkeypatch: pytest.MonkeyPatch) -> None:
    # Writes out the disks of the whole machine, which takes long when others write much.
    monkeypatch.setattr(os, "sync", lambda: None)


@pytest.fixture
def client(server: Server) -> Client:
    return Client(zenodo=server.base, huggingface=server.base, timeout=5, contact=5, waits=(0, 0, 0))


DATA = bytes(range(256)) * 40
AUDIO = {"set/a.wav": b"a" * 3000, "set/b.wav": b"b" * 10}


def url(server: Server, name: str) -> str:
    return f"{server.base}/files/{name}"


def no_network() -> Client:
    # Port 9 of this machine: nothing listens there.
    return Client(zenodo="http://127.0.0.1:9", huggingface="http://127.0.0.1:9", contact=5, waits=(0,))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.wav")}


def test_a_dropped_connection_is_resumed(server: Server, client: Client, tmp_path: Path) -> None:
    server.files["a"], server.drops = DATA, [1000, 1, 5000]
    client.download(File("a", url(server, "a"), size=len(DATA), checksum=md5(DATA)), tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == DATA
    assert server.gets("a") == ["", "bytes=1000-", "bytes=1001-", "bytes=6001-"]
    assert not (tmp_path / "a.part").exists()


@pytest.mark.parametrize("known", [True, False])
def test_a_part_of_a_former_run_is_gone_on_with(server: Server, client: Client, tmp_path: Path, known: bool) -> None:
    server.files["a"] = DATA
    file = File("a", url(server, "a"), size=len(DATA) if known else None, checksum=md5(DATA))
    for have in (1, 7000, len(DATA)):
        (tmp_path / "a.part").write_bytes(DATA[:have])
        client.download(file, tmp_path / "a")
        assert (tmp_path / "a").read_bytes() == DATA
    assert server.gets("a") == ["bytes=1-", "bytes=7000-"] + ([] if known else [f"bytes={len(DATA)}-"])


def test_a_server_without_ranges(server: Server, client: Client, tmp_path: Path) -> None:
    server.files["a"], server.ranges = DATA, False
    (tmp_path / "a.part").write_bytes(b"other bytes")
    client.download(File("a", url(server, "a"), checksum=md5(DATA)), tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == DATA
    server.drops = [3000, 2000] * 30
    with pytest.raises(InputError, match=r"gave up after 4 tries.*,000 of 10,240"):
        client.download(File("a", url(server, "a"), checksum=md5(DATA)), tmp_path / "b")


def test_a_wrong_byte_is_noticed(server: Server, client: Client, tmp_path: Path) -> None:
    server.files["a"], server.wrong_bytes = DATA, 1
    file = File("a", url(server, "a"), size=len(DATA), checksum=md5(DATA))
    client.download(file, tmp_path / "a")  # the second time it is right
    assert (tmp_path / "a").read_bytes() == DATA
    server.wrong_bytes = 2
    with pytest.raises(InputError, match=r"b: downloaded twice, each time damaged .md5 .* instead of"):
        client.download(file, tmp_path / "b")
    assert not (tmp_path / "b").exists() and not (tmp_path / "b.part").exists()


def test_a_wrong_start_is_noticed(server: Server, client: Client, tmp_path: Path) -> None:
    server.files["a"] = DATA
    (tmp_path / "a.part").write_bytes(b"x" * 500)
    client.download(File("a", url(server, "a"), size=len(DATA), checksum=md5(DATA)), tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == DATA


def test_another_range_than_asked_for(server: Server, client: Client, tmp_path: Path) -> None:
    server.files["a"], server.range_shift = DATA, 7
    (tmp_path / "a.part").write_bytes(DATA[:500])
    with pytest.raises(InputError, match="another range than requested"):
        client.download(File("a", url(server, "a"), size=len(DATA), checksum=md5(DATA)), tmp_path / "a")
    assert (tmp_path / "a.part").read_bytes() == DATA[:500]


def test_busy_and_refusing_servers(server: Server, client: Client, tmp_path: Path) -> None:
    server.files["a"], server.answers = DATA, [503, 429]
    client.download(File("a", url(server, "a"), checksum=md5(DATA)), tmp_path / "a")
    server.answers = [403]
    with pytest.raises(InputError, match="requires permission"):
        client.download(File("a", url(server, "a")), tmp_path / "b")
    with pytest.raises(InputError, match=r"no such file .HTTP 404"):
        client.download(File("c", url(server, "c")), tmp_path / "c")
    server.answers = [500] * 9
    with pytest.raises(InputError, match=r"gave up after 4 tries .HTTP 500.; run again"):
        client.download(File("a", url(server, "a")), tmp_path / "b")
    with pytest.raises(InputError, match="not a web address"):
        client.download(File("a", "file:///etc/passwd"), tmp_path / "b")


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_no_room_while_downloading(
    server: Server, client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    class FullDisk(io.FileIO):
        def write(self, data: bytes) -> int:  # type: ignore[override]
            super().write(data[:100])
            raise OSError(code, os.strerror(code))

    server.files["a"] = DATA
    with monkeypatch.context() as patch:
        patch.setattr(fetch, "open", lambda path, mode: FullDisk(path, mode), raising=False)
        with pytest.raises(InputError, match=r"no space on the disk .*; free some and run again"):
            client.download(File("a", url(server, "a")), tmp_path / "a")
    assert len(server.gets("a")) == 1, "trying again would not help"
    assert [path.name for path in tmp_path.iterdir()] == ["a.part"]
    client.download(File("a", url(server, "a"), checksum=md5(DATA)), tmp_path / "a")
    assert server.gets("a") == ["", "bytes=100-"]


def test_no_network(tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match=r"127\.0\.0\.1:9 cannot be reached .*refused"):
        no_network().download(File("a", "http://127.0.0.1:9/a"), tmp_path / "a")
    with pytest.raises(TimeoutError, match=r"no answer within 0\.01 s"):
        fetch._within(0.01, threading.Event().wait)


def test_listings(server: Server, client: Client) -> None:
    server.files = {"a": DATA, "b": b"b"}
    assert client.listing("zenodo:17") == [
        File("a", url(server, "a"), "zenodo:17", len(DATA), md5(DATA)),
        File("b", url(server, "b"), "zenodo:17", 1, md5(b"b")),
    ]
    first, _ = client.listing("huggingface:own/er")
    assert first.url == f"{server.base}/datasets/own/er/resolve/main/a"
    assert first.checksum == "sha256:" + hashlib.sha256(DATA).hexdigest()
    client.listing("zenodo:17")
    assert len(server.log) == 2  # asked once
    with pytest.raises(InputError, match="no such file"):
        client.listing("zenodo:18")
    for odd in (b"<html>maintenance", b"[]", b'{"files": [{"key": 1}]}'):
        server.files["19"] = odd
        with pytest.raises(InputError, match="list of files has an unknown form"):
            client.listing("zenodo:19")


def the_part(server: Server, **changes: object) -> Bundle:
    """Two byte-split parts, a tar and a label file, of which one checksum is known and one name is not."""
    split = tar_of(AUDIO, "w:xz")
    server.files = {
        "b.tar.gz": tar_of({"set/c.wav": b"c"}),
        "labels.txt": b"labels\n",
        "cors.part0": split[:100],
        "cors.part1": split[100:],
    }
    files = (
        File("b.tar.gz", record="zenodo:17", checksum=md5(server.files["b.tar.gz"])),
        File("labels.txt", record="zenodo:17"),
        File("cors.*", record="zenodo:17"),
    )
    return replace(Bundle("main", "all", files), **changes)


def test_a_corpus_is_downloaded_once(
    server: Server, client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    to = tmp_path / "my corpora"
    part = the_part(server, folder="audio")
    download("x", [part], to, client)
    assert contents(to) == {f"audio/{name}": data for name, data in AUDIO.items()} | {"audio/set/c.wav": b"c"}
    assert (to / "labels.txt").read_text() == "labels\n"
    server.log.clear()
    download("x", [part], to, no_network())
    shutil.rmtree(to / "audio")  # unpacked again, from files that need no second check
    with monkeypatch.context() as patch:
        patch.delattr(downloading, "wrong_with")
        download("x", [part], to, no_network())
    assert len(contents(to)) == 3
    for name in ("b.tar.gz", "cors.part0", "cors.part1"):
        (to / name).unlink()  # the user needs the room
    download("x", [part], to, no_network())
    shutil.rmtree(to / "audio")
    with pytest.raises(InputError, match=r"cannot be reached.*; get b\.tar\.gz from .*put it into .*my corpora "):
        download("x", [part], to, no_network())
    assert not server.log
    download("x", [part], to, client)
    assert len(contents(to)) == 3


@pytest.mark.parametrize("after", range(1, 8))
def test_killed_at_any_file_and_run_again(
    server: Server, client: Client, tmp_path: Path, after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = the_part(server)
    note, count = downloading._BundleDownload._record, [0]

    def dying(self: object, name: str, value: object) -> None:
        count[0] += 1
        if count[0] > after:
            raise KeyboardInterrupt
        note(self, name, value)

    monkeypatch.setattr(downloading._BundleDownload, "_record", dying)
    with pytest.raises(KeyboardInterrupt):
        download("x", [part], tmp_path, client)
    monkeypatch.undo()
    download("x", [part], tmp_path, Client(zenodo=server.base, waits=(0,)))
    assert contents(tmp_path) == AUDIO | {"set/c.wav": b"c"}
    assert all(len(server.gets(name)) == 1 for name in server.files)  # nothing was got a second time


def test_archives_that_lie_here_are_verified_and_used(server: Server, client: Client, tmp_path: Path) -> None:
    part = the_part(server)
    known = replace(part, files=part.files[:2])
    for name in ("b.tar.gz", "labels.txt"):
        (tmp_path / name).write_bytes(server.files[name])
    download("x", [known], tmp_path, no_network())
    assert contents(tmp_path) == {"set/c.wav": b"c"}
    (tmp_path / "labels.txt").write_bytes(b"lables\n")
    with pytest.raises(InputError, match=r"labels\.txt: md5 .* instead of .*move it away and run again"):
        download("y", [known], tmp_path, client)
    (tmp_path / "labels.txt").write_bytes(b"la")
    with pytest.raises(InputError, match=r"labels\.txt: 2 bytes instead of 7"):
        download("x", [known], tmp_path, client)
    assert (tmp_path / "labels.txt").read_bytes() == b"la"


def test_what_is_here_is_used_before_what_cannot_be_had(server: Server, tmp_path: Path) -> None:
    part = the_part(server)
    (tmp_path / "b.tar.gz").write_bytes(server.files["b.tar.gz"])
    with pytest.raises(InputError, match=r"get labels\.txt from https://zenodo\.org/records/17"):
        download("x", [replace(part, files=part.files[1::-1])], tmp_path, no_network())
    assert contents(tmp_path) == {"set/c.wav": b"c"}
    with pytest.raises(InputError, match="names of the files are not known"):
        download("x", [part], tmp_path, no_network())


def test_records_that_changed(server: Server, client: Client, tmp_path: Path) -> None:
    part = the_part(server)
    stale = Bundle("p", "", (replace(part.files[0], checksum=md5(b"old")),))
    with pytest.raises(InputError, match=r"b\.tar\.gz is another file than it was"):
        download("x", [stale], tmp_path, client)
    with pytest.raises(InputError, match=r"has no file gone\.zip any more; it has b\.tar\.gz, labels"):
        download("x", [Bundle("p", "", (File("gone.zip", record="zenodo:17"),))], tmp_path, client)
    for evil in ("../evil.zip", "sub/evil.zip", "/evil.zip", ".spooftrace.zip"):
        server.files = {evil: b"x"}
        with pytest.raises(InputError, match=f"has a file named '{re.escape(evil)}'"):
            download("x", [Bundle("q", "", (File("*.zip", record="zenodo:17"),))], tmp_path, Client(zenodo=server.base))


def test_a_damaged_archive_without_checksum(tmp_path: Path) -> None:
    (tmp_path / "a.tar.gz").write_bytes(tar_of(AUDIO)[:-30])
    part = Bundle("p", "", (File("a.tar.gz", record="zenodo:17"),))
    with pytest.raises(InputError, match=r"a\.tar\.gz: damaged or incomplete"):
        download("x", [part], tmp_path, no_network())
    assert (tmp_path / "a.tar.gz").exists()


def test_no_room_and_two_at_once(
    server: Server, client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = the_part(server)
    lock = tmp_path / ".spooftrace/x/lock"
    with held_elsewhere(lock, "downloading") as holder, pytest.raises(InputError, match=f"process {holder} "):
        download("x", [part], tmp_path, client)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=3))
    with pytest.raises(InputError, match="are needed to download main"):
        download("x", [part], tmp_path, client)
    assert not server.gets("labels.txt")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="is a file, not a folder"):
        download("x", [part], tmp_path / "file", client)


def test_the_table() -> None:
    expected = "asvspoof2019 asvspoof2021 asvspoof5 codecfake_wu codecfake_plus st_codecfake codecfake_xie ctrsvdd "
    expected += "in_the_wild partialspoof spoofceleb mlaad add2022 add2023"
    assert set(SOURCES) == set(expected.split())
    for corpus in SOURCES.values():
        assert bool(corpus.by_hand) != bool(corpus.bundles)
        names = [part.name for part in corpus.bundles]
        assert len(set(names)) == len(names)
        for part in corpus.bundles:
            for file in part.files:
                assert bool(file.record) != bool(file.url)
                assert re.fullmatch(r"(zenodo:\d+|huggingface:[\w.-]+/[\w.-]+)?", file.record)
                assert re.fullmatch(r"md5:[0-9a-f]{32}|sha256:[0-9a-f]{64}", file.checksum or "md5:" + "0" * 32)
    assert [part.name for part in SOURCES["asvspoof2021"].bundles] == ["la", "df", "keys"]


@pytest.mark.parametrize("name", sorted(SOURCES))
def test_printing(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command("download", name) == 0
    text = capsys.readouterr().out
    corpus = SOURCES[name]
    assert f"spooftrace prepare {name} --root DIR" in text and corpus.licence in text and corpus.page in text
    for part in corpus.bundles:
        assert f"--part {part.name}:" in text
        for file in part.files:
            assert file.name in text and (file.checksum or "") in text
            assert (file.url or file.record.split(":")[1]) in text


def test_by_hand_and_unknown_parts(tmp_path: Path) -> None:
    for name in ("spoofceleb", "mlaad", "add2022", "add2023"):
        with pytest.raises(InputError, match="not open to programs, see http") as error:
            run_command("download", name, "--to", tmp_path / "x")
        assert "\n" not in str(error.value)
    assert not (tmp_path / "x").exists()
    with pytest.raises(InputError, match="--part pa: asvspoof2021 has no such part; it has la, df, keys"):
        run_command("download", "asvspoof2021", "--part", "la", "pa")


def test_the_command(
    server: Server, client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    part = the_part(server)
    corpus = replace(SOURCES["ctrsvdd"], bundles=(part, replace(part, name="other")))
    monkeypatch.setitem(downloading.SOURCES, "ctrsvdd", corpus)
    monkeypatch.setattr(downloading, "Client", lambda: client)
    assert run_command("download", "ctrsvdd", "--to", tmp_path, "--part", "main") == 0
    text = capsys.readouterr().out
    assert f"spooftrace prepare ctrsvdd --root {tmp_path}" in text and "main of CtrSVDD" in text
    assert "other" not in text


RUN = """
import os, sys
from pathlib import Path
from spooftrace.corpora.download import download
from spooftrace.corpora.fetch import Client
from spooftrace.corpora.source_types import Bundle, File
files = File("big.tar.gz", record="zenodo:17"), File("cors.*", record="zenodo:17")
os.sync = lambda: None
print("begins", flush=True)
download("x", [Bundle("main", "all", files)], Path(sys.argv[2]), Client(zenodo=sys.argv[1]))
"""


def test_kill_minus_nine_at_any_time(server: Server, tmp_path: Path) -> None:
    audio = {f"set/{number:04d}.wav": bytes([number % 256]) * 5000 for number in range(600)}
    split = tar_of(AUDIO, "w:xz")
    server.files = {"big.tar.gz": tar_of(audio), "cors.part0": split[:100], "cors.part1": split[100:]}
    command = [sys.executable, "-c", RUN, server.base, str(tmp_path)]
    for delay in (0.005, 0.02, 0.05, 0.08, 0.12, 0.2):
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout and process.stdout.readline() == b"begins\n"
            time.sleep(delay)
            process.kill()
    subprocess.run(command, check=True, capture_output=True)
    assert contents(tmp_path) == audio | AUDIO
    assert not [path for path in tmp_path.rglob("*") if path.suffix in (".unpacking", ".part")]
