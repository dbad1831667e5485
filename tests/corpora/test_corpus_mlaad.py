"""MLAAD: fakes of many attacks, the bona fide recordings they copy, and tables that are not what they should be."""

import pytest
from miniature import mlaad as miniature

from spooftrace.common.errors import InputError
from spooftrace.corpora import mlaad
from spooftrace.corpora.corpus import MissingFiles
from spooftrace.corpora.request import Request
from spooftrace.datadir import validate

HEADER = miniature.HEADER
LINE = "./fake/en/vits/a.wav|en_US/by_book/female/amy/emma/wavs/a.wav|en|True|2.5|?|vits|VITS|Yes.\n"


def prepare(root, out, bonafide=None, allow_partial=False):
    return mlaad.prepare(Request(root=root, out=out, allow_partial=allow_partial), bonafide)


@pytest.fixture
def fake(tmp_path):
    """Writes the table of one attack."""

    def write(text, attack="vits"):
        folder = tmp_path / "fake/en" / attack
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "meta.csv").write_text(text)
        return tmp_path / "fake"

    return write


def test_fakes(root, tmp_path, capsys):
    (data,) = prepare(root, tmp_path / "data")
    assert data.path.name == "mlaad"
    assert len(data.utts) == len(miniature.ATTACKS) * miniature.COUNT, "quotation marks swallow no line"
    assert set(data.table("utt2label").values()) == {"spoof"}
    assert set(data.table("utt2spk").values()) == {"-"}
    assert set(data.table("utt2lang").values()) == {"en", "de"}
    assert "--bonafide DIR adds that of M-AILABS" in capsys.readouterr().out
    utt = "en/griffin_lim/jane_eyre_00_f000000"
    assert data.table("wav.scp")[utt] == f"{root}/fake/en/griffin lim/jane_eyre_00_f000000.wav"
    assert (data.table("utt2attack")[utt], data.table("utt2architecture")[utt]) == ("griffin_lim", "Griffin_Lim")
    same_clip = [utt for utt in data.utts if utt.endswith("/jane_eyre_00_f000000")]
    assert len(same_clip) == 4, "one of each attack and language"
    assert validate(data.path, check_audio=True) == []


def test_with_bona_fide_speech(root, tmp_path):
    fakes, originals, both = prepare(root, tmp_path / "data", bonafide=root / "mailabs")
    assert [data.path.name for data in (fakes, originals, both)] == ["mlaad", "mailabs", "mlaad_mailabs"]
    assert set(originals.table("utt2label").values()) == {"bonafide"}
    assert set(originals.table("utt2attack").values()) == {"-"}
    assert set(originals.table("utt2spk").values()) == {"elizabeth_klett", "elliot_miller", "-"}
    assert set(originals.table("utt2lang").values()) == {"en", "de"}
    assert len(originals.utts) == 10
    assert (originals.path / "extra.txt").read_text() == "en_US/by_book/mix/northandsouth/wavs/unused.wav\n"
    assert both.utts == sorted([*fakes.utts, *originals.utts])
    for data in (originals, both):
        assert validate(data.path, check_audio=True) == []


def test_bona_fide_speech_that_is_not_all_there(root, tmp_path):
    (tmp_path / "mailabs").mkdir()
    (tmp_path / "mailabs/en_US").symlink_to(root / "mailabs/en_US")
    with pytest.raises(MissingFiles, match="5 of the 10 audio files of mailabs are missing"):
        prepare(root, tmp_path / "data", bonafide=tmp_path / "mailabs")
    *_, both = prepare(root, tmp_path / "data", bonafide=tmp_path / "mailabs", allow_partial=True)
    assert list(both.table("utt2label").values()).count("bonafide") == 5
    with pytest.raises(InputError, match=r"--bonafide .*nowhere: no such folder; give the folder of M-AILABS$"):
        prepare(root, tmp_path / "data", bonafide=tmp_path / "nowhere")


def test_a_line_of_the_table(fake):
    trials, files, originals = mlaad.read_tables(fake(HEADER + LINE))
    assert trials.tables["utt2attack"] == {"en/vits/a": "vits"}
    assert files == {"en/vits/a": "en/vits/a.wav"}
    assert list(originals) == ["en_US/by_book/female/amy/emma/wavs/a.wav"]
    bonafide, bonafide_files = mlaad.bonafide_trials(originals)
    assert bonafide.tables["utt2spk"] == {"en_US/by_book/female/amy/emma/wavs/a": "amy"}
    assert list(bonafide_files.values()) == list(originals)


def test_fakes_without_originals(fake):
    _, _, originals = mlaad.read_tables(fake(HEADER + LINE.replace("en_US/by_book/female/amy/emma/wavs/a.wav", "-")))
    assert originals == {}
    with pytest.raises(InputError, match="names an original recording; go without --bonafide"):
        mlaad.bonafide_trials(originals)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEADER + LINE + LINE, "meta.csv:3: 'en/vits/a' is listed a second time"),
        (HEADER + LINE.replace("|Yes.", ""), "meta.csv:2: not the 9 columns of line 1"),
        (HEADER.replace("|", ",") + LINE, "meta.csv:2: not the 9 columns of line 1, but 1"),
    ],
)
def test_mistakes(fake, text, message):
    with pytest.raises(InputError, match=message):
        mlaad.read_tables(fake(text))


def test_a_folder_without_tables(tmp_path):
    (tmp_path / "fake/en").mkdir(parents=True)
    with pytest.raises(InputError, match=r"has no LANGUAGE/ATTACK/meta.csv"):
        prepare(tmp_path, tmp_path / "data")
