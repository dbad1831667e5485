"""ASVspoof 5: Track 1 sets, Track 2 lists, the codec table, and files that are not what they should be."""

import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from miniature import asvspoof5 as miniature

from spooftrace.common.errors import InputError
from spooftrace.corpora import asvspoof5
from spooftrace.corpora.asvspoof5 import AsvTrial, CodecSetting
from spooftrace.corpora.corpus import Expected, MissingFiles
from spooftrace.corpora.request import Request
from spooftrace.datadir import read_table, validate

TRAIN = "T_4850 T_0000000000 F - - - AC3 A05 spoof -\nT_3734 T_0000000011 F - - - - bonafide bonafide -"
EVAL = (
    "E_1607 E_0009538969 M C05 4 E_0007962206 AC3 A18 spoof -\n"
    "E_1931 E_0007962206 M - 0 - AC3 A18 spoof -\n"
    "E_1931 E_0007962218 F C11 8 E_0007962219 - bonafide bonafide -\n"
)
TRIALS = (
    "D_0001 D_0000000011 F bonafide target\nD_0002 D_0000000011 F bonafide nontarget\nD_0001 D_0000000022 F A09 spoof"
)


def prepare(root, out, allow_partial=True):
    return asvspoof5.prepare(Request(root=root, out=out, allow_partial=allow_partial))


@pytest.fixture
def file(tmp_path):
    def write(text):
        path = tmp_path / "list.tsv"
        path.write_text(text)
        return path

    return write


# ---- Track 1 ----


def test_sets(root, tmp_path):
    prepared = prepare(root, tmp_path / "data")
    assert [data.path.name for data in prepared] == ["train", "dev", "eval"]
    for data, (_, _, bonafide, spoof, first, last) in zip(prepared, miniature.SETS.values(), strict=True):
        labels, attacks = data.table("utt2label"), data.table("utt2attack")
        assert sorted(labels.values()) == ["bonafide"] * bonafide + ["spoof"] * spoof
        assert set(attacks.values()) == {"-", *(f"A{number:02d}" for number in range(first, last + 1))}
        assert all((attacks[utt] == "-") == (label == "bonafide") for utt, label in labels.items())
        assert validate(data.path, check_audio=True) == []
        assert (data.path / "convention").read_text() == "asvspoof5\n"
        assert not (data.path / "extra.txt").exists(), "enrolment speech is known"
    train, _, evaluation = prepared
    assert set(train.table("utt2cond").values()) == set(train.table("utt2cond_q").values()) == {"-"}
    assert set(evaluation.table("utt2cond").values()) == {"-", "C01", "C04", "C07", "C11"}


def test_official_lines(file):
    tables = asvspoof5.read_protocol(file(TRAIN)).tables
    assert tables["utt2label"] == {"T_0000000000": "spoof", "T_0000000011": "bonafide"}
    assert tables["utt2attack"] == {"T_0000000000": "A05", "T_0000000011": "-"}
    coded, plain, device = "E_0009538969", "E_0007962206", "E_0007962218"
    assert asvspoof5.read_protocol(file(EVAL)).tables == {
        "utt2spk": {coded: "E_1607", plain: "E_1931", device: "E_1931"},
        "utt2label": {coded: "spoof", plain: "spoof", device: "bonafide"},
        "utt2attack": {coded: "A18", plain: "A18", device: "-"},
        "utt2cond": {coded: "C05", plain: "-", device: "C11"},
        "utt2cond_q": {coded: "4", plain: "0", device: "8"},
        "utt2seed": {coded: plain, plain: "-", device: "E_0007962219"},
        "utt2gender": {coded: "M", plain: "M", device: "F"},
        "utt2tag": {coded: "AC3", plain: "AC3", device: "-"},
    }


