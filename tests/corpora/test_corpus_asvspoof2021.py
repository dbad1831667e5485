"""ASVspoof 2021 LA and DF: the evaluation sets, the places of the keys, and keys that are not what they should be."""

import shutil

import pytest
from hypothesis import given
from hypothesis import strategies as st
from miniature import asvspoof2021 as miniature

from spooftrace.common.errors import InputError
from spooftrace.corpora import asvspoof2021
from spooftrace.corpora.corpus import MissingFiles
from spooftrace.corpora.request import Request
from spooftrace.datadir import validate

LA = (
    "LA_0009 LA_E_9332881 alaw ita_tx A07 spoof notrim eval\n"
    "LA_0007 LA_E_8589971 none loc_tx bonafide bonafide trim hidden\n"
)
DF = (
    "LA_0023 DF_E_2000011 nocodec asvspoof A14 spoof notrim progress traditional_vocoder - - - -\n"
    "TEF2 DF_E_2000013 low_m4a vcc2020 Task1-team20 spoof notrim eval neural_vocoder_nonautoregressive "
    "Task1 team20 FF E\n"
    "TEM1 DF_E_2000024 mp3m4a vcc2020 bonafide bonafide notrim eval bonafide Task1 - - E"
)


def prepare(root, out, allow_partial=True):
    return asvspoof2021.prepare(Request(root=root, out=out, allow_partial=allow_partial))


@pytest.fixture
def key(tmp_path):
    def write(text):
        path = tmp_path / "trial_metadata.txt"
        path.write_text(text)
        return path

    return write


def test_sets(root, tmp_path):
    la, df = prepare(root, tmp_path / "data")
    assert (la.path.name, df.path.name) == ("la_eval", "df_eval")
    for data in (la, df):
        labels, attacks = data.table("utt2label"), data.table("utt2attack")
        assert sorted(labels.values()) == ["bonafide"] * 10 + ["spoof"] * 20
        assert all((attacks[utt] == "-") == (label == "bonafide") for utt, label in labels.items())
        assert set(data.table("utt2subset").values()) == {"progress", "eval", "hidden"}
        assert validate(data.path, check_audio=True) == []
        assert (data.path / "convention").read_text() == "asvspoof2021\n"
    assert set(la.table("utt2cond").values()) == set(miniature.LA_CODECS)
    assert set(df.table("utt2cond").values()) == set(miniature.DF_CODECS)
    assert set(la.tables) - set(df.tables) == {"utt2transmission"}
    assert set(df.tables) - set(la.tables) == {"utt2source", "utt2vocoder"}
    assert set(df.table("utt2source").values()) == {"asvspoof", "vcc2018", "vcc2020"}


def test_official_lines(key):
    assert asvspoof2021.read_protocol(key(LA)).tables == {
        "utt2spk": {"LA_E_9332881": "LA_0009", "LA_E_8589971": "LA_0007"},
        "utt2label": {"LA_E_9332881": "spoof", "LA_E_8589971": "bonafide"},
        "utt2attack": {"LA_E_9332881": "A07", "LA_E_8589971": "-"},
        "utt2cond": {"LA_E_9332881": "alaw", "LA_E_8589971": "none"},
        "utt2transmission": {"LA_E_9332881": "ita_tx", "LA_E_8589971": "loc_tx"},
        "utt2trim": {"LA_E_9332881": "notrim", "LA_E_8589971": "trim"},
        "utt2subset": {"LA_E_9332881": "eval", "LA_E_8589971": "hidden"},
    }
    tables = asvspoof2021.read_protocol(key(DF)).tables
    first, second, third = "DF_E_2000011", "DF_E_2000013", "DF_E_2000024"
    assert tables["utt2spk"] == {first: "LA_0023", second: "TEF2", third: "TEM1"}
    assert tables["utt2label"] == {first: "spoof", second: "spoof", third: "bonafide"}
    assert tables["utt2attack"] == {first: "A14", second: "Task1-team20", third: "-"}
    assert tables["utt2source"] == {first: "asvspoof", second: "vcc2020", third: "vcc2020"}
    assert tables["utt2vocoder"][second] == "neural_vocoder_nonautoregressive"
    assert tables["utt2vocoder"][third] == "-"


@given(
    st.lists(
        st.tuples(
            st.integers(0, 9999999),
            st.sampled_from(asvspoof2021.TRACKS["LA"].codecs),
            st.sampled_from(["bonafide", "A07", "A19"]),
            st.sampled_from(asvspoof2021.SUBSETS),
        ),
        min_size=1,
        unique_by=lambda row: row[0],
    )
)
def test_any_key_comes_back_as_tables(tmp_path_factory, trials):
    path = tmp_path_factory.mktemp("key") / "trial_metadata.txt"
    lines = []
    for number, codec, attack, subset in trials:
        label = "bonafide" if attack == "bonafide" else "spoof"
        lines.append(f"LA_0001 LA_E_{number:07d} {codec} ita_tx {attack} {label} notrim {subset}")
    path.write_text("\n".join(lines))
    tables = asvspoof2021.read_protocol(path).tables
    assert list(tables["utt2cond"].items()) == [(f"LA_E_{number:07d}", codec) for number, codec, _, _ in trials]
    assert list(tables["utt2subset"].values()) == [subset for *_, subset in trials]
    assert list(tables["utt2label"].values()) == [
        "bonafide" if attack == "bonafide" else "spoof" for _, _, attack, _ in trials
    ]


