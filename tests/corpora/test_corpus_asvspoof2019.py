"""ASVspoof 2019 LA: the three sets from a miniature release, and protocols that are not what they should be."""

import pytest
from miniature import asvspoof2019 as miniature

from spooftrace.common.errors import InputError
from spooftrace.corpora import asvspoof2019
from spooftrace.corpora.corpus import MissingFiles
from spooftrace.corpora.request import Request
from spooftrace.datadir import validate

TRAIN = "LA_0079 LA_T_1138215 - - bonafide\nLA_0098 LA_T_9839348 - A06 spoof"  # no newline at the end


def prepare(root, out, allow_partial=True):
    return asvspoof2019.prepare(Request(root=root, out=out, allow_partial=allow_partial))


@pytest.fixture
def protocol(tmp_path):
    def write(text):
        path = tmp_path / "protocol.txt"
        path.write_text(text)
        return path

    return write


@pytest.mark.parametrize("inside", [False, True])
def test_sets(root, tmp_path, inside):
    prepared = prepare(root / "LA" if inside else root, tmp_path / "data")
    assert [data.path.name for data in prepared] == ["train", "dev", "eval"]
    for data, (_, _, bonafide, spoof, spoof_attacks) in zip(prepared, miniature.SETS.values(), strict=True):
        labels, attacks = data.table("utt2label"), data.table("utt2attack")
        assert sorted(labels.values()) == ["bonafide"] * bonafide + ["spoof"] * spoof
        assert set(attacks.values()) == {"-", *spoof_attacks}
        assert all((attacks[utt] == "-") == (label == "bonafide") for utt, label in labels.items())
        assert validate(data.path, check_audio=True) == []
        assert (data.path / "convention").read_text() == "asvspoof2019\n"
    assert (tmp_path / "data/dev/extra.txt").read_text() == "LA_D_9999999.flac\n"


def test_official_lines(protocol):
    tables = asvspoof2019.read_protocol(protocol(TRAIN)).tables
    assert tables["utt2spk"] == {"LA_T_1138215": "LA_0079", "LA_T_9839348": "LA_0098"}
    assert tables["utt2label"] == {"LA_T_1138215": "bonafide", "LA_T_9839348": "spoof"}
    assert tables["utt2attack"] == {"LA_T_1138215": "-", "LA_T_9839348": "A06"}


def test_partial_releases_must_be_allowed(root, tmp_path):
    with pytest.raises(InputError, match="ASVspoof 2019 LA train: 8 bonafide instead of 2,580"):
        prepare(root, tmp_path, allow_partial=False)


def test_a_half_unpacked_release(root, tmp_path):
    (tmp_path / "LA").mkdir()
    (tmp_path / "LA/ASVspoof2019_LA_cm_protocols").symlink_to(root / "LA/ASVspoof2019_LA_cm_protocols")
    with pytest.raises(MissingFiles, match=r"no ASVspoof2019_LA_train/flac nor .*LA has ASVspoof2019_LA_cm_protocols"):
        prepare(tmp_path, tmp_path / "data", allow_partial=False)
    assert prepare(tmp_path, tmp_path / "data") == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (TRAIN + "\nLA_0079 LA_T_1138215 - - bonafide", ":3: 'LA_T_1138215' is listed a second time"),
        ("LA_0001 LA_T_0000001 - A01 fakes", ":1: unknown label 'fakes'"),
        ("LA_0001 LA_T_0000001 - A20 spoof", ":1: unknown attack 'A20'"),
        ("LA_0001 PA_T_0000001 - AA spoof", ":1: 'PA_T_0000001' is not an utterance id"),
        ("LA_0009 LA_E_9332881 alaw ita_tx A07 spoof notrim eval", ":1: 8 columns, expected 5"),
    ],
)
def test_mistakes(protocol, text, message):
    with pytest.raises(InputError, match="protocol.txt" + message):
        asvspoof2019.read_protocol(protocol(text))
