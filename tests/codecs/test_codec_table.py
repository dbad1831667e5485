"""conf/codecs.yaml: complete, consistent with corpora, weights and its own arithmetic, and read strictly."""

from itertools import product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spooftrace.cli.main import main
from spooftrace.codecs import table as table_module
from spooftrace.codecs.providers import OWN_CLASSES, own_weights
from spooftrace.codecs.table import codec_table, find_setting, nearest
from spooftrace.codecs.weights import load_codec
from spooftrace.common.errors import InputError
from spooftrace.corpora import codecfake_plus, codecfake_wu, codecfake_xie, st_codecfake
from spooftrace.corpora.codecfake_plus_codecs import CODECS, MODELS, SPELLINGS

ROOT = Path(__file__).resolve().parents[2]
LISTS = ROOT / "../shared/protocols/codecfake_plus"
ROWS = codec_table().codecs
COMPUTABLE = [name for name, codec in ROWS.items() if codec.kbps and codec.computed_kbps(codec.quantizers or 0)]


def taxonomy(codec):
    return codec.vq, codec.aux, codec.dec


# ---- the figures ----


@pytest.mark.parametrize("name", COMPUTABLE)
def test_bitrate_is_frame_rate_times_bits(name):
    codec = ROWS[name]
    decimals = len(f"{codec.kbps:g}".partition(".")[2])
    tolerance = min(0.5 * 10**-decimals, 0.01 * codec.kbps) + 1e-9
    holds = abs(codec.kbps - codec.computed_kbps(codec.quantizers)) <= tolerance
    assert holds or codec.arithmetic, f"{codec.kbps} is not {codec.computed_kbps(codec.quantizers)}: say why"
    assert not (holds and codec.arithmetic), "an explanation of what needs none"


def test_most_rows_can_be_computed():
    assert len(COMPUTABLE) > 0.8 * len(ROWS)
    assert any(len(set(ROWS[name].frame_rate)) > 1 for name in COMPUTABLE)
    assert any(len(set(ROWS[name].codebook)) > 1 for name in COMPUTABLE)


@pytest.mark.parametrize("name", [name for name, codec in ROWS.items() if codec.provider == "own"])
def test_own_rows_are_what_the_weights_say(name):
    row = ROWS[name]
    codec = load_codec(own_weights(row))
    assert row.khz * 1000 == codec.sample_rate
    assert row.frame_rate == (codec.frame_rate * codec.config["tokens"],) * row.quantizers
    assert (row.quantizers, row.codebook[0]) == (codec.config["num_quantizers"], codec.config["codebook_size"])
    for count in row.settings or (row.quantizers,):
        assert row.setting(count).kbps == pytest.approx(codec.kbps(count), rel=0.005)
    classes = {cell: words[codec.config[key]] for cell, (key, words) in OWN_CLASSES.items()}
    assert (row.vq, row.dec) == (classes["vq"], classes["dec"])
    assert row.aux in ("none", classes["aux"])  # an objective without a measurable effect gives no label


def test_every_codec_that_is_distributed_is_in_the_table():
    files = [*(ROOT / "egs/mini/corpus").rglob("*.safetensors")]
    assert files
    assert {own_weights(codec) for codec in ROWS.values() if codec.provider == "own"} == set(files)


# ---- corpora ----


def test_every_codec_of_the_corpora_is_there():
    corpora = codec_table().corpora
    assert set(corpora["codecfake_plus"]) == set(CODECS)
    assert set(corpora["codecfake_plus_cosg"]) == set(MODELS)
    assert set(corpora["codecfake_wu"]) == set(codecfake_wu.CODECS)
    assert set(corpora["codecfake_xie"]) == set(codecfake_xie.CODECS.values())
    kinds = {*st_codecfake.CODECS.values(), *st_codecfake.UNORDERED}
    assert set(corpora["st_codecfake"]) == kinds | {"wavtokenizer_small40"}
    assert [len(corpora[name]) for name in ("codecfake_plus", "codecfake_plus_cosg", "codecfake_wu")] == [31, 17, 15]


@pytest.mark.parametrize("corpus, classes", [("codecfake_plus", CODECS), ("codecfake_plus_cosg", MODELS)])
def test_taxonomy_is_that_of_codecfake_plus(corpus, classes):
    for name, use in codec_table().corpora[corpus].items():
        row = find_setting(use.codec).codec
        assert taxonomy(row) == taxonomy(classes[name]), name
        assert {"vq", "aux", "dec"} <= row.verified


