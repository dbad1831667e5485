"""Stored features and scores are valid only for the audio that they were computed from."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from spooftrace.archive import ArchiveReader, read_sums
from spooftrace.audio import read_audio
from spooftrace.audio.digest import read_with_digest
from spooftrace.cli.main import main
from spooftrace.common.errors import InputError
from spooftrace.datadir import DataDir, write_table
from spooftrace.extraction import reading
from spooftrace.extraction.sources import read_noted

EVAL = Path("data/eval")
DUMP = Path("dump/lfcc/eval")


@pytest.fixture
def exp(make_data, make_exp):
    """Return a trained system whose LFCCs are stored for the 6 utterances of ``data/eval``."""
    make_data("eval", 6)
    exp = make_exp("lfcc", data={"crop": 3200, "num_workers": 0, "eval_crop": "full", "cached": ["lfcc"]})
    assert extract() == 0
    return exp


def extract(*options: str, data: Path = EVAL) -> int:
    return main(["extract", "--config", "system.yaml", "--data", str(data), *options])


def score(exp: Path, *options: str, data: Path = EVAL) -> int:
    return main(["score", "--exp", str(exp), "--data", str(data), *options])


def train(data: Path = EVAL) -> int:
    words = ["--train", str(EVAL), "--dev", str(data), "--exp", "exp/new"]
    return main(["train", "--config", "system.yaml", *words, "--trainer.max_epochs", "1"])


def one_line(capsys, *parts: str) -> None:
    error = capsys.readouterr().err
    assert all(part in error for part in parts), error
    assert error.count("\n") == 1


def audio(utt: str) -> Path:
    return Path(f"audio/eval/{utt}.flac")


def replace_audio(utt: str, keep_time: bool = False) -> None:
    """Replace the file of a recording by another recording of the same length."""
    before = audio(utt).stat()
    wave, rate = soundfile.read(audio(utt))
    soundfile.write(audio(utt), wave[::-1], rate)
    if keep_time:
        os.utime(audio(utt), ns=(before.st_atime_ns, before.st_mtime_ns))


def copy_data(target: Path, rotate: int = 0, folder: str = "audio/eval") -> Path:
    """Make a data directory with the ids of ``data/eval``, and rotate their audio by ``rotate`` utterances."""
    data = DataDir.read(EVAL)
    wav = [f"{folder}/{Path(path).name}" for path in data.table("wav.scp").values()]
    wav = wav[rotate:] + wav[:rotate]
    DataDir.write(target, {**data.tables, "wav.scp": dict(zip(data.utts, wav, strict=True))})
    return target


def features() -> dict[str, np.ndarray]:
    return {utt: np.array(array) for utt, array in ArchiveReader(DUMP / "feats.scp").items()}


def record(exp: Path) -> dict:
    return json.loads((exp / "eval/scores.json").read_text(encoding="utf-8"))


# --- other audio under the same name


@pytest.mark.parametrize("rotate", [1, 3])
def test_a_data_directory_of_the_same_last_name_is_refused_everywhere(exp, capsys, rotate):
    noisy = copy_data(Path("noisy/eval"), rotate)
    assert score(exp) == 0
    before = record(exp), features()
    capsys.readouterr()
    assert score(exp, data=noisy) == 1
    one_line(
        capsys,
        "dump/lfcc/eval: its features were computed from other audio than that of noisy/eval",
        "'eval_000'",
        "--dump",
    )
    assert record(exp) == before[0]
    assert train(noisy) == 1
    one_line(capsys, "dump/lfcc/eval: its features were computed from other audio than that of noisy/eval")
    for options in ((), ("--collect",), ("--job", "1", "--num-jobs", "2")):
        assert extract(*options, data=noisy) == 1
        one_line(capsys, "dump/lfcc/eval: belongs to the data directory data/eval", "choose another --dump")
    other = features()
    assert all(np.array_equal(other[utt], array) for utt, array in before[1].items())
    assert extract("--dump", "dump2", data=noisy) == 0
    assert score(exp, "--dump", "dump2", data=noisy) == 0
    assert record(exp)["audio"] != before[0]["audio"]


def test_two_unfinished_extractions_of_one_name_do_not_mix(make_data, write_config, capsys):
    make_data("eval", 4)
    write_config()
    noisy = copy_data(Path("noisy/eval"), rotate=1)
    assert extract("--job", "1", "--num-jobs", "2") == 0
    capsys.readouterr()
    assert extract("--job", "1", "--num-jobs", "2", data=noisy) == 1
    one_line(capsys, "dump/lfcc/eval: belongs to the data directory data/eval")
    assert main(["extract", "--config", "system.yaml", "--data", "data/eval", "noisy/eval"]) == 1
    one_line(capsys, "data/eval and noisy/eval have the same last name")


@pytest.mark.parametrize("change", ["permuted", "replaced", "segment", "shorter"])
def test_changed_audio_is_refused_by_score_and_train_and_extracted_anew(exp, capsys, change):
    old, wav = features(), DataDir.read(EVAL).table("wav.scp")
    assert score(exp) == 0
    old_record = record(exp)
    if change == "permuted":
        write_table(EVAL / "wav.scp", wav | {"eval_001": wav["eval_002"], "eval_002": wav["eval_001"]})
    elif change == "replaced":
        replace_audio("eval_001")
    elif change == "segment":
        (EVAL / "utt2dur").unlink()
        write_table(EVAL / "segments", {utt: f"{utt} 0 0.15" for utt in wav})
    else:
        wave, rate = soundfile.read(audio("eval_001"))
        soundfile.write(audio("eval_001"), wave[:-160], rate)
    capsys.readouterr()
    assert score(exp) == 1
    one_line(capsys, "dump/lfcc/eval: ", "other audio than that of data/eval: the audio of 'eval_00")
    assert train() == 1
    assert "other audio than that of data/eval" in capsys.readouterr().err
    assert extract() == 0
    assert "the features are extracted again" in capsys.readouterr().out
    new = features()
    assert any(old[utt].shape != new[utt].shape or (old[utt] != new[utt]).any() for utt in old)
    assert score(exp) == 0
    assert "already scored" not in capsys.readouterr().out
    assert record(exp)["audio"] != old_record["audio"]


@pytest.mark.parametrize("rotate", [0, 2])
def test_a_killed_shard_is_continued_only_with_its_own_audio(make_data, write_config, monkeypatch, rotate):
    make_data("eval", 6)
    write_config(data={"cached": ["lfcc"], "eval_batch_size": 1})
    whole = audio("eval_000").read_bytes()
    audio("eval_000").write_bytes(whole[:500])
    assert extract() == 1  # the longest utterances were stored
    audio("eval_000").write_bytes(whole)
    if rotate:
        copy_data(EVAL, rotate)
    computed = []
    monkeypatch.setattr(reading, "read_noted", lambda *source: computed.append(source) or read_noted(*source))
    assert extract() == 0
    assert len(computed) == (6 if rotate else 2)  # of each length, the longest first
    assert extract("--verify") == 0


# --- the same audio elsewhere


def test_a_copied_corpus_is_the_same_corpus(exp, capsys, monkeypatch):
    before = (DUMP / "feats.1.ark").stat().st_mtime_ns
    assert score(exp) == 0
    shutil.copytree("audio/eval", "moved here/eval")  # other times, other paths
    copy_data(EVAL, folder="moved here/eval")
    shutil.rmtree("audio")
    capsys.readouterr()
    assert extract() == 0
    assert "already extracted" in capsys.readouterr().out
    assert (DUMP / "feats.1.ark").stat().st_mtime_ns == before
    # The audio was decoded once; from now on its size and time suffice.
    monkeypatch.setattr("spooftrace.extraction.sources.read_with_digest", None)
    assert extract() == 0
    assert score(exp) == 0
    assert "already scored" in capsys.readouterr().out


def test_the_same_samples_in_another_format_are_the_same_audio(exp, capsys):
    for path in sorted(Path("audio/eval").iterdir()):
        wave, rate = soundfile.read(path, dtype="int16")
        soundfile.write(path.with_suffix(".wav"), wave, rate)
        path.unlink()
    data = DataDir.read(EVAL)
    write_table(EVAL / "wav.scp", {utt: path.replace(".flac", ".wav") for utt, path in data.table("wav.scp").items()})
    assert extract() == 0
    assert "already extracted" in capsys.readouterr().out


def test_features_move_with_their_folder(exp, capsys):
    """``feats.scp`` holds the path where the arks were written, which may be missing or hold other features."""
    assert score(exp, "--embeddings") == 0
    before = Path(exp, "eval/scores.txt").read_bytes()
    shutil.copytree("data/eval", "data_before/eval")
    shutil.copytree("dump", "dump_before")
    for utt in DataDir.read(EVAL).utts:
        replace_audio(utt)
    assert extract() == 0
    assert score(exp, "--out", "exp/now") == 0
    assert Path("exp/now/eval/scores.txt").read_bytes() != before

    shutil.move("audio", "audio_now")
    for folder in ("exp/beside", "exp/alone"):  # the old path holds new features, then nothing
        assert score(exp, "--dump", "dump_before", "--out", folder, data=Path("data_before/eval")) == 0
        assert Path(folder, "eval/scores.txt").read_bytes() == before
        shutil.rmtree("dump", ignore_errors=True)
    assert main(["extract", "--config", "system.yaml", "--data", "data_before/eval", "--dump", "dump_before"]) == 0
    assert "already extracted" in capsys.readouterr().out


DESCRIPTIONS = {
    "layout": "bars", "dim": "60", "frame_rate": 0, "data": 3, "parameters": "many", "config": [],
    "files": {"../tr/feats.scp": {"sha256": "x", "lines": 1}},
}  # fmt: skip


@pytest.mark.parametrize(("key", "value"), DESCRIPTIONS.items(), ids=DESCRIPTIONS)
@pytest.mark.parametrize("given", [True, False])
def test_a_damaged_description_is_one_line(exp, capsys, key, value, given):
    """``stream.json`` may be edited or come from another user."""
    path = DUMP / "stream.json"
    made = json.loads(path.read_text(encoding="utf-8"))
    made.pop(key)
    path.write_text(json.dumps(made | ({key: value} if given else {})), encoding="utf-8")
    capsys.readouterr()
    if given or key in ("layout", "dim", "frame_rate", "config"):
        assert score(exp) == 1
        one_line(capsys, str(DUMP), "../tr/feats.scp" if key == "files" else f"'{key}'")
    else:  # an earlier version did not write it
        assert score(exp) == 0


SUMS = {
    "gone": lambda lines: None, "empty": lambda lines: [], "cut": lambda lines: lines[:3],
    "cut in a line": lambda lines: [*lines[:-1], lines[-1][:20]],
    "no checksum": lambda lines: [lines[0].replace(" ", " x", 1), *lines[1:]],
}  # fmt: skip


@pytest.mark.parametrize("damage", SUMS.values(), ids=SUMS)
def test_features_whose_audio_is_not_known_any_more(exp, capsys, damage):
    """Without its line in ``feats.sums`` the audio of the features of an utterance is unknown."""
    path = DUMP / "feats.sums"
    lines = damage(path.read_text(encoding="utf-8").splitlines(keepends=True))
    path.unlink()
    if lines is not None:
        path.write_text("".join(lines), encoding="utf-8")
    replace_audio("eval_005", keep_time=True)
    capsys.readouterr()
    assert score(exp) == 1
    one_line(capsys, "feats.sums", "run stage 3 again")
    assert extract() == score(exp) == 0


@pytest.mark.parametrize(
    "content", [b"eval_000 zz\n", b"\xff\xfe\x00\x01" * 9 + b"\n", None], ids=["line", "bytes", "gone"]
)
def test_a_damaged_record_is_not_taken_for_other_audio(exp, make_data, capsys, content):
    path = DUMP / "feats.sums"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    capsys.readouterr()
    for run in (score, train):
        assert (run(exp) if run is score else run()) == 1
        error = capsys.readouterr().err
        assert f"{DUMP}: its record of checksums is damaged: " in error and "other audio" not in error
    shutil.copytree(EVAL, "copy/eval")
    assert extract(data=Path("copy/eval")) == 1
    one_line(capsys, "belongs to the data directory", "its record of checksums is damaged", "choose another --dump")
    assert extract() == score(exp) == 0


def test_a_feats_scp_alone_reads_the_ark_beside_it(exp, capsys):
    """The ark at the old path has the same size but other values, for every spelling of the old path."""
    before = {key: np.array(value) for key, value in ArchiveReader(DUMP / "feats.scp", beside=True).items()}
    scp = (DUMP / "feats.scp").read_text(encoding="utf-8")
    shutil.copytree("dump", "moved to/dump")
    ark = bytearray((DUMP / "feats.1.ark").read_bytes())
    ark[-8:] = np.array([7.0, 8.0], "<f4").tobytes()
    (DUMP / "feats.1.ark").write_bytes(ark)
    moved = Path("moved to") / DUMP
    for old in (str(DUMP), str(DUMP.absolute()), f"./x/../{DUMP}", "/not/there"):
        (moved / "feats.scp").write_text(scp.replace(f"{DUMP}/", f"{old}/"), encoding="utf-8")
        assert old in (moved / "feats.scp").read_text(encoding="utf-8")
        with ArchiveReader(moved / "feats.scp", beside=True) as reader:
            assert all(np.array_equal(reader[key], value) for key, value in before.items())


@pytest.mark.parametrize("offset", [-5, 10**30])
def test_offsets_that_no_file_has(exp, offset):
    scp = DUMP / "feats.scp"
    line = scp.read_text(encoding="utf-8").splitlines()[0]
    scp.write_text(f"{line.rpartition(':')[0]}:{offset}\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"feats\.scp:1: "):
        ArchiveReader(scp)


def test_part_of_what_was_extracted_can_be_used(exp, capsys):
    data = DataDir.read(EVAL)
    some = {
        name: {utt: value for utt, value in table.items() if utt in data.utts[:3]}
        for name, table in data.tables.items()
    }
    some.pop("spk2utt")
    DataDir.write(Path("subset/eval"), some)
    assert extract(data=Path("subset/eval")) == 0
    assert "already extracted" in capsys.readouterr().out
    assert score(exp, data=Path("subset/eval")) == 0
    # Conversely, a data directory with more utterances is another one.
    shutil.rmtree("dump")
    assert extract(data=Path("subset/eval")) == 0
    capsys.readouterr()
    assert extract() == 1
    one_line(capsys, "belongs to the data directory subset/eval", "3 utterances of data/eval are not in it")


def test_audio_that_is_not_there_any_more(exp, capsys):
    shutil.rmtree("audio")
    capsys.readouterr()
    assert score(exp) == 0  # the features exist, and wav.scp is unchanged
    assert "the audio of 6 utterances does not exist" in capsys.readouterr().err
    copy_data(EVAL, rotate=1)
    assert score(exp) == 1
    assert "other audio than that of data/eval: 'eval_000' is" in capsys.readouterr().err


# --- what is recorded


def test_features_of_an_earlier_version_are_judged_by_wav_scp(exp, capsys):
    for path in DUMP.glob("*.sums"):
        path.unlink()
    for path in DUMP.glob("stream*.json"):
        content = json.loads(path.read_text(encoding="utf-8"))
        path.write_text(
            json.dumps({k: v for k, v in content.items() if k not in ("files", "data", "sums")}), encoding="utf-8"
        )
    capsys.readouterr()
    assert extract() == 0
    assert "already extracted" in (said := capsys.readouterr()).out
    assert said.err.count("\n") == 1 and "an earlier version, which did not record the audio" in said.err
    assert score(exp) == 0
    assert "only wav.scp was compared" in capsys.readouterr().err
    noisy = copy_data(Path("noisy/eval"), rotate=1)
    assert score(exp, data=noisy) == 1
    assert "noisy/eval/wav.scp differs from the recorded one" in capsys.readouterr().err


def test_scores_tell_the_audio_and_not_the_list(exp):
    assert score(exp) == 0
    first = record(exp)
    shutil.copytree("audio", "elsewhere")
    copy_data(EVAL, folder="elsewhere/eval")
    shutil.rmtree(exp / "eval")
    assert score(exp) == 0
    assert record(exp) == first
    replace_audio("eval_003")
    shutil.copytree("audio", "third")
    copy_data(EVAL, folder="third/eval")
    shutil.rmtree("dump")
    assert extract() == score(exp) == 0
    assert record(exp)["audio"] != first["audio"]


def test_audio_replaced_in_place_is_noticed_by_a_live_system(make_data, make_exp, capsys):
    make_data("eval", 4)
    exp = make_exp()
    assert score(exp) == score(exp) == 0
    assert "already scored" in capsys.readouterr().out
    before = (exp / "eval/scores.txt").read_text(encoding="utf-8")
    replace_audio("eval_002")
    assert score(exp) == 0
    assert (exp / "eval/scores.txt").read_text(encoding="utf-8") != before


@pytest.mark.parametrize("options", [("--precision", "bf16"), ("--compress",)])
def test_another_precision_is_not_mixed_in(exp, make_data, capsys, options):
    assert extract(*options) == 1
    one_line(
        capsys,
        "dump/lfcc/eval: stored as fp32, but",
        options[-1].strip("-"),
        "choose another --dump",
    )
    assert extract() == 0  # without an option any stored precision is accepted
    if options == ("--compress",):
        make_data("dev", 3)
        assert extract(*options, data=Path("data/dev")) == 1
        one_line(capsys, "dump/lfcc/eval: stored as fp32, but dump/lfcc/dev as fp32, compressed")


# --- verified on request


def test_verify_decodes_again(exp, capsys):
    assert extract("--verify") == 0
    assert "dump/lfcc/eval: features and audio are unchanged" in capsys.readouterr().out
    replace_audio("eval_004", keep_time=True)
    audio("eval_002").write_bytes(audio("eval_002").read_bytes()[:300])
    assert extract("--verify") == 1
    said = capsys.readouterr()
    assert [line.split("'")[1] for line in said.out.splitlines()] == ["eval_002", "eval_004"]
    assert "audio/eval/eval_004.flac differs" in said.out
    assert said.err == "spooftrace extract: error: 2 faults listed above; remove the folders and run stage 3 again\n"
    assert extract("--verify", "--num-jobs", "6", "--job", "1") == 0


@pytest.mark.parametrize("bits", [1, 400])
def test_verify_finds_flipped_bits_that_leave_finite_numbers(exp, capsys, bits):
    ark = DUMP / "feats.1.ark"
    offsets = {
        utt: int(line.rsplit(":", 1)[1])
        for utt, line in (line.split(" ", 1) for line in (DUMP / "feats.scp").read_text(encoding="utf-8").splitlines())
    }
    content = bytearray(ark.read_bytes())
    for number in range(bits):
        content[offsets["eval_003"] + 15 + 4 * number] ^= 1  # the lowest bit of a number
    ark.write_bytes(content)
    assert all(np.isfinite(array).all() for array in features().values())
    assert extract("--verify") == 1
    (line,) = capsys.readouterr().out.splitlines()
    assert "'eval_003'" in line and "dump/lfcc/eval/feats.1.ark" in line and "not those that were written" in line


def test_an_edited_feats_scp_is_not_complete(exp, capsys):
    scp = DUMP / "feats.scp"
    shutil.copytree("dump", "dump2")
    scp.write_text(scp.read_text(encoding="utf-8").replace("dump/lfcc", "dump2/lfcc", 1), encoding="utf-8")
    capsys.readouterr()
    assert score(exp) == 1
    one_line(capsys, "dump/lfcc/eval/feats.scp: is not what was written; run stage 3 again")
    assert extract() == 0
    assert "already extracted" not in capsys.readouterr().out
    assert "dump2" not in scp.read_text(encoding="utf-8")
    assert score(exp) == 0


def test_every_utterance_has_its_line(exp):
    rows = list(read_sums(DUMP / "feats.sums"))
    assert [utt for utt, _, _ in rows] == DataDir.read(EVAL).utts
    for utt, _, note in rows:
        digest, size, time, start, end, path = note.split(" ", 5)
        stat = Path(path).stat()
        assert path == str(audio(utt)) and (int(size), int(time)) == (stat.st_size, stat.st_mtime_ns)
        assert len(digest) == 32 and start == end == "-"


def test_a_single_job_also_joins_what_it_did(make_data, write_config):
    make_data("eval", 3)
    write_config()
    (EVAL / "utt2dur").unlink()
    assert main(["durations", "--data", "data/eval"]) == 0
    assert sorted(DataDir.read(EVAL).table("utt2dur")) == DataDir.read(EVAL).utts
    assert main(["trim", "--data", "data/eval", "--method", "energy"]) == 0
    assert DataDir.read("data/eval_trim").utts == DataDir.read(EVAL).utts
    assert extract() == 0
    assert (DUMP / "feats.scp").exists()
    # In an array job --collect does this.
    (EVAL / "utt2dur").unlink()
    assert main(["durations", "--data", "data/eval", "--num-jobs", "2", "--job", "1"]) == 0
    assert not (EVAL / "utt2dur").exists()


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
def test_every_change_of_a_sample_changes_the_digest(tmp_path, subtype):
    wave = np.round(np.random.default_rng(0).uniform(-0.5, 0.5, (800, 2)) * 2**15) / 2**15
    path, digests = tmp_path / "a.wav", set()
    for change in (0, 2.0**-15, 0.4):
        wave[400, 1] += change
        soundfile.write(path, wave, 8000, subtype=subtype)
        found, digest = read_with_digest(str(path))
        np.testing.assert_array_equal(found, read_audio(path))
        digests.add(digest)
    digests.add(read_with_digest(str(path), 0.0, 0.05)[1])
    soundfile.write(path, wave, 16000, subtype=subtype)
    digests.add(read_with_digest(str(path))[1])
    assert len(digests) == 5
