"""CodecFake+: label files and lists with all their quirks, the taxonomy, the balanced and content subsets."""

from collections import Counter
from pathlib import Path

import pytest
from helpers.commands import run_command
from hypothesis import given
from hypothesis import strategies as st
from miniature import codecfake_plus as miniature

from spooftrace.common.errors import InputError
from spooftrace.corpora import codecfake_plus
from spooftrace.corpora.codecfake_plus_codecs import CODECS, MODELS, TASKS, UNKNOWN_CODEC
from spooftrace.corpora.codecfake_plus_lists import balanced, content
from spooftrace.corpora.protocol import Trials
from spooftrace.corpora.request import Request
from spooftrace.datadir import DataDir, validate

OFFICIAL = Path(__file__).resolve().parents[2] / "../shared/protocols/codecfake_plus"
BALANCED = [f"{split}_{task}" for split in ("train", "dev", "test") for task in TASKS]
HALVES = [f"{name}_le250" for name in BALANCED] + [f"test_{task}_gt250" for task in TASKS]


def prepare(root, out, *options, allow_partial=True):
    own = {name.removeprefix("--"): value for name, value in zip(options[::2], options[1::2], strict=True)}
    prepared = codecfake_plus.prepare(Request(root, out, allow_partial), **own)
    return {data.path.name: data for data in prepared}


def read(tmp_path, text):
    path = tmp_path / "list.txt"
    path.write_text(text)
    return codecfake_plus.read_protocol(path).tables


def corpus(utts=12):
    """The trials of a split with every codec."""
    trials = Trials()
    for number in range(1, utts + 1):
        for key, columns in codecfake_plus.COLUMNS.items():
            utt = f"p225_{number:03d}" + (f"_{key}" if key else "")
            trials.add(("x", 1), utt, speaker="p225", label="spoof" if key else "bonafide", **columns)
    return trials


@pytest.fixture(scope="module")
def authors(speech, tmp_path_factory):
    root = tmp_path_factory.mktemp("authors")
    miniature.lay_out_as_authors(speech, root)
    return root


def test_the_taxonomy_adds_up():
    assert len(CODECS) == 31
    assert len({codec.family for codec in CODECS.values()}) == 21
    assert len(MODELS) == 17
    assert sum(model.bonafide for model in MODELS.values()) == 866
    assert sum(model.spoof for model in MODELS.values()) == 931
    assert sum(MODELS[name].bonafide + MODELS[name].spoof for name in MODELS if name not in UNKNOWN_CODEC) == 577
    for task, classes in TASKS.items():
        assert {getattr(codec, task) for codec in CODECS.values()} == set(classes)
        assert {getattr(model, task) for model in MODELS.values()} <= set(classes)
    # The counts of the Hugging Face labels: spoofed clips of CoSG by class.
    clips = Counter()
    for model in MODELS.values():
        clips.update({model.vq: model.spoof, model.aux: model.spoof, model.dec: model.spoof})
    assert clips == {"mvq": 848, "sq": 63, "svq": 20, "none": 874, "disent": 52, "sem": 5, "freq": 668, "time": 263}


