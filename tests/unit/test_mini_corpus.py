"""The mini corpus: what its tables promise, how its copies are made, and what damage looks like."""

import csv
import io
import shutil
import tarfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile

from spooftrace.audio import read_audio
from spooftrace.cli import main
from spooftrace.codecs.resynthesis import align, load_system, make_copies, resynthesize
from spooftrace.corpora import mini
from spooftrace.datadir import DataDir
from spooftrace.errors import InputError

CORPUS = Path(__file__).resolve().parents[2] / "egs/mini/corpus"
CODEC = CORPUS / "codec_rvq8.safetensors"


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    out = tmp_path_factory.mktemp("a recipe") / "data"
    return out, mini.prepare(CORPUS, out)


@pytest.fixture(scope="module")
def rows():
    with open(CORPUS / mini.TABLE, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def test_size_and_licences(rows):
    assert (CORPUS / mini.ARCHIVE).stat().st_size <= 12_000_000
    assert {row["licence"] for row in rows} == {"CC-BY-3.0", "CC-BY-SA-3.0", "GPL-2.0-only", "GPL-2.0-or-later"}
    texts = {path.name for path in (CORPUS / "licences").iterdir()}
    for row in rows:
        package = "asterisk-core-sounds" if row["package"].startswith("asterisk") else row["package"]
        assert f"{package}.copyright" in texts
        assert row["files"]


def test_voices_stay_in_one_split(rows):
    splits = {}
    for row in rows:
        splits.setdefault(row["speaker"], set()).add(row["split"])
    assert len(splits) == 41
    assert all(len(found) == 1 for found in splits.values())
    # Perhaps one person each: corpus/README.md says why.
    for one, other in (("ast-en", "ast-es"), ("tuxpaint-be", "ktuberling-ru"), ("ktuberling-uk", "klettres-it")):
        assert splits[one] == splits[other]


def test_copies_share_split_voice_and_length(prepared):
    _, directories = prepared
    for split, data in directories.items():
        wav, source = data.table("wav.scp"), data.table("utt2source")
        bonafide = {wav[utt]: utt for utt, label in data.table("utt2label").items() if label == "bonafide"}
        for utt in data.utts:
            original = bonafide[source[utt]]
            assert data.table("utt2spk")[utt] == data.table("utt2spk")[original]
            assert data.table("utt2dur")[utt] == data.table("utt2dur")[original]
        copies = Counter(source[utt] for utt, label in data.table("utt2label").items() if label == "spoof")
        assert set(copies.values()) == {3 if split == "eval" else 2}


def test_systems_are_balanced_and_one_is_unseen(prepared):
    _, directories = prepared
    for split, data in directories.items():
        found = Counter(system for system in data.table("utt2system").values() if system != "-")
        assert max(found.values()) - min(found.values()) <= 2
        assert ("world24" in found) == (split == "eval")


def test_codec_labels_are_where_a_codec_is(prepared):
    _, directories = prepared
    data = directories["eval"]
    for utt, system in data.table("utt2system").items():
        nac, vq = data.table("utt2nac")[utt], data.table("utt2vq")[utt]
        if system == "-":
            assert (vq, nac) == ("real", "- - -")
        elif system.startswith("codec"):
            quantizers = int(system[-1])
            assert (vq, nac) == ("mvq", f"16 {0.4 * quantizers:.1f} {quantizers}")
        else:
            assert (vq, nac) == ("-", "- - -")


def test_recordings_are_what_the_table_says(prepared, rows):
    out, _ = prepared
    for row in rows[::29]:
        wave = read_audio(out / f"audio/bonafide/{row['utt']}.flac")
        assert len(wave) / 16000 == pytest.approx(float(row["duration"]), abs=1e-4)
        assert np.abs(wave).max() < 1


@pytest.mark.parametrize("name", sorted(mini.SYSTEMS))
def test_copies_of_real_speech(prepared, name):
    out, _ = prepared
    original = read_audio(out / "audio/bonafide/ast-it-000.flac")
    system = load_system(name, CODEC)
    copy = resynthesize(original, system, "utt")
    assert copy.dtype == np.int16
    assert len(copy) == len(original)
    np.testing.assert_array_equal(copy, resynthesize(original, load_system(name, CODEC), "utt"))
    # The loudness contour survives: it is a copy of this utterance, in time with it.
    frames = len(original) // 320

    def contour(x):
        return np.log(np.square(x[: frames * 320].astype(float)).reshape(frames, 320).mean(1) + 1e-8)

    assert np.corrcoef(contour(original), contour(copy / 32768))[0, 1] > 0.8
    difference = np.linalg.norm(original - copy / 32768) / np.linalg.norm(original)
    assert difference > 0.05, "a copy is not the recording itself"


@pytest.mark.parametrize("shift", [-300, -7, 0, 12, 300])
def test_alignment_finds_the_shift(shift):
    rng = np.random.default_rng(0)
    wave = rng.standard_normal(4000)
    shifted = np.concatenate([np.zeros(max(shift, 0)), wave])[max(-shift, 0) :]
    aligned = align(shifted, wave)
    assert len(aligned) == len(wave)
    inner = slice(400, -400)
    np.testing.assert_allclose(aligned[inner], wave[inner])


def test_making_copies_goes_on_where_it_stopped(prepared, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    out, _ = prepared
    keep = ["ast-it-000", "ast-it-001"]
    tables = {"wav.scp": {u: str(out / f"audio/bonafide/{u}.flac") for u in keep}, "utt2spk": dict.fromkeys(keep, "s")}
    DataDir.write("originals", tables)
    command = ["codec", "resynthesize", "originals", "--out", "copies", "--system", "codec_q4", "codec_q8"]
    assert main([*command, "--codec", str(CODEC), "--job", "1", "--num-jobs", "2"]) == 0
    made = {path: path.stat().st_mtime_ns for path in Path("copies/audio").rglob("*.flac")}
    assert len(made) == 2
    assert make_copies(["copies"], CODEC) == (2, 2)
    assert all(path.stat().st_mtime_ns == time for path, time in made.items())
    assert soundfile.info("copies/audio/codec_q4/ast-it-001-codec_q4.flac").samplerate == 16000


def test_unknown_system_and_missing_codec():
    with pytest.raises(InputError, match=r"'opus': unknown; use one of world"):
        load_system("opus")
    with pytest.raises(InputError, match="give --codec FILE"):
        load_system("codec_q8")
    with pytest.raises(InputError, match="16 codebooks are needed"):
        load_system("codec_q16", CODEC)


# ---- damage ----


@pytest.fixture
def copy_of_corpus(tmp_path):
    folder = tmp_path / "corpus"
    folder.mkdir()
    for name in (mini.ARCHIVE, mini.TABLE, mini.SUMS):
        shutil.copy(CORPUS / name, folder)
    return folder


def test_damaged_archive_is_one_clear_line(copy_of_corpus, tmp_path, capsys):
    archive = copy_of_corpus / mini.ARCHIVE
    archive.write_bytes(archive.read_bytes()[:-5000])
    assert main(["prepare", "mini", "--root", str(copy_of_corpus), "--out", str(tmp_path / "data")]) == 1
    error = capsys.readouterr().err
    assert "bonafide.tar: damaged" in error
    assert error.count("\n") == 1
    archive.unlink()
    assert main(["prepare", "mini", "--root", str(copy_of_corpus), "--out", str(tmp_path / "data")]) == 1
    assert "bonafide.tar: no such file" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["../evil.flac", "/etc/evil.flac", "bonafide/../../evil.flac", "bonafide/x/y.flac"])
def test_names_that_lead_out_of_the_folder_are_refused(tmp_path, name):
    with tarfile.open(tmp_path / "evil.tar", "w") as tar:
        member = tarfile.TarInfo(name)
        member.size = 4
        tar.addfile(member, io.BytesIO(b"evil"))
    with pytest.raises(InputError, match="nothing unpacked"):
        mini.unpack(tmp_path / "evil.tar", tmp_path / "out", [])
    assert not (tmp_path / "out").exists()


def test_links_are_refused(tmp_path):
    with tarfile.open(tmp_path / "evil.tar", "w") as tar:
        member = tarfile.TarInfo("bonafide/a.flac")
        member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(member)
    with pytest.raises(InputError, match="nothing unpacked"):
        mini.unpack(tmp_path / "evil.tar", tmp_path / "out", ["a"])
