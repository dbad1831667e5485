"""PartialSpoof: the miniature of the release, the labels of its segments, and files that are not as they should be."""

import os
import pickle
import shutil
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from miniature import partialspoof as miniature

from spooftrace.common.errors import InputError
from spooftrace.corpora import partialspoof as corpus
from spooftrace.corpora.request import Request
from spooftrace.datadir import read_table, validate
from spooftrace.metrics.localisation import range_eer, segment_eer

LABELS = {"CON_D_0000001": "spoof", "LA_D_1000002": "bonafide"}
FRAMES = {"CON_D_0000001": np.array(["1", "0", "0"]), "LA_D_1000002": np.array(["1", "1"])}


@pytest.fixture(scope="module")
def release(tmp_path_factory, speech):
    root = tmp_path_factory.mktemp("the release")
    miniature.lay_out(speech, root)
    return root


@pytest.fixture(scope="module")
def prepared(release, tmp_path_factory):
    before = listing(release)
    sets = prepare(release, tmp_path_factory.mktemp("a recipe") / "data")
    assert listing(release) == before
    return {data.path.name: data for data in sets}


def prepare(root, out, allow_partial=True):
    return corpus.prepare(Request(root=root, out=out, allow_partial=allow_partial))


def listing(folder):
    return sorted((path, path.stat().st_mtime_ns) for path in folder.rglob("*"))


def save(path, content):
    np.save(path, np.array(content, dtype=object), allow_pickle=True)
    return path


def test_prepare(prepared):
    assert list(prepared) == ["train", "dev", "eval"]
    for name, data in prepared.items():
        assert validate(data.path, check_audio=True) == []
        labels, attacks = data.table("utt2label"), data.table("utt2attack")
        assert set(attacks.values()) == {"-", "CON"}
        assert all((attacks[utt] == "CON") == (labels[utt] == "spoof") == utt.startswith("CON") for utt in data.utts)
        assert len(data.utts) == sum(miniature.SETS[name][1:])
        for file in [*(f"segment_labels_{resolution}.txt" for resolution in corpus.RESOLUTIONS), "segment_times.txt"]:
            assert list(read_table(data.path / file)) == data.utts


def test_zero_is_spoof(prepared):
    data = prepared["dev"]
    labels = read_table(data.path / "segment_labels_0.16.txt")
    # Spoofed from 0.5 to 1 s: in the frames from 0.48 to 1.12 s.
    assert labels["CON_D_0000006"].split()[:8] == list("11100001")
    assert set(labels["CON_D_0000008"].split()) == {"0"}
    assert all(set(line.split()) == {"1"} for utt, line in labels.items() if utt.startswith("LA"))


def test_segments_in_frames_and_in_seconds_are_the_same(prepared):
    data = prepared["eval"]
    frames = [np.array(line.split(), int) for line in read_table(data.path / "segment_labels_0.01.txt").values()]
    times = [
        np.array(line.split(), float).reshape(-1, 3) for line in read_table(data.path / "segment_times.txt").values()
    ]
    assert segment_eer(frames, frames, 10, 10, 10)[0] == 0
    assert range_eer(frames, times, 0.01)[0] < 0.01
    assert range_eer([1 - utt for utt in frames], times, 0.01)[0] > 0.99


def test_releases_without_labels_of_segments(release, tmp_path, capsys):
    copy = tmp_path / "copy"
    shutil.copytree(release / "database", copy)
    shutil.rmtree(copy / "segment_labels")
    shutil.rmtree(copy / "train/con_data")
    (copy / "train/con_wav/CON_T_0000008.wav").unlink()
    prepared = prepare(copy, tmp_path / "data")
    assert len(prepared[0].utts) == 23
    assert not list((tmp_path / "data/train").glob("segment*"))
    assert "data/train: labels of segments: none in the release" in capsys.readouterr().out
    assert (tmp_path / "data/dev/segment_times.txt").is_file()


@pytest.mark.parametrize("protocol", [3, 4])  # those of numpy.save
@pytest.mark.parametrize(
    "values", [list, np.array, lambda frames: np.array(frames, int), lambda f: np.array(f, object)]
)
def test_labels_however_they_were_pickled(tmp_path, protocol, values):
    content = defaultdict(list, {utt: values(list(frames)) for utt, frames in FRAMES.items()})
    path = save(tmp_path / "dev_seglab_0.02.npy", content)
    header = path.read_bytes().split(b"\n")[0] + b"\n"
    path.write_bytes(header + pickle.dumps(np.array(content, dtype=object), protocol=protocol))
    assert corpus.read_segment_labels(path, LABELS) == {"CON_D_0000001": "1 0 0", "LA_D_1000002": "1 1"}


def test_names_of_older_numpy(tmp_path):
    path = save(tmp_path / "dev_seglab_0.02.npy", FRAMES)
    content = path.read_bytes()
    old = pickle.dumps(np.array(FRAMES, dtype=object), protocol=3).replace(b"numpy._core.multi", b"numpy.core.multi")
    assert b"numpy.core.multiarray" in old
    path.write_bytes(content.split(b"\n")[0] + b"\n" + old)
    assert corpus.read_segment_labels(path, LABELS)["LA_D_1000002"] == "1 1"


class Act:
    """Makes a folder when it is unpickled."""

    def __reduce__(self):
        return os.mkdir, ("acted",)


