"""spooftrace.corpora.unpack and .volumes: tar and zip archives, cut in any way, killed halfway, damaged or hostile."""

from __future__ import annotations

import io
import os
import shutil
import struct
import subprocess
import tarfile
import zipfile
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spooftrace.common.errors import InputError
from spooftrace.corpora import unpack as unpacking
from spooftrace.corpora.archive_volumes import Volumes, ZipVolumes, group_volumes
from spooftrace.corpora.unpack import unpack

FILES = {
    "set/readme.txt": b"text\n" * 40,
    "set/empty.wav": b"",
    "set/flac/utt 1.flac": bytes(range(256)) * 40,
    "set/flac/\u00fcber.flac": os.urandom(3000),
    "top.txt": b"top",
}


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def write_tar(path: Path, files: dict[str, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(data), 1_500_000_000
            tar.addfile(info, io.BytesIO(data))
    return path


def cut(path: Path, size: int, name: str = "{stem}.part{number}", first: int = 0) -> list[Path]:
    data = path.read_bytes()
    parts = []
    for number, at in enumerate(range(0, len(data), size), start=first):
        parts.append(path.with_name(name.format(stem=path.stem, number=number)))
        parts[-1].write_bytes(data[at : at + size])
    path.unlink()
    return parts


def spanned_zip(folder: Path, files: dict[str, bytes], volume: int, zip64: bool = False) -> list[Path]:
    """A zip in volumes of at most ``volume`` bytes, by the specification: offsets count from the start of a volume,
    headers are never cut, the first volume begins with the mark of spanned archives."""
    volumes = [b"PK\7\x08"]

    def place(record: bytes) -> tuple[int, int]:
        if len(volumes[-1]) + len(record) > volume:
            volumes.append(b"")
        at = len(volumes) - 1, len(volumes[-1])
        volumes[-1] += record
        return at

    entries = []
    for number, (name, data) in enumerate(files.items()):
        raw, method, crc = name.encode(), (0, 8)[number % 2], zlib.crc32(data)
        squeeze = zlib.compressobj(9, zlib.DEFLATED, -15)
        packed = data if method == 0 else squeeze.compress(data) + squeeze.flush()
        sizes = len(packed), len(data)
        head = struct.pack("<4s5H3L2H", b"PK\3\4", 45, 0x800, method, 0, 33, crc, *sizes, len(raw), 0)
        entries.append((raw, method, crc, sizes, *place(head + raw)))
        while packed:  # contents may be cut anywhere
            room = volume - len(volumes[-1])
            volumes[-1] += packed[:room]
            packed = packed[room:]
            if packed:
                volumes.append(b"")
    start = None
    for raw, method, crc, (packed_size, size), disk, at in entries:
        extra, sizes = b"", (packed_size, size)
        if zip64:
            extra = b"UT\1\0x" + struct.pack("<2H3QL", 1, 28, size, packed_size, at, disk)
            sizes, disk, at = (0xFFFFFFFF, 0xFFFFFFFF), 0xFFFF, 0xFFFFFFFF
        head = struct.pack("<4s6H", b"PK\1\2", 0x031E, 45, 0x800, method, 0, 33)
        head += struct.pack("<3L5H2L", crc, *sizes, len(raw), len(extra), 3, disk, 0, 0o100644 << 16, at)
        here = place(head + raw + extra + b"why")
        start = start or here
    assert start is not None
    count = len(entries)
    if zip64:
        # The record's own volume is not known before it is placed; make room first.
        if len(volumes[-1]) + 98 > volume:
            volumes.append(b"")
        last = len(volumes) - 1
        record = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, last, start[0], count, count, 0, start[1])
        disk, at = place(record)
        place(struct.pack("<4sLQL", b"PK\6\7", disk, at, last + 1))
        place(struct.pack("<4s4H2LH", b"PK\5\6", 0xFFFF, 0xFFFF, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0))
    else:
        if len(volumes[-1]) + 22 > volume:
            volumes.append(b"")
        place(struct.pack("<4s4H2LH", b"PK\5\6", len(volumes) - 1, start[0], count, count, 0, start[1], 0))
    paths = []
    for number, data in enumerate(volumes, start=1):
        paths.append(folder / (f"train.z{number:02d}" if number < len(volumes) else "train.zip"))
        paths[-1].write_bytes(data)
    return paths


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz", "w:bz2"])
def test_tar(tmp_path: Path, mode: str) -> None:
    archive = write_tar(tmp_path / f"a.tar{mode[1:].replace(':', '.')}", FILES, mode)
    assert unpack([archive], tmp_path / "out dir") == ["set", "top.txt"]
    assert contents(tmp_path / "out dir") == FILES
    assert archive.exists()


@pytest.mark.parametrize("mode", ["w", "w:xz"])
@pytest.mark.parametrize("size", [100, 1000, 7777])
def test_byte_split_tar(tmp_path: Path, mode: str, size: int) -> None:
    parts = cut(write_tar(tmp_path / "a.tar", FILES, mode), size)
    before = sorted(tmp_path.iterdir())
    unpack(parts, tmp_path / "out")
    assert contents(tmp_path / "out") == FILES
    assert sorted(tmp_path.iterdir()) == sorted([*before, tmp_path / "out"])  # no joined file was written


def test_plain_zip(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.comment = b"a comment at the end PK\5"
        archive.writestr("set/", b"")
        for name, data in FILES.items():
            archive.writestr(name, data)
        archive.writestr("__MACOSX/set/._readme.txt", b"x")
    assert unpack([tmp_path / "a.zip"], tmp_path / "out") == ["set", "top.txt"]
    assert contents(tmp_path / "out") == FILES


@pytest.mark.parametrize("zip64", [False, True])
@pytest.mark.parametrize("volume", [150, 1000, 4000, 10**6])
def test_spanned_zip(tmp_path: Path, volume: int, zip64: bool) -> None:
    paths = spanned_zip(tmp_path, FILES, volume, zip64)
    assert (len(paths) > 1) == (volume < 10**6)
    assert group_volumes([path.name for path in reversed(paths)]) == {"train.zip": [path.name for path in paths]}
    unpack(paths, tmp_path / "out")
    assert contents(tmp_path / "out") == FILES


@pytest.mark.skipif(not shutil.which("zip"), reason="the program zip is not installed")
@pytest.mark.parametrize("level", ["-0", "-6"])
def test_spanned_zip_of_info_zip(tmp_path: Path, level: str) -> None:
    files = {f"train/utt{number:03d}.wav": os.urandom(3000) + bytes(500) for number in range(100)}
    for name, data in files.items():
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    subprocess.run(["zip", "-q", "-r", level, "-s", "64k", "../train.zip", "train"], cwd=tmp_path / "in", check=True)
    names = [path.name for path in tmp_path.iterdir() if path.is_file()]
    assert len(names) > 4
    unpack([tmp_path / name for name in group_volumes(names)["train.zip"]], tmp_path / "out")
    assert contents(tmp_path / "out") == files


@settings(max_examples=40, deadline=None)
@given(st.lists(st.binary(max_size=9), min_size=1, max_size=6), st.lists(st.integers(0, 60), max_size=8))
def test_volumes_read_as_the_joined_file(tmp_path_factory: pytest.TempPathFactory, pieces, places) -> None:
    folder = tmp_path_factory.mktemp("volumes")
    paths = [folder / str(number) for number in range(len(pieces))]
    for path, piece in zip(paths, pieces, strict=True):
        path.write_bytes(piece)
    joined, raw = io.BytesIO(b"".join(pieces)), Volumes(paths)
    with io.BufferedReader(raw, 4) as file:
        for place in places:
            file.seek(place)
            joined.seek(place)
            assert file.read(5) == joined.read(5)
        file.seek(0)
        assert file.read() == joined.getvalue()


@pytest.mark.parametrize("kind", ["tar", "xz", "zip"])
def test_killed_and_run_again(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if kind == "zip":
        paths = spanned_zip(tmp_path, FILES, 1000)
    else:
        paths = [write_tar(tmp_path / "a.tar", FILES, "w:xz" if kind == "xz" else "w")]
    written: list[str] = []
    write = unpacking._write_file

    def dying(member: unpacking.Member, path: Path) -> None:
        if len(written) == 2:  # within a file: what is there of it lies under a temporary name
            path.with_name(f".{path.name}.unpacking").write_bytes(b"half")
            raise KeyboardInterrupt
        written.append(member.name)
        write(member, path)

    monkeypatch.setattr(unpacking, "_write_file", dying)
    with pytest.raises(KeyboardInterrupt):
        unpack(paths, tmp_path / "out")
    first = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*") if path.name in ("readme.txt",)}
    assert first
    written.clear()
    monkeypatch.setattr(
        unpacking, "_write_file", lambda member, path: (written.append(member.name), write(member, path))
    )
    unpack(paths, tmp_path / "out")
    assert contents(tmp_path / "out") == FILES
    assert "set/readme.txt" not in written and len(written) == len(FILES) - 2
    assert all(path.stat().st_mtime_ns == time for path, time in first.items())


def test_a_damaged_member_on_disk_is_written_again(tmp_path: Path) -> None:
    paths = spanned_zip(tmp_path, FILES, 1000)
    unpack(paths, tmp_path / "out")
    (tmp_path / "out/top.txt").write_bytes(b"pot")  # same length
    unpack(paths, tmp_path / "out")
    assert contents(tmp_path / "out") == FILES


@pytest.mark.parametrize("cut_at", [0, 100, 600, 5000, 512 * 4, 12000])
@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz"])
def test_half_a_tar(tmp_path: Path, cut_at: int, mode: str) -> None:
    archive = write_tar(tmp_path / "half.tar", FILES, mode)
    whole = archive.read_bytes()
    archive.write_bytes(whole[: min(cut_at, len(whole) - 20)])
    with pytest.raises(InputError, match=r"half\.tar: damaged or incomplete"):
        unpack([archive], tmp_path / "out")
    assert archive.exists()
    assert not list((tmp_path / "out").rglob("*.unpacking"))


def test_a_tar_cut_between_two_members_is_not_taken_for_whole(tmp_path: Path) -> None:
    archive = write_tar(tmp_path / "half.tar", {"a": b"x" * 512, "b": b"y" * 512})
    archive.write_bytes(archive.read_bytes()[: 2 * 512])
    with pytest.raises(InputError, match="mark is missing"):
        unpack([archive], tmp_path / "out")


def test_a_damaged_header_within_a_tar_is_not_taken_for_its_end(tmp_path: Path) -> None:
    archive = write_tar(tmp_path / "bad.tar", {"a": b"x" * 512, "b": b"y" * 512})
    data = bytearray(archive.read_bytes())
    data[2 * 512 + 150] ^= 1  # in the checksum of b's header
    archive.write_bytes(data)
    with pytest.raises(InputError, match=r"bad\.tar: damaged"):
        unpack([archive], tmp_path / "out")


def test_wrong_zips(tmp_path: Path) -> None:
    paths = spanned_zip(tmp_path, FILES, 1000)
    with pytest.raises(
        InputError, match=rf"train\.zip: the archive has {len(paths)} volumes .* {len(paths) - 1} are here"
    ):
        unpack(paths[1:], tmp_path / "out")
    half = tmp_path / "half.zip"
    half.write_bytes(paths[-1].read_bytes()[:-10])
    with pytest.raises(InputError, match=r"half\.zip: incomplete zip archive"):
        unpack([half], tmp_path / "out")
    first = bytearray(paths[0].read_bytes())
    first[-5] ^= 1
    paths[0].write_bytes(first)
    with pytest.raises(InputError, match=r"train\.zip: damaged zip archive: 'set/.*'"):
        unpack(paths, tmp_path / "out")
    assert all(path.exists() for path in paths)


def test_a_missing_part_in_the_middle(tmp_path: Path) -> None:
    parts = cut(write_tar(tmp_path / "a.tar", FILES), 3000)
    with pytest.raises(InputError, match=r"parts of a are missing, only \[0, 2, "):
        unpack([parts[0], *parts[2:]], tmp_path / "out")
    with pytest.raises(InputError, match="damaged or incomplete"):
        unpack(parts[:2], tmp_path / "out")


def hostile(kind: bytes, name: str, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ([hostile(tarfile.REGTYPE, "../evil")], "leads out"),
        ([hostile(tarfile.REGTYPE, "a/../../evil")], "leads out"),
        ([hostile(tarfile.REGTYPE, "/tmp/evil")], "leads out"),
        ([hostile(tarfile.SYMTYPE, "link", "/etc")], "leads out"),
        ([hostile(tarfile.SYMTYPE, "link", "../..")], "leads out"),
        ([hostile(tarfile.LNKTYPE, "link", "../secret")], "leads out"),
        ([hostile(tarfile.SYMTYPE, "d", "."), hostile(tarfile.SYMTYPE, "d/up", "..")], "leads out"),
        ([hostile(tarfile.CHRTYPE, "device")], "device"),
        ([hostile(tarfile.FIFOTYPE, "pipe")], "device"),
        ([hostile(tarfile.LNKTYPE, "link", "absent")], "which is missing"),
    ],
)
def test_hostile_tars(tmp_path: Path, members: list[tarfile.TarInfo], reason: str) -> None:
    (tmp_path / "secret").write_text("secret")
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for member in members:
            tar.addfile(member)
    with pytest.raises(InputError, match=reason):
        unpack([tmp_path / "a.tar"], tmp_path / "out")
    assert not (tmp_path / "evil").exists()


def test_a_link_that_lay_there_before_is_not_followed_out(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out/set").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="by a link"):
        unpack([write_tar(tmp_path / "a.tar", FILES)], tmp_path / "out")
    assert not list((tmp_path / "elsewhere").iterdir())


def test_links_within_are_made(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        info = tarfile.TarInfo("a/data")
        info.size = 3
        tar.addfile(info, io.BytesIO(b"abc"))
        tar.addfile(hostile(tarfile.SYMTYPE, "a/soft", "data"))
        tar.addfile(hostile(tarfile.LNKTYPE, "a/hard", "a/data"))
    for _ in range(2):
        unpack([tmp_path / "a.tar"], tmp_path / "out")
        assert (tmp_path / "out/a/soft").readlink() == Path("data")
        assert (tmp_path / "out/a/hard").read_bytes() == b"abc"


@pytest.mark.parametrize("name", ["../evil", "/evil", "a/../../evil", "..\\evil"])
def test_hostile_zips(tmp_path: Path, name: str) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(zipfile.ZipInfo(name), b"x")
    with pytest.raises(InputError, match="leads out"):
        unpack([tmp_path / "a.zip"], tmp_path / "out")
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        link = zipfile.ZipInfo("link")
        link.external_attr, link.create_system = 0o120777 << 16, 3
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(InputError, match="leads out"):
        unpack([tmp_path / "b.zip"], tmp_path / "out")


def test_a_zip_that_grows_beyond_its_directory_is_stopped(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb", bytes(5_000_000))
    data = (tmp_path / "a.zip").read_bytes().replace(struct.pack("<L", 5_000_000), struct.pack("<L", 10))
    (tmp_path / "a.zip").write_bytes(data)
    with pytest.raises(InputError, match="CRC and length"):
        unpack([tmp_path / "a.zip"], tmp_path / "out")
    archive = ZipVolumes([tmp_path / "a.zip"])
    (entry,) = archive.entries()
    blocks = archive.read(entry)
    with pytest.raises(InputError, match="CRC and length"):
        next(blocks)  # not even the first block of a million bytes
    archive.close()


def test_encrypted_and_unknown_packing(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("a", b"a")
    with pytest.raises(InputError, match=r"method 14.*7z"):
        unpack([tmp_path / "a.zip"], tmp_path / "out")


def test_no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = write_tar(tmp_path / "a.tar", FILES)
    monkeypatch.setattr(unpacking.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9, 10))
    with pytest.raises(InputError, match=r"are needed to unpack a\.tar, 0\.00 MB are free"):
        unpack([archive], tmp_path / "out")
    assert not contents(tmp_path / "out")
    unpack([archive], tmp_path / "out", check_space=False)
    assert contents(tmp_path / "out") == FILES