NAC = {
    "codecfake_plus": {name: codec.nac for name, codec in CODECS.items()},
    "codecfake_wu": codecfake_wu.CODECS,
    "st_codecfake": st_codecfake.PARAMETERS | {"wavtokenizer_small40": st_codecfake.FOLDERS["config_small40"].nac},
}


@pytest.mark.parametrize("corpus", NAC)
def test_parameters_are_those_of_the_corpora(corpus):
    compared = 0
    for name, nac in NAC[corpus].items():
        found = find_setting(codec_table().corpora[corpus][name].codec).nac
        for cell, ours in zip(nac.split(), found.split(), strict=True):
            if cell != "-":
                assert float(ours) == pytest.approx(float(cell), rel=0.005), name
                compared += 1
    assert compared > len(NAC[corpus])


@pytest.mark.skipif(not LISTS.is_dir(), reason="../shared/protocols/codecfake_plus is not there")
def test_taxonomy_is_that_of_the_authors_lists():
    found = {}
    for name in ("test_mult_learn.txt", "test_mult_learn_bal_vq.txt", "test_mult_learn_bal_dec.txt"):
        tables = codecfake_plus.read_protocol(LISTS / name).tables
        for utt, codec in tables["utt2codec"].items():
            found[codec] = tuple(tables[f"utt2{axis}"][utt] for axis in ("vq", "aux", "dec"))
    found.pop("real")
    uses = codec_table().corpora["codecfake_plus"]
    assert {SPELLINGS.get(name, name) for name in found} == set(uses)
    for name, classes in found.items():
        assert taxonomy(find_setting(uses[name].codec).codec) == classes, name
    spoofed = [line.split() for line in (LISTS / "CoSG_SEEN.txt").read_text(encoding="utf-8").splitlines()]
    spoofed = [fields for fields in spoofed if fields[-1] == "spoof"]
    assert len(spoofed) == 318
    for model, *_, vq, _ in spoofed:
        assert find_setting(codec_table().corpora["codecfake_plus_cosg"][model].codec).codec.vq == vq.lower()
    models = {line.split()[0] for line in (LISTS / "CoSG_ALL.txt").read_text(encoding="utf-8").splitlines()}
    assert models == set(codec_table().corpora["codecfake_plus_cosg"])


# ---- looking up ----


def test_settings():
    setting = find_setting("encodec_24khz_q8")
    assert (setting.name, setting.nac) == ("encodec_24khz_q8", "24 6 8")
    assert find_setting("encodec_24khz").nac == "24 24 32"
    assert find_setting("mimi_q8").nac == "24 1.1 8"
    assert find_setting("facodec").name == find_setting("facodec_q6").name == "facodec"
    assert find_setting("soundstream_16khz").nac == "16 - -"
    assert find_setting("xcodec_hubert_general_q4").labels == {
        "utt2label": "spoof",
        "utt2attack": "xcodec_hubert_general_q4",
        "utt2vq": "mvq",
        "utt2aux": "sem",
        "utt2dec": "time",
        "utt2codec": "xcodec_hubert_general",
        "utt2nac": "16 2 4",
    }


@pytest.mark.parametrize(
    "name, message",
    [
        ("encodec_24kh", r"codec 'encodec_24kh': not in codecs.yaml; did you mean encodec_24khz, "),
        ("encodec_24khz_q3", "runs with 2, 4, 8, 16, 32 quantizers, not 3"),
        ("facodec_q2", "runs with 6 quantizers, not 2"),
        ("soundstream_16khz_q2", "runs with an unknown number of quantizers"),
        ("zzz", "'spooftrace codec list' shows"),
    ],
)
def test_unknown_names(name, message):
    with pytest.raises(InputError, match=message):
        find_setting(name)


def test_every_setting_has_a_name_of_its_own_that_is_found():
    names = [codec.setting(count).name for codec in ROWS.values() for count in codec.settings or (codec.quantizers,)]
    assert len(set(names)) == len(names)
    assert all(find_setting(name).name == name for name in names)
    assert not any(set(name) & set(" /:|") for name in names), "names become folders and ids"


def test_the_table_is_found_from_any_folder(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["codec", "list"]) == 0
    text = capsys.readouterr().out
    assert all(name in text for name in (*ROWS, "opus_9k", "amrnb_12.2k", "mulaw"))
    line = next(line for line in text.splitlines() if line.startswith("soundstream_16khz "))
    assert line.split() == "soundstream_16khz SoundStream mvq? none? time? 16? - - - - - -".split()
    assert nearest("x", ["a", "b"]).endswith("a, b")


# ---- reading strictly ----