@given(
    st.lists(
        st.tuples(
            st.integers(0, 10**10 - 1),
            st.sampled_from(["-", *asvspoof5.CODECS]),
            st.sampled_from("-012345678"),
            st.sampled_from(["bonafide", *asvspoof5.ATTACKS]),
        ),
        unique_by=lambda row: row[0],
    )
)
def test_any_protocol_comes_back_as_tables(tmp_path_factory, trials):
    path = tmp_path_factory.mktemp("protocol") / "list.tsv"
    lines = []
    for number, codec, quality, attack in trials:
        label = "bonafide" if attack == "bonafide" else "spoof"
        lines.append(f"E_0001 E_{number:010d} F {codec} {quality} - AC1 {attack} {label} -\n")
    path.write_text("".join(lines))
    found = asvspoof5.read_protocol(path)
    assert len(found) == len(trials)
    for number, codec, quality, attack in trials:
        utt = f"E_{number:010d}"
        assert found.tables["utt2cond"][utt] == codec
        assert found.tables["utt2cond_q"][utt] == quality
        assert found.tables["utt2attack"][utt] == attack.replace("bonafide", "-")


def test_protocols_beside_the_audio_and_a_folder_above(root, tmp_path):
    (tmp_path / "ASVspoof5").mkdir()
    for path in [*(root / "ASVspoof5_protocols").iterdir(), *root.glob("flac_*")]:
        (tmp_path / "ASVspoof5" / path.name).symlink_to(path)
    assert len(prepare(tmp_path, tmp_path / "data")) == 3
    assert (tmp_path / "data/eval_track2/trials").exists()


def test_partial_releases_must_be_allowed(root, tmp_path):
    with pytest.raises(InputError, match="ASVspoof 5 train: 8 bonafide instead of 18,797"):
        prepare(root, tmp_path, allow_partial=False)


def test_partial_lists_of_track_2_are_marked(root, tmp_path, capsys):
    prepare(root, tmp_path / "data")
    dev, evaluated = (line for line in capsys.readouterr().out.splitlines() if "_track2: " in line)
    assert "PARTIAL: 20 of 282,456 trials; PARTIAL: 4 of 398 enrolled speakers" in dev
    assert "PARTIAL: 4 of 367 enrolled speakers" in evaluated


def test_a_set_that_is_not_unpacked(root, tmp_path, capsys):
    for name in ("ASVspoof5_protocols", "flac_T", "flac_D"):
        (tmp_path / name).symlink_to(root / name)
    assert [data.path.name for data in prepare(tmp_path, tmp_path / "data")] == ["train", "dev"]
    assert "data/eval: left out: " in capsys.readouterr().out
    (tmp_path / "flac_D").unlink()
    (tmp_path / "flac_T").unlink()
    with pytest.raises(MissingFiles, match=r"no flac_T; .* has ASVspoof5_protocols"):
        prepare(tmp_path, tmp_path / "data", allow_partial=False)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (EVAL + EVAL, ":4: 'E_0009538969' is listed a second time"),
        ("T_0 T_0000000000 - - A05 spoof", ":1: 6 columns, expected 10"),  # as in the challenge
        ("LA_0079 LA_T_1138215 - - bonafide", ":1: 5 columns, expected 10"),
        (EVAL.replace("C05", "C00"), ":1: unknown cond 'C00'"),
        (EVAL.replace("C05", "C5"), ":1: unknown cond 'C5'"),
        (EVAL.replace("C11 8", "C11 9"), ":3: unknown cond_q '9'"),
        (EVAL.replace("A18", "A33"), ":1: unknown attack 'A33'"),
        (EVAL.replace("M - 0", "X - 0"), ":2: unknown gender 'X'"),
        (EVAL.replace("A18 spoof", "A18 -"), ":1: unknown label '-'"),
        (EVAL.replace(" E_0009538969", " E_95"), ":1: 'E_95' is not an utterance id"),
    ],
)
def test_mistakes(file, text, message):
    with pytest.raises(InputError, match="list.tsv" + message):
        asvspoof5.read_protocol(file(text))


# ---- Track 2 ----