def test_release_of_hugging_face_with_the_lists(root, tmp_path):
    before = sorted(root.rglob("*"))
    made = prepare(root, tmp_path / "data", "--lists", root / "CodecFake-Source-Tracing")
    assert sorted(root.rglob("*")) == before
    cors = ["cors_train", "cors_dev", "cors_test", "cors_all"]
    assert sorted(made) == sorted([*cors, *BALANCED, *HALVES, "cosg_all", "cosg_known"])
    for data in made.values():
        assert validate(data.path, check_audio=True) == []
        assert set(data.table("utt2label").values()) == {"bonafide", "spoof"}
    train = made["cors_train"]
    assert train.table("utt2spk")["s5_005_xocdec_hubert_general_audio"] == "s5"
    assert train.table("utt2codec")["s5_005_xocdec_hubert_general_audio"] == "xocdec_hubert_general_audio"
    assert train.table("utt2aux")["s5_005_xocdec_hubert_general_audio"] == "sem"
    assert train.table("utt2nac")["p225_001"] == "- - -"
    assert train.table("wav.scp")["p225_001"] == f"{root}/CoRS/p225_001.wav"
    assert {made["cors_dev"].table("utt2spk")[utt] for utt in made["cors_dev"].utts} == {"p226", "p229"}
    assert not (tmp_path / "data/cors_train/extra.txt").exists()
    for name in HALVES:
        seen = name.endswith("le250")
        assert all((int(utt.split("_")[1]) <= 250) == seen for utt in made[name].utts)
    for task in TASKS:
        both = made[f"test_{task}_le250"].utts + made[f"test_{task}_gt250"].utts
        assert sorted(both) == made[f"test_{task}"].utts


def test_cosg_of_hugging_face(root, tmp_path):
    made = prepare(root, tmp_path, "--draw", 1)
    clips = made["cosg_all"]
    assert clips.table("wav.scp")["CLAMTTS/CLAMTTS_1"] == f"{root}/CoSG/CLAMTTS_1.wav"
    assert clips.table("utt2attack")["CLAMTTS/CLAMTTS_1"] == "CLAMTTS"
    assert clips.table("utt2codec")["CLAMTTS/CLAMTTS_1"] == "-"
    assert clips.table("utt2attack")["CLAMTTS/CLAMTTS_2"] == "-"
    assert clips.table("utt2model")["CLAMTTS/CLAMTTS_2"] == "CLAMTTS"
    assert clips.table("utt2vq")["SIMPLESPEECH1/SIMPLESPEECH1_1"] == "sq"
    assert clips.table("utt2dec")["SIMPLESPEECH1/SIMPLESPEECH1_2"] == "real"
    assert set(clips.utts) - set(made["cosg_known"].utts) == {"MASKGCT/MASKGCT_1", "MASKGCT/MASKGCT_2"}


def test_tree_of_the_authors_needs_no_label_files(authors, tmp_path):
    made = prepare(authors, tmp_path, "--lists", authors / "CodecFake-Source-Tracing")
    assert sorted(made) == sorted(["cors_all", *BALANCED, *HALVES, "cosg_all", "cosg_known"])
    assert len(made["cors_all"].utts) == 16
    assert made["cosg_all"].table("wav.scp")["NS3/0_ours"] == f"{authors}/CodecFake+/SLMdemos_16k/NS3/0_ours.wav"
    for data in made.values():
        assert validate(data.path, check_audio=True) == []
    seen = authors / "CodecFake-Source-Tracing/SAST_Net/metadata/evaluation/CoSG_SEEN.txt"
    assert sorted(codecfake_plus.read_protocol(seen).tables["utt2label"]) == made["cosg_known"].utts


def test_names_of_the_demo_pages_need_the_lists(authors, tmp_path, capsys):
    made = prepare(authors, tmp_path, "--draw", 1)
    assert made == {}
    assert "give these with --lists" in capsys.readouterr().out


def test_drawn_lists_have_the_shape_of_the_authors(root, tmp_path, capsys):
    made = prepare(root, tmp_path / "1", "--draw", 1)
    assert "drawn with seed 1, not the authors' list" in capsys.readouterr().out
    assert "cors_all" not in made
    for name in BALANCED:
        labels = Counter(made[name].table("utt2label").values())
        assert labels["bonafide"] == labels["spoof"] == len(miniature.UTTS[name.split("_")[0]])
    assert made["train_vq"].tables == prepare(root, tmp_path / "1", "--draw", 1)["train_vq"].tables
    assert made["train_vq"].utts != prepare(root, tmp_path / "2", "--draw", 2)["train_vq"].utts