def test_pickled_code_does_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = save(tmp_path / "dev_seglab_0.02.npy", {"CON_D_0000001": Act()})
    with pytest.raises(InputError, match=r"dev_seglab_0.02.npy: .*(posix|nt).mkdir, which is not plain data"):
        corpus.read_segment_labels(path, LABELS)
    assert not (tmp_path / "acted").exists()
    np.load(path, allow_pickle=True)
    assert (tmp_path / "acted").exists()  # it would have


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"LA_D_1000002": ["1"]}, "has no labels of 'CON_D_0000001'"),
        (FRAMES | {"LA_D_1000002": ["1", "2"]}, "'LA_D_1000002' has the label '2', expected 0"),
        (FRAMES | {"LA_D_1000002": []}, "'LA_D_1000002' has no labels"),
        ({utt: [str(1 - int(f)) for f in frames] for utt, frames in FRAMES.items()}, "the labels of 1 of 2 utterances"),
        ("text", "not segment labels, but str"),
    ],
)
def test_labels_that_are_wrong(tmp_path, content, words):
    path = save(tmp_path / "dev_seglab_0.02.npy", content)
    with pytest.raises(InputError) as error:
        corpus.read_segment_labels(path, LABELS)
    assert str(error.value).startswith(f"{path}: ") and words in str(error.value)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x93NUMPY\x01\x00", None, "numbers"])
def test_files_that_are_no_labels(tmp_path, content):
    path = save(tmp_path / "dev_seglab_0.02.npy", FRAMES)
    if content == "numbers":
        np.save(path, np.zeros(3))
    else:
        path.write_bytes(path.read_bytes()[:-40] if content is None else content)
    with pytest.raises(InputError, match="not segment labels, or damaged"):
        corpus.read_segment_labels(path, LABELS)


@given(
    st.dictionaries(
        st.integers(0, 9999999).map("CON_D_{:07d}".format),
        hnp.arrays("U1", st.integers(1, 20), elements=st.sampled_from("01")).filter(lambda frames: "0" in frames),
        min_size=1,
    )
)
def test_any_labels_come_out_as_they_went_in(tmp_path_factory, content):
    path = save(tmp_path_factory.mktemp("labels") / "eval_seglab_0.16.npy", content)
    table = corpus.read_segment_labels(path, dict.fromkeys(content, "spoof"))
    assert {utt: line.split() for utt, line in table.items()} == {utt: list(map(str, f)) for utt, f in content.items()}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("SPEAKER CON_D_0000001 1 0.5 x <NA> <NA> spoof <NA> <NA>", "rttm:2: '0.5 x' is not a start and a duration"),
        ("SPEAKER CON_D_0000001 1 0.5 0.1 <NA> <NA> music <NA> <NA>", "rttm:2: unknown label 'music'"),
        ("CON_D_0000001 0.5 0.1 spoof", "rttm:2: 4 columns, expected 9 or 10"),
        ("", "rttm: has no segment of 'CON_D_0000001'"),
    ],
)
def test_times_that_are_wrong(tmp_path, line, words):
    path = tmp_path / "rttm"
    path.write_text(f"SPEAKER LA_D_1000002 1 0 1.5 <NA> <NA> bonafide <NA> <NA>\n{line}\n")
    with pytest.raises(InputError) as error:
        corpus.read_segment_times(path, LABELS)
    assert words in str(error.value)


def test_times_of_no_speech_are_left_out(tmp_path):
    path = tmp_path / "rttm"
    lines = [("0.0", "0.3", "nonspeech"), ("0.3", "0.6", "bonafide"), ("0.9", "0.25", "spoof")]
    path.write_text("".join(f"SPEAKER u 1 {start} {dur} <NA> <NA> {label} <NA> <NA>\n" for start, dur, label in lines))
    assert corpus.read_segment_times(path, ["u"]) == {"u": "0.3 0.9 1 0.9 1.15 0"}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("LA_0079 CON_T_0000029 - CON fake-ish", "trl.txt:2: unknown label 'fake-ish'"),
        ("LA_0079 CON_T_0000029 - A01 spoof", "trl.txt:2: unknown attack 'A01'"),
        ("LA_0079 LA_T_1234567 - - bonafide", "trl.txt:2: 'LA_T_1234567' is listed a second time"),
        ("LA_0079 T_0000000011 - - bonafide", "trl.txt:2: 'T_0000000011' is not an utterance id of this corpus"),
        ("file.wav real 0", "trl.txt:2: 3 columns, expected 5"),
    ],
)
def test_mistakes_are_named_by_file_and_line(tmp_path, line, words):
    path = tmp_path / "trl.txt"
    path.write_text(f"LA_0079 LA_T_1234567 - - bonafide\n{line}\n")
    with pytest.raises(InputError) as error:
        corpus.read_protocol(path)
    assert words in str(error.value)


def test_wrong_root(release, tmp_path):
    with pytest.raises(InputError, match="not the folder of PartialSpoof, or not all of it is unpacked"):
        prepare(tmp_path, tmp_path / "out", allow_partial=False)
    with pytest.raises(InputError, match="8 bonafide instead of 2,580; 16 spoof instead of 22,800"):
        prepare(release, tmp_path / "out", allow_partial=False)