def test_track_2_is_written_beside_the_sets(root, tmp_path):
    prepare(root, tmp_path / "data")
    assert not (tmp_path / "data/train_track2").exists()
    for name, letter in (("dev", "D"), ("eval", "E")):
        folder = tmp_path / f"data/{name}_track2"
        trials = [line.split() for line in (folder / "trials").read_text().splitlines()]
        official = root / f"ASVspoof5_protocols/ASVspoof5.{name}.track_2.trial.tsv"
        assert [tuple(trial) for trial in trials] == asvspoof5.read_trials(official)
        labels = read_table(tmp_path / f"data/{name}/utt2label")
        attacks = read_table(tmp_path / f"data/{name}/utt2attack")
        for _, utt, key, attack in trials:
            assert (labels[utt] == "spoof") == (key == "spoof")
            assert attacks[utt] == attack
        enroll = read_table(folder / "enroll")
        assert enroll[f"{letter}_4001"].split() == [f"{letter}_A{number:09d}" for number in (10, 11, 12)]
        scp = read_table(folder / "wav.scp")
        assert sorted(scp) == sorted(utt for utts in enroll.values() for utt in utts.split())
        assert all(Path(path).is_file() for path in scp.values())


def test_without_the_lists_of_track_2(root, tmp_path):
    shutil.copytree(root / "ASVspoof5_protocols", tmp_path / "ASVspoof5_protocols")
    for path in (tmp_path / "ASVspoof5_protocols").glob("*track_2*"):
        path.unlink()
    for name in ("flac_T", "flac_D", "flac_E_eval"):
        (tmp_path / name).symlink_to(root / name)
    prepare(tmp_path, tmp_path / "data")
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == ["dev", "eval", "train"]
    assert (tmp_path / "data/dev/extra.txt").read_text().count("D_A") == 6


def test_official_trials(file):
    assert asvspoof5.read_trials(file(TRIALS)) == [
        AsvTrial("D_0001", "D_0000000011", "target", "-"),
        AsvTrial("D_0002", "D_0000000011", "nontarget", "-"),
        AsvTrial("D_0001", "D_0000000022", "spoof", "A09"),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (TRIALS + "\n" + TRIALS, ":4: the trial of 'D_0001' with 'D_0000000011' is there twice"),
        (TRIALS.replace("nontarget", "non"), ":2: attack 'bonafide' and key 'non' of 'D_0000000011' do not go"),
        (TRIALS.replace("A09 spoof", "A09 target"), ":3: attack 'A09' and key 'target'"),
        (TRIALS.replace("A09 spoof", "bonafide spoof"), ":3: attack 'bonafide' and key 'spoof'"),
        (TRAIN, ":1: 10 columns, expected 5"),
    ],
)
def test_mistakes_in_trials(file, text, message):
    with pytest.raises(InputError, match="list.tsv" + message):
        asvspoof5.read_trials(file(text))


def test_enrolment(file):
    assert asvspoof5.read_enrolment(file("D_0001 D_A1,D_A2,D_A3\nD_0002 D_A4")) == {
        "D_0001": ["D_A1", "D_A2", "D_A3"],
        "D_0002": ["D_A4"],
    }
    with pytest.raises(InputError, match=r"list.tsv:2: 'D_0001' is listed a second time"):
        asvspoof5.read_enrolment(file("D_0001 D_A1\nD_0001 D_A2"))
    with pytest.raises(InputError, match=r"list.tsv:1: 'D_A1,,D_A2' is not a list of utterances"):
        asvspoof5.read_enrolment(file("D_0001 D_A1,,D_A2"))


def test_a_target_that_is_not_enrolled(root, tmp_path):
    shutil.copytree(root / "ASVspoof5_protocols", tmp_path / "ASVspoof5_protocols")
    for name in ("flac_T", "flac_D", "flac_E_eval"):
        (tmp_path / name).symlink_to(root / name)
    path = tmp_path / "ASVspoof5_protocols/ASVspoof5.dev.track_2.enroll.tsv"
    path.write_text("".join(line for line in path.open() if not line.startswith("D_4002")))
    with pytest.raises(InputError, match=r"dev.track_2.trial.tsv: target 'D_4002' is not in the enrolment list"):
        prepare(tmp_path, tmp_path / "data")