def test_the_user_says_where_lists_come_from(root, tmp_path, capsys):
    with pytest.raises(SystemExit):
        run_command("prepare", "codecfake_plus", "--root", root)
    with pytest.raises(SystemExit):
        run_command("prepare", "codecfake_plus", "--root", root, "--draw", 1, "--lists", root)
    assert "not allowed with" in capsys.readouterr().err


@pytest.mark.parametrize("task", TASKS)
def test_balanced_classes_differ_by_one_at_most(task):
    trials = corpus(64)
    drawn = balanced(trials, task, seed=3).tables
    counts = Counter(value for value in drawn[f"utt2{task}"].values() if value != "real")
    assert sum(counts.values()) == 64
    assert max(counts.values()) - min(counts.values()) <= 1
    assert set(counts) == set(TASKS[task])
    originals = Counter("_".join(utt.split("_")[:2]) for utt in drawn["utt2spk"])
    assert set(originals.values()) == {2}
    assert all(list(table) == list(drawn["utt2spk"]) for table in drawn.values())
    # All the codecs of a class are drawn, not a favourite: each of the few of the rarer classes comes up.
    rare = {key for key, codec in CODECS.items() if getattr(codec, task) in ("sq", "svq", "disent")}
    assert rare <= set(drawn["utt2codec"].values())


def test_the_draw_does_not_depend_on_the_order_of_the_labels():
    trials, reverse = corpus(), corpus()
    reverse.tables = {name: dict(reversed(table.items())) for name, table in reverse.tables.items()}
    assert set(balanced(trials, "vq", 1).tables["utt2spk"]) == set(balanced(reverse, "vq", 1).tables["utt2spk"])
    # These very ones: a published seed must mean the same list for good.
    spoofed = [utt for utt, value in balanced(trials, "vq", 1).tables["utt2vq"].items() if value != "real"]
    assert spoofed[:3] == [
        "p225_001_sqcodec50dim9",
        "p225_002_wavtokenizer_small_320_24k_4096",
        "p225_003_SemantiCodec_1.40kbps_16k",
    ]


@given(st.integers(1, 40), st.integers(0, 2**31), st.sampled_from(list(TASKS)))
def test_every_utterance_and_one_copy(count, seed, task):
    trials = corpus(count)
    drawn = balanced(trials, task, seed).tables
    assert Counter(drawn["utt2label"].values()) == {"bonafide": count, "spoof": count}
    counts = [list(drawn[f"utt2{task}"].values()).count(name) for name in TASKS[task]]
    assert max(counts) - min(counts) <= 1


def test_content_goes_by_the_number():
    trials = Trials()
    for utt in ("p225_250", "p225_251_DAC24", "s5_001"):
        columns = codecfake_plus.COLUMNS["DAC24" if "DAC" in utt else ""]
        trials.add(("x", 1), utt, speaker="p225", label="spoof", **columns)
    assert list(content(trials, seen=True).tables["utt2spk"]) == ["p225_250", "s5_001"]
    assert list(content(trials, seen=False).tables["utt2nac"]) == ["p225_251_DAC24"]


names = st.tuples(st.sampled_from(["p225", "p362", "s5"]), st.integers(1, 999), st.sampled_from(["", *CODECS]))


@given(st.sets(names, min_size=1, max_size=20), st.sampled_from(["labels", "plain", "classes"]))
def test_any_list_survives_a_round_trip(tmp_path_factory, utts, kind):
    upper = {"none": "Trad", "disent": "Disent"}
    lines, expected = [], {}
    for speaker, number, key in sorted(utts):
        utt = f"{speaker}_{number:03d}" + (f"_{key}" if key else "")
        label, columns = ("spoof" if key else "bonafide"), codecfake_plus.COLUMNS[key]
        classes = [upper.get(columns[task], columns[task].upper()) for task in ("aux", "dec", "vq")]
        lines.append(
            {
                "labels": f"{speaker} {utt}.wav {label}",
                "plain": f"{speaker} {utt} - - {label} ",
                "classes": f"{speaker} {utt} - {' '.join(classes)} {label}",
            }[kind]
        )
        expected[utt] = (speaker, label, key or "real", columns["vq"])
    tables = read(tmp_path_factory.mktemp("list"), "\n".join(lines))
    columns = [tables[name] for name in ("utt2spk", "utt2label", "utt2codec", "utt2vq")]
    assert {utt: tuple(column[utt] for column in columns) for utt in tables["utt2spk"]} == expected


