"""Archives that try to write outside of their folder, by links that become what they are later, and ones that loop."""

import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from spooftrace.common.errors import InputError
from spooftrace.corpora.unpack import unpack

FOLDER, FILE, SOFT, HARD = tarfile.DIRTYPE, tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE

OUTWARDS = {  # members in order: name, kind, where a link leads
    "a link over one that is not there yet": [("p", SOFT, "q/../ESC"), ("q", SOFT, "."), ("p/evil", FILE)],
    "the same as a folder": [("p", SOFT, "q/../ESC"), ("q", SOFT, "."), ("p", FOLDER), ("p/evil", FILE)],
    "one folder deeper": [("d/p", SOFT, "q/../../ESC"), ("d/q", SOFT, "."), ("d/p/evil", FILE)],
    "two links to come": [("p", SOFT, "a/b/../../ESC"), ("a", SOFT, "."), ("b", SOFT, "."), ("p/evil", FILE)],
    "a link that is replaced": [("a/b/x", FILE), ("q", SOFT, "a/b"), ("p", SOFT, "q/../../ESC"), ("q", SOFT, ".")],
    "a link in a link": [("d/e/x", FILE), ("l", SOFT, "d/e"), ("l/up", SOFT, "../../../ESC"), ("l/up/evil", FILE)],
    "up from a folder of links": [("d", SOFT, "."), ("d/up", SOFT, ".."), ("d/up/evil", FILE)],
    "a hard link up": [("h", HARD, "a/../../secret")],
    "a hard link by a link": [("s", SOFT, "../secret"), ("h", HARD, "s")],
    "an absolute link back": [("l", SOFT, "ROOT/../ESC"), ("l/evil", FILE)],
    "a link to the root itself": [("l", SOFT, "/"), ("l/tmp/evil", FILE)],
    "a link to nothing": [("l", SOFT, ""), ("l/evil", FILE)],
}
ODD = {
    "a loop of one": [("a", SOFT, "a"), ("a/b", FILE)],
    "a loop of two": [("a", SOFT, "b"), ("b", SOFT, "a"), ("a/c", FILE)],
    "a loop of three as a folder": [("a", SOFT, "b"), ("b", SOFT, "c"), ("c", SOFT, "a"), ("a", FOLDER)],
    "a file as a folder": [("a", FILE), ("a/b", FILE)],
    "a folder as a file": [("a/b", FILE), ("a", FILE)],
    "a link over a folder": [("a/b", FILE), ("a", SOFT, "b")],
    "a hard link to a folder": [("a/b", FILE), ("h", HARD, "a")],
    "a hard link to a loop": [("a", SOFT, "a"), ("h", HARD, "a")],
    "a dangling link as a folder": [("a", SOFT, "absent"), ("a/b/c", FILE), ("absent", FILE)],
    "a name that is too long": [("x" * 300, FILE)],
    "a file of an exabyte": [("a", FILE, "", 1 << 60)],
}


def make_tar(path: Path, members: list[tuple], root: Path) -> Path:
    with open(path, "wb") as file:
        for name, kind, *rest in members:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, (rest[0] if rest else "").replace("ROOT", str(root))
            data = b"evil" if kind == FILE else b""
            info.size = rest[1] if len(rest) > 1 else len(data)
            file.write(info.tobuf(tarfile.GNU_FORMAT) + data.ljust(-(-len(data) // 512) * 512, b"\0"))
        file.write(bytes(10240))
    return path


def make_zip(path: Path, members: list[tuple], root: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, kind, *rest in members:
            info = zipfile.ZipInfo(name + "/" if kind == FOLDER else name)
            info.create_system, info.external_attr = 3, (0o120777 if kind == SOFT else 0o100644) << 16
            archive.writestr(info, (rest[0] if rest else "").replace("ROOT", str(root)) if kind == SOFT else "evil")
    return path


@pytest.fixture
def place(tmp_path):
    (tmp_path / "ESC").mkdir()
    (tmp_path / "secret").write_text("secret", encoding="utf-8")
    return tmp_path


def try_it(archive: Path, place: Path) -> str:
    with pytest.raises(InputError) as caught:
        unpack([archive], place / "out", check_space=False)
    assert str(caught.value).startswith(str(place)) and "\n" not in str(caught.value)
    assert {path.name for path in place.iterdir()} <= {"ESC", "secret", "out", archive.name}
    assert not list((place / "ESC").iterdir()) and (place / "secret").stat().st_nlink == 1
    assert not Path("/tmp/evil").exists()
    inside = [path for path in (place / "out").rglob("*") if path.is_symlink() and path.exists()]
    assert all((place / "out").resolve() in (path.resolve(), *path.resolve().parents) for path in inside)
    return str(caught.value)


@pytest.mark.parametrize("members", OUTWARDS.values(), ids=OUTWARDS)
def test_nothing_is_written_outside(place, members):
    assert "do not trust this archive" in try_it(make_tar(place / "a.tar", members, place / "out"), place)


@pytest.mark.parametrize(
    "members", [m for m in OUTWARDS.values() if HARD not in (part[1] for part in m)],
    ids=[name for name, m in OUTWARDS.items() if HARD not in (part[1] for part in m)],
)  # fmt: skip
def test_nothing_is_written_outside_by_a_zip(place, members):
    assert "do not trust this archive" in try_it(make_zip(place / "a.zip", members, place / "out"), place)


@pytest.mark.parametrize("members", ODD.values(), ids=ODD)
def test_members_that_do_not_go_together_are_one_line(place, members):
    try_it(make_tar(place / "a.tar", members, place / "out"), place)


def test_links_that_stay_inside_are_made(place):
    members = [
        ("a/b/x", FILE),
        ("a/up", SOFT, "../a/b"),
        ("a/b/top", SOFT, "../../new"),
        ("new", FILE),
        ("h", HARD, "a/b/x"),
    ]
    for _ in range(2):
        unpack([make_tar(place / "a.tar", members, place / "out")], place / "out")
        assert (place / "out/a/up/x").read_bytes() == (place / "out/a/b/top").read_bytes() == b"evil"
        assert (place / "out/h").samefile(place / "out/a/b/x")


@pytest.mark.parametrize("time", [float("inf"), float("nan"), -1e30, 1e30])
def test_a_time_that_is_none(place, time):
    info = tarfile.TarInfo("a")
    info.size, info.pax_headers = 4, {"mtime": str(time)}
    with tarfile.open(place / "a.tar", "w", format=tarfile.PAX_FORMAT) as tar:
        tar.addfile(info, io.BytesIO(b"evil"))
    for _ in range(2):
        assert unpack([place / "a.tar"], place / "out") == ["a"]


@pytest.mark.parametrize("cut", range(0, 120, 7))
def test_a_zip_with_damaged_ends_is_one_line(place, cut):
    data = bytearray(make_zip(place / "a.zip", [("a", FILE), ("b/c", FILE)], place).read_bytes())
    for at in range(len(data) - 1 - cut, max(0, len(data) - 9 - cut), -1):
        data[at] = 0xFF
    (place / "a.zip").write_bytes(data)
    try:
        unpack([place / "a.zip"], place / "out", check_space=False)
    except InputError as error:
        assert "\n" not in str(error)
    assert not list((place / "ESC").iterdir())