@pytest.mark.parametrize(
    ("trials", "enroll", "message"),
    [
        (20, (4, 6), None),
        (21, (4, 6), "20 trials instead of 21"),
        (20, (5, 6), "4 enrolled speakers instead of 5"),
        (20, (4, 7), "6 enrolment utterances instead of 7"),
    ],
)
def test_counts_of_track_2(root, tmp_path, monkeypatch, trials, enroll, message):
    official = asvspoof5.SETS["dev"]._replace(expected=Expected(6, 8), trials=trials, enroll=enroll)
    monkeypatch.setattr(asvspoof5, "SETS", {"dev": official})
    if message is None:
        prepare(root, tmp_path, allow_partial=False)
        assert (tmp_path / "dev_track2/trials").exists()
        return
    with pytest.raises(InputError, match=rf"dev.track_2.trial.tsv: {message} \(--allow-partial"):
        prepare(root, tmp_path, allow_partial=False)
    assert not (tmp_path / "dev_track2").exists()


def test_enrolment_speech_that_is_missing(root, tmp_path, monkeypatch):
    shutil.copytree(root / "flac_D", tmp_path / "flac_D")
    (tmp_path / "ASVspoof5_protocols").symlink_to(root / "ASVspoof5_protocols")
    (tmp_path / "flac_D/D_A000000010.flac").unlink()
    official = asvspoof5.SETS["dev"]._replace(expected=Expected(6, 8), trials=20, enroll=(4, 6))
    monkeypatch.setattr(asvspoof5, "SETS", {"dev": official})
    with pytest.raises(InputError, match=r"5 enrolment files in .*flac_D instead of 6"):
        prepare(tmp_path, tmp_path / "data", allow_partial=False)
    prepare(tmp_path, tmp_path / "data")
    assert len(read_table(tmp_path / "data/dev_track2/wav.scp")) == 5


# ---- the codec table ----


def test_codec_table_is_cleaned(root, tmp_path):
    settings = {setting[:2]: setting for setting in asvspoof5.read_codecs(file_of_codecs(tmp_path))}
    assert settings["C01", "3"] == CodecSetting("C01", "3", "opus_wb", (18, 18))
    assert settings["C02", "1"].name == "amr_wb"
    assert settings["C09", "1"].name == "amr_nb"
    assert settings["C05", "1"].kbps == (45, 85)
    assert settings["C11", "1"] == CodecSetting("C11", "1", "MST", None)
    assert settings["C11", "8"].name == "SGS23U_bluetooth"
    assert settings["C07", "1"] == CodecSetting("C07", "1", "mp3_encodec_wb", None, (("1", "1"),))
    assert settings["C07", "2"].chain == (("1", "2"), ("2", "1"))
    prepare(root, tmp_path / "data")
    lines = [line.split("\t") for line in (tmp_path / "data/eval/codecs.tsv").read_text().splitlines()]
    assert lines[0] == ["cond", "cond_q", "codec", "kbps_low", "kbps_high", "mp3+encodec"]
    assert ["C02", "1", "amr_wb", "6.6", "6.6", "-"] in lines
    assert ["C05", "1", "mp3_wb", "45", "85", "-"] in lines
    assert ["C07", "2", "mp3_encodec_wb", "-", "-", "1+2 2+1"] in lines
    assert {len(line) for line in lines} == {6}


def file_of_codecs(folder):
    path = folder / "ASVspoof5.codec.config.csv"
    path.write_text(miniature.CODEC_CONFIG)
    return path


def test_another_table(file):
    with pytest.raises(InputError, match=r"list.tsv:2: 'X1' is not a codec"):
        asvspoof5.read_codecs(file("ID,CODEC,CODEC_Q,Bitrate(kbps)\nX1,opus,1,6"))
    with pytest.raises(InputError, match=r"list.tsv:1: no column 'ID'"):
        asvspoof5.read_codecs(file("file,speaker,label\n"))


def test_the_real_codec_table():
    path = Path(__file__).resolve().parents[3] / "shared/protocols/asvspoof5/ASVspoof5.codec.config.csv"
    if not path.exists():
        pytest.skip(f"{path.name} of the release is not at hand")
    settings = asvspoof5.read_codecs(path)
    qualities = {f"C{number:02d}": 8 if number == 11 else 5 for number in range(1, 12)}
    assert [(setting.codec, setting.quality) for setting in settings] == [
        (codec, str(quality + 1)) for codec, count in qualities.items() for quality in range(count)
    ]
    assert sum(len(setting.chain) for setting in settings) == 25
    assert all((setting.kbps is None) == (setting.codec in ("C07", "C11")) for setting in settings)