def test_quirks_of_the_lists(tmp_path):
    lines = ["VIOLA a_14 - bonafide", "SINGLECODEC p300_314_mic1-x - - spoof", "UNIAUDIO gen_1 - Trad spoof"]
    tables = read(tmp_path, "\n".join([*lines, "NS3 a_14 - - bonafide"]))
    assert list(tables["utt2label"].values()) == ["bonafide", "spoof", "spoof", "bonafide"]
    assert list(tables["utt2spk"]) == ["VIOLA/a_14", "SINGLECODEC/p300_314_mic1-x", "UNIAUDIO/gen_1", "NS3/a_14"]
    assert tables["utt2vq"]["SINGLECODEC/p300_314_mic1-x"] == "svq"
    tables = read(tmp_path, "p228 p228_001_mimicodec - - spoofs\np228 p228_001_xcodec_hubert_librispeech - - spoof")
    assert list(tables["utt2codec"].values()) == ["mini", "xcodec_hubert_libirispeech"]
    assert set(tables["utt2label"].values()) == {"spoof"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("p225 p225_001.wav bonafide\np225 p225_001.wav bonafide\n", "list.txt:2: 'p225_001' is listed a second time"),
        ("p225 p225_001_lyra.wav spoof\n", "list.txt:1: unknown codec 'lyra' of 'p225_001_lyra'"),
        ("p225 p225_001_DAC24.wav bonafide\n", "list.txt:1: 'p225_001_DAC24' is bonafide, but its name says otherwise"),
        ("p225 p225_001.wav spoof\n", "list.txt:1: 'p225_001' is spoof, but its name says otherwise"),
        ("p225 p225_001.wav maybe\n", "list.txt:1: unknown label 'maybe'"),
        ("p226 p225_001.wav bonafide\n", "list.txt:1: 'p225_001' is no utterance of 'p226'"),
        ("p225 p225_001_DAC24 - Trad FREQ MVQ spoof\n", "dec of 'p225_001_DAC24' is 'FREQ', but 'time'"),
        ("p225 p225_001 - Trad REAL REAL bonafide\n", "aux of 'p225_001' is 'Trad', but 'real'"),
        ("CLAMTTS CLAMTTS_1 Svq None Freq Spoof\n", "vq of 'CLAMTTS/CLAMTTS_1' is 'Svq', but 'mvq'"),
        ("CLAMTTS CLAMTTS_1 Mvq None Freq Spofo\n", "list.txt:1: unknown label 'Spofo'"),
        ("LA_0079 LA_T_1138215 - - bonafide\n", "list.txt:1: 'LA_T_1138215' is no utterance of 'LA_0079'"),
        ("a.wav,x,spoof\n", "list.txt:1: 'x' is no utterance of 'a.wav'"),
    ],
)
def test_what_is_not_of_this_corpus(tmp_path, text, message):
    with pytest.raises(InputError, match=f"(?s).*{message}"):
        read(tmp_path, text)


def test_other_counts_are_refused(root, tmp_path):
    with pytest.raises(InputError, match="CodecFake\\+ cors_train: 8 bonafide instead of 42,965"):
        prepare(root, tmp_path, "--draw", 1, allow_partial=False)