ROW = {
    "family": "A",
    "vq": "mvq",
    "aux": "none",
    "dec": "time",
    "khz": "16",
    "frame_rate": "50",
    "quantizers": "2",
    "codebook": "1024",
    "kbps": "1",
    "source": "here",
    "verified": "all",
}


def text(row=ROW, uses="c: {x: {codec: a, verified: true}}", more=""):
    cells = ", ".join(f"{key}: {value}" for key, value in row.items())
    return f"codecs:\n  a: {{{cells}{more}}}\ncorpora:\n  {uses}\n"


def read(folder, content):
    path = folder / "codecs.yaml"
    path.write_text(content, encoding="utf-8")
    return codec_table.__wrapped__(path)


def test_a_small_table(tmp_path):
    table = read(tmp_path, text(ROW | {"frame_rate": "[50, 25]", "kbps": "0.75", "settings": "any"}))
    assert table.find("a_q1").nac == "16 0.5 1"
    assert table.corpora["c"]["x"].verified is True


@pytest.mark.parametrize(
    "content, message",
    [
        ("", ":1: is empty"),
        ("codecs: [1\n", ":2: not YAML"),
        ("- a\n", ":1: expected 'name: value'"),
        ("codecs: {}\n", ":1: the cell 'corpora' is missing"),
        (text({key: value for key, value in ROW.items() if key != "khz"}), ":2: the cell 'khz' is missing"),
        (text(more=", sourc: x"), ":2: unknown cell 'sourc'; did you mean source"),
        (text(more=", khz: 8"), ":2: 'khz' is there twice"),
        (text(ROW | {"vq": "rvq"}), ":2: a: vq is 'rvq'; use one of mvq, svq, sq"),
        (text(ROW | {"khz": "sixteen"}), ":2: a: khz must be a number"),
        (text(ROW | {"kbps": "-1"}), ":2: a: kbps must be a number above 0"),
        (text(ROW | {"kbps": ".nan"}), ":2: a: kbps must be a number above 0"),
        (text(ROW | {"quantizers": "2.5"}), ":2: a: quantizers must be a whole number"),
        (text(ROW | {"quantizers": "true"}), ":2: a: quantizers must be a whole number"),
        (text(ROW | {"codebook": "[1024]"}), ":2: a: codebook has 1 values for 2 quantizers"),
        (text(ROW | {"kbps": "[1, 1]"}), ":2: a: kbps has 2 values"),
        (text(ROW | {"verified": "[khz, size]"}), ":2: a: verified must be all, none or"),
        (text(ROW | {"source": "~"}), ":2: a: source must be text"),
        (text(ROW | {"settings": "[1]"}), ":2: a: settings must be any"),
        (text(ROW | {"settings": "[2, 1]"}), ":2: a: settings must be any"),
        (text(ROW | {"run": "{provider: magic, model: m}"}), ":2: a: run must be"),
        (text(ROW | {"source": "2001-99-99"}), ":2: unusable value"),
        (text(uses="c: {x: {codec: b, verified: true}}"), ":4: x: codec 'b': not in"),
        (text(uses="c: {x: {codec: a, verified: perhaps}}"), ":4: x: codec must be a name, verified true"),
    ],
)
def test_mistakes_are_named_by_line(tmp_path, content, message):
    with pytest.raises(InputError) as caught:
        read(tmp_path, content)
    assert f"codecs.yaml{message}" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_table(tmp_path):
    with pytest.raises(InputError, match="no such file; it is part of the repository"):
        codec_table(tmp_path / "codecs.yaml")


VALUES = '~ 1 -1 [] {} [1,a] 2001-99-99 &x[*x] !!python/name:os.system ?[a] 1e9 .inf " a:b'.split()


@given(st.sampled_from([*ROW, "settings", "run", "extra"]), st.sampled_from(VALUES) | st.text(max_size=12))
def test_nothing_but_input_errors(tmp_path_factory, cell, value):
    folder = tmp_path_factory.getbasetemp()
    content = text(ROW | {cell: value}).encode("utf-8", "replace").decode()
    try:
        assert read(folder, content).codecs
    except InputError as error:
        assert "codecs.yaml:" in str(error)


def test_the_table_reads_its_own_cells():
    assert set(table_module.CELLS) == {"vq", "aux", "dec", "khz", "frame_rate", "quantizers", "codebook", "kbps"}
    for axis, classes in product(("vq", "aux", "dec"), [table_module.TAXONOMY]):
        assert {getattr(codec, axis) for codec in ROWS.values()} == set(classes[axis])