@pytest.mark.parametrize(
    ("given_root", "audio", "key_at"),
    [
        ("", "ASVspoof2021_LA_eval/flac", "keys/LA/CM"),
        ("", "ASVspoof2021_LA_eval/flac", "keys/CM"),
        ("", "ASVspoof2021_LA_eval/flac", "LA-keys-full/keys/LA/CM"),
        ("", "ASVspoof2021_LA_eval/flac", "LA-keys-stage-1/keys/CM"),
        ("", "ASVspoof2021_LA_eval/flac", "ASVspoof2021_LA_eval/keys/LA/CM"),
        ("", "ASVspoof2021_LA_eval/flac", "ASVspoof2021_LA_eval/keys/CM"),
        ("", "LA/ASVspoof2021_LA_eval/flac", "LA/keys/CM"),
        ("", "ASVspoof2021/ASVspoof2021_LA_eval/flac", "ASVspoof2021/keys/LA/CM"),
        ("ASVspoof2021_LA_eval", "ASVspoof2021_LA_eval/flac", "keys/LA/CM"),
        ("ASVspoof2021_LA_eval", "ASVspoof2021_LA_eval/flac", "ASVspoof2021_LA_eval/keys/CM"),
    ],
)
def test_where_people_keep_one_track(root, tmp_path, given_root, audio, key_at):
    (tmp_path / audio).parent.mkdir(parents=True)
    (tmp_path / audio).symlink_to(root / "ASVspoof2021_LA_eval/flac")
    shutil.copytree(root / "keys/LA/CM", tmp_path / key_at)
    (data,) = prepare(tmp_path / given_root, tmp_path / "data")
    assert (data.path.name, len(data.utts)) == ("la_eval", 30)
    assert not (tmp_path / "data/df_eval").exists()


def test_a_track_without_its_key_is_an_error(root, tmp_path):
    (tmp_path / "ASVspoof2021_DF_eval").symlink_to(root / "ASVspoof2021_DF_eval")
    with pytest.raises(MissingFiles, match=r"no keys/DF/CM/trial_metadata.txt"):
        prepare(tmp_path, tmp_path / "data", allow_partial=False)


def test_the_key_of_the_other_track(root, tmp_path):
    (tmp_path / "ASVspoof2021_LA_eval").symlink_to(root / "ASVspoof2021_LA_eval")
    shutil.copytree(root / "keys/DF/CM", tmp_path / "keys/CM")
    with pytest.raises(InputError, match=r"keys/CM/trial_metadata.txt:1: 13 columns, expected 8"):
        prepare(tmp_path, tmp_path / "data")


def test_partial_releases_must_be_allowed(root, tmp_path):
    with pytest.raises(InputError, match="ASVspoof 2021 la_eval: 10 bonafide instead of 18,452"):
        prepare(root, tmp_path, allow_partial=False)


def test_counts_of_the_key_add_up_to_its_lines():
    lines = {"LA": 181566, "DF": 611829}
    for name, track in asvspoof2021.TRACKS.items():
        assert track.expected.bonafide + track.expected.spoof == lines[name]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (LA + LA, ":3: 'LA_E_9332881' is listed a second time"),
        (LA + DF, ":3: 13 columns, expected 8"),
        (DF.replace("nocodec", "none"), ":1: unknown cond 'none' of 'DF_E_2000011'"),
        (LA.replace("none", "nocodec"), ":2: unknown cond 'nocodec'"),
        (LA.replace("hidden", "hidden2"), ":2: unknown subset 'hidden2'"),
        (LA.replace("notrim", "no"), ":1: unknown trim 'no'"),
        (LA.replace("A07 spoof", "A07 fraud"), ":1: unknown label 'fraud'"),
        (LA.replace("A07 spoof", "A20 spoof"), ":1: unknown attack 'A20'"),
        (LA.replace("A07 spoof", "A07 bonafide"), ":1: 'LA_E_9332881' is bonafide, but its attack is 'A07'"),
        ("LA_0009 LA_E_9332881 alaw ita_tx spoof A07 notrim eval", ":1: unknown label 'A07'"),
        ("LA_0079 LA_T_1138215 - - bonafide", ":1: 5 columns, expected 8 or 13"),
        ("a PA_E_1000001 c d e spoof g eval", ":1: 'PA_E_1000001' is not an utterance id of ASVspoof 2021"),
        ("", ": is empty"),
    ],
)
def test_mistakes(key, text, message):
    with pytest.raises(InputError, match="trial_metadata.txt" + message):
        asvspoof2021.read_protocol(key(text))