def test_wrong_and_half_unpacked_roots(root, tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        prepare(tmp_path / "nowhere", tmp_path, "--draw", 1)
    with pytest.raises(InputError, match=r"not the folder of CodecFake.* no CoRS_labels.txt"):
        prepare(tmp_path, tmp_path / "out", "--draw", 1, allow_partial=False)
    with pytest.raises(InputError, match=r"no train_mult_learn_bal_vq\.txt in it"):
        (tmp_path / "empty/CoRS").mkdir(parents=True)
        prepare(tmp_path / "empty", tmp_path / "out", "--lists", tmp_path / "empty", allow_partial=False)
    for allow_partial in (False, True):
        with pytest.raises(InputError, match=r"--lists .*nowhere: no such folder; give the CodecFake-Source-Tracing"):
            prepare(root, tmp_path / "out", "--lists", tmp_path / "nowhere", allow_partial=allow_partial)
    (tmp_path / "half/CoRS").mkdir(parents=True)
    (tmp_path / "half/CoRS_labels.txt").write_bytes((root / "CoRS_labels.txt").read_bytes())
    assert prepare(tmp_path / "half", tmp_path / "out", "--draw", 1) == {}
    with pytest.raises(InputError, match="no such file"):
        DataDir.read(tmp_path / "out/train_vq")


def test_label_files_that_are_empty_or_exchanged(root, tmp_path):
    copy = tmp_path / "copy"
    (copy / "CoRS").mkdir(parents=True)
    (copy / "CoRS_labels.txt").touch()
    with pytest.raises(InputError, match="no utterance of cors_train is there"):
        prepare(copy, tmp_path / "out", "--draw", 1, allow_partial=False)
    assert prepare(copy, tmp_path / "out", "--draw", 1) == {}
    (copy / "CoRS_labels.txt").write_bytes((root / "CoSG_labels.txt").read_bytes())
    with pytest.raises(InputError, match=r"CoRS_labels.txt:1: '.*/.*' is of CoSG, not of CoRS"):
        prepare(copy, tmp_path / "out", "--draw", 1)


@pytest.mark.skipif(not OFFICIAL.is_dir(), reason="the official lists are not here (../shared/protocols)")
def test_official_lists():
    for task, ending in (("vq", "_bal_vq"), ("aux", ""), ("dec", "_bal_dec")):
        trials = codecfake_plus.read_protocol(OFFICIAL / f"test_mult_learn{ending}.txt")
        assert trials.counts() == {"bonafide": 755, "spoof": 755}
        counts = trials.counts(f"utt2{task}")
        assert max(counts[name] for name in TASKS[task]) - min(counts[name] for name in TASKS[task]) <= 1
        spoofed = [utt for utt, label in trials.tables["utt2label"].items() if label == "spoof"]
        assert {"_".join(utt.split("_")[:2]) for utt in spoofed} == set(trials.tables["utt2spk"]) - set(spoofed)
        # Ours of the same utterances: as many of each class.
        full = Trials()
        for utt in sorted(set(trials.tables["utt2spk"]) - set(spoofed)):
            for key, columns in codecfake_plus.COLUMNS.items():
                name, label = (f"{utt}_{key}", "spoof") if key else (utt, "bonafide")
                full.add(("x", 1), name, speaker="-", label=label, **columns)
        ours = balanced(full, task, 1).counts(f"utt2{task}")
        assert sorted(ours.values()) == sorted(counts.values())
        codecs = balanced(full, task, 1).counts("utt2codec")
        assert len(codecs) == len(trials.counts("utt2codec")) == 32
    clips = codecfake_plus.read_protocol(OFFICIAL / "CoSG_ALL.txt")
    assert clips.counts() == {"bonafide": 866, "spoof": 931}
    assert {model: clips.counts("utt2attack")[model] for model in MODELS} == {
        name: model.spoof for name, model in MODELS.items()
    }
    known = codecfake_plus.read_protocol(OFFICIAL / "CoSG_SEEN.txt")
    assert set(known.tables["utt2spk"]) == {
        utt for utt in clips.tables["utt2spk"] if utt.split("/")[0] not in UNKNOWN_CODEC
    }
