"""The mini corpus: its tables, the making of its copies, and the report of damage."""

import csv
import io
import json
import shutil
import tarfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile

from spooftrace.audio import read_audio
from spooftrace.cli.main import main
from spooftrace.codecs.providers import own_weights
from spooftrace.codecs.table import find_setting
from spooftrace.common.errors import InputError
from spooftrace.corpora import mini
from spooftrace.datadir import DataDir
from spooftrace.derive.listed_copies import align, load_synthesizer, make_copies, resynthesize

CORPUS = Path(__file__).resolve().parents[2] / "egs/mini/corpus"
CODEC = CORPUS / "codec_rvq8.safetensors"


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    out = tmp_path_factory.mktemp("a recipe") / "data"
    return out, mini.write_data_dirs(CORPUS, out)


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
    # Possibly one person each; see corpus/README.md.
    for one, other in (("ast-en", "ast-es"), ("tuxpaint-be", "ktuberling-ru"), ("ktuberling-uk", "klettres-it")):
        assert splits[one] == splits[other]


def test_copies_share_split_voice_and_length(prepared, rows):
    _, directories = prepared
    originals = {row["utt"]: row for row in rows}
    for name, data in directories.items():
        for utt in data.utts:
            row = originals[Path(data.table("utt2source")[utt]).stem]
            assert row["split"] == name.removesuffix("_8khz")
            assert data.table("utt2spk")[utt] == row["speaker"]
            assert data.table("utt2dur")[utt] == row["duration"]
        labels = data.table("utt2label")
        copies = Counter(data.table("utt2source")[utt] for utt, label in labels.items() if label == "spoof")
        assert set(copies.values()) == {sum(turns.copies for turns in mini.SETS[name].turns)}
        assert len(copies) == mini.SPLITS[mini.SETS[name].split], "every bona fide utterance has its copies"
        assert "bonafide" not in labels.values() or not name.endswith("_8khz")


def test_the_attacks_of_a_subset_are_balanced(prepared):
    _, directories = prepared
    for name, data in directories.items():
        found = Counter(attack for attack in data.table("utt2attack").values() if attack != "-")
        for turns in mini.SETS[name].turns:
            counts = [found[attack] for attack in turns.attacks]
            assert max(counts) - min(counts) <= turns.copies, name


def test_what_is_unseen_is_in_eval_only(prepared):
    _, directories = prepared
    subsets = {name: set(data.table("utt2subset").values()) for name, data in directories.items()}
    assert subsets["train"] == subsets["dev"] == {"-", "seen", "vocoder"}
    assert subsets["eval"] == {"-", "seen", "unseen_setting", "unseen_codec", "vocoder"}
    attacks = {name: set(data.table("utt2attack").values()) for name, data in directories.items()}
    assert attacks["train"] == attacks["dev"]
    codecs = {name: set(data.table("utt2codec").values()) for name, data in directories.items()}
    evaluated = directories["eval"]
    for utt, subset in evaluated.table("utt2subset").items():
        attack, codec = evaluated.table("utt2attack")[utt], evaluated.table("utt2codec")[utt]
        assert (subset == "-") == (evaluated.table("utt2label")[utt] == "bonafide")
        if subset == "seen":
            assert attack in attacks["train"]
        elif subset == "unseen_setting":
            assert attack not in attacks["train"] and codec in codecs["train"]
        elif subset == "unseen_codec":
            assert codec not in codecs["train"]
        else:
            assert codec == ("real" if subset == "-" else "-")


def test_every_class_is_seen_in_training(prepared):
    _, directories = prepared
    for axis in ("utt2vq", "utt2aux", "utt2dec"):
        classes = {name: set(data.table(axis).values()) for name, data in directories.items()}
        assert classes["eval"] == classes["train"]
        assert len(classes["train"]) >= 4  # two classes of codecs at least, real, and vocoders


def test_only_codecs_at_8_khz_are_apart(prepared):
    _, directories = prepared
    for name, data in directories.items():
        rates = {nac.split()[0] for nac in data.table("utt2nac").values()} - {"-"}
        assert ("8" in rates) == name.endswith("_8khz")
        assert rates == {"8"} or "8" not in rates


def test_codec_labels_are_those_of_the_table(prepared):
    _, directories = prepared
    data = directories["eval"]
    for utt, attack in data.table("utt2attack").items():
        labels = [data.table(name)[utt] for name in mini.CODEC_LABELS]
        if attack == "-":
            assert labels == ["real", "real", "real", "real", "- - -"]
        elif data.table("utt2subset")[utt] == "vocoder":
            assert labels == ["-", "-", "-", "-", "- - -"]
        else:
            assert labels == [find_setting(attack).labels[name] for name in mini.CODEC_LABELS]
    assert data.table("utt2nac")["klettres-ar-000-rvq8_freq_q8"] == "16 3.2 8"


@pytest.mark.parametrize("attack", sorted(attack for attack in mini.SUBSETS if mini.SUBSETS[attack] != "vocoder"))
def test_only_settings_that_passed_the_gate_are_used(attack):
    setting = find_setting(attack)
    measured = json.loads((CORPUS / f"codecs/{setting.codec.name}.json").read_text(encoding="utf-8"))
    assert setting.quantizers in measured["passed"]
    assert own_weights(setting.codec).stat().st_size < 2_000_000


def test_recordings_are_what_the_table_says(prepared, rows):
    out, _ = prepared
    for row in rows[::29]:
        wave = read_audio(out / f"audio/bonafide/{row['utt']}.flac")
        assert len(wave) / 16000 == pytest.approx(float(row["duration"]), abs=1e-4)
        assert np.abs(wave).max() < 1


@pytest.mark.parametrize("name", sorted(mini.SUBSETS))
def test_copies_of_real_speech(prepared, name):
    out, _ = prepared
    original = read_audio(out / "audio/bonafide/ast-it-000.flac")
    copy = resynthesize(original, load_synthesizer(name), "utt")
    assert copy.dtype == np.int16
    assert len(copy) == len(original)
    np.testing.assert_array_equal(copy, resynthesize(original, load_synthesizer(name), "utt"))
    # The loudness contour matches: this is a copy of the utterance, aligned in time.
    frames = len(original) // 320

    def contour(x):
        return np.log(np.square(x[: frames * 320].astype(float)).reshape(frames, 320).mean(1) + 1e-6)

    assert np.corrcoef(contour(original), contour(copy / 32768))[0, 1] > 0.7
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
    command = ["codec", "resynthesize", "originals", "--out", "copies", "--attack", "codec_q4", "codec_q8"]
    assert main([*command, "--codec", str(CODEC), "--job", "1", "--num-jobs", "2"]) == 0
    made = {path: path.stat().st_mtime_ns for path in Path("copies/audio").rglob("*.flac")}
    assert len(made) == 2
    assert make_copies(["copies"], CODEC) == (2, 2)
    assert all(path.stat().st_mtime_ns == time for path, time in made.items())
    assert soundfile.info("copies/audio/codec_q4/ast-it-001-codec_q4.flac").samplerate == 16000


def test_unknown_attack_and_missing_codec():
    with pytest.raises(InputError, match=r"'opus': unknown; use one of world"):
        load_synthesizer("opus")
    with pytest.raises(InputError, match="give --codec FILE"):
        load_synthesizer("codec_q8")
    with pytest.raises(InputError, match="16 codebooks are needed"):
        load_synthesizer("codec_q16", CODEC)


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
