"""The audit finds the traps that corpora are known for, finds nothing in a fair one, and measures each file once."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from scipy.signal import firwin, istft, stft

from spooftrace.audio.postprocessing import postprocess
from spooftrace.audit import measuring, separation
from spooftrace.audit.cues import CUES, measure, of_wave
from spooftrace.audit.findings import ALL_CUES, audit_label
from spooftrace.cli import main as cli
from spooftrace.common.errors import InputError
from spooftrace.datadir import DataDir, write_table

RATE = 16000
NAMES = [cue.name for cue in CUES]
NUMBER = 24  # utterances of a class


@pytest.fixture(autouse=True)
def command(monkeypatch):
    monkeypatch.setitem(cli.COMMANDS, "audit", ("spooftrace.audit", "audit"))
    monkeypatch.setattr(separation, "DRAWS", 20)  # intervals are not what is tested here


@pytest.fixture(scope="module")
def classes(speech):
    """Real speech and copies of it with other phases, both through the same last steps: float, (N,) each."""
    low_pass = firwin(255, 7500, fs=RATE)  # no resampler's gap for the copies to fill
    rng = np.random.default_rng(0)

    def last(wave, name):
        return postprocess(np.convolve(wave, low_pass, "same"), name).astype(np.float32) / 32768

    def copy(wave):
        frequencies, _, spectra = stft(wave, RATE, nperseg=512)  # (257, T)
        turn = rng.normal(0, 0.5, spectra.shape) * (frequencies > 300)[:, None]
        _, again = istft(spectra * np.exp(1j * turn), RATE, nperseg=512)
        return again[: len(wave)]

    originals = speech.bonafide[:NUMBER]
    return {
        "bonafide": [last(wave, f"b{n}") for n, wave in enumerate(originals)],
        "spoof": [last(copy(wave), f"s{n}") for n, wave in enumerate(originals)],
    }


@pytest.fixture
def without_figure(monkeypatch):
    monkeypatch.setattr("spooftrace.audit.figure.draw_audit", lambda *_: None)  # takes a second


@pytest.fixture
def make_corpus(recipe, classes):
    """Writes a data directory of both classes, one of them through ``change``."""

    def make(label="spoof", change=None, suffix="flac", rate=RATE, copies=("copy",)) -> DataDir:
        tables = {name: {} for name in ("wav.scp", "utt2spk", "utt2label", "utt2attack")}
        Path("audio").mkdir(exist_ok=True)
        for kind, attack in [("bonafide", "-"), *(("spoof", name) for name in copies)]:
            # With several attacks, the last is the one that is changed.
            changed = kind == label and attack in ("-", copies[-1])
            for number, wave in enumerate(classes[kind]):
                utt = f"{number:02d}-{kind}-{attack}"
                path = f"audio/{utt}.{suffix if changed else 'flac'}"
                wave = change(wave, number) if changed and change else wave
                soundfile.write(path, wave, rate if changed else RATE, subtype="PCM_16")
                for table, value in zip(tables.values(), (path, f"spk{number:02d}", kind, attack), strict=True):
                    table[utt] = value
        return DataDir.write("data", tables)

    return make


def audit(data, label="utt2label", limit=0.35):
    assert not measuring.measure_shard([data], Path("audit"))
    tables = (data.table(name) for name in (label, "utt2spk", "utt2attack"))
    return audit_label(label, measuring.collect([data], Path("audit")), *tables, limit)


def noise(samples, seed):
    return np.random.default_rng(seed).normal(0, 1e-4, samples).astype(np.float32)


def untrimmed(wave, number):
    """As the recordings of VCTK, of which CodecFake+ is made."""
    return np.concatenate([noise(4000 + 500 * number, number), wave, noise(9000, number)])


def limited(wave, number):
    """As espeak-ng, whose peaks alone reached the limiter of a first version of the mini corpus."""
    wave = np.clip(wave, -0.3 * np.abs(wave).max(), 0.3 * np.abs(wave).max())
    return postprocess(wave, f"limited{number}").astype(np.float32) / 32768


def narrow(wave, number):
    return soxr.resample(soxr.resample(wave, RATE, 8000), 8000, RATE).astype(np.float32)


def gap(wave, number):
    """What one pass through another sampling rate leaves at the top of the band."""
    return soxr.resample(soxr.resample(wave, RATE, 14000), 14000, RATE).astype(np.float32)


def one_sided(wave, number):
    """As WORLD, whose pulses all point one way; stronger."""
    return postprocess(wave + 2 * wave**2 / np.abs(wave).max(), f"one-sided{number}").astype(np.float32) / 32768


ENDS, TOP = {"leading silence", "trailing silence"}, {"bandwidth", "7 to 7.8 kHz", "7.8 to 8 kHz"}
# what is done to which class, cues that must be telling, cues that must not be
TRAPS = {
    "untrimmed": ("bonafide", untrimmed, {"duration", *ENDS}, {"level", "asymmetry", "4 to 7 kHz", *TOP}),
    "level": ("spoof", lambda wave, _: 1.6 * wave, {"level", "peak"}, {"crest factor", "duration", "bandwidth", *ENDS}),
    "limiter": ("spoof", limited, {"crest factor", "peak"}, {"level", "duration", "DC", *ENDS}),
    "narrow band": ("bonafide", narrow, {"4 to 7 kHz", *TOP}, {"level", "duration", "DC", "1 to 2 kHz", *ENDS}),
    "gap of a resampler": ("bonafide", gap, {"bandwidth", "7 to 7.8 kHz"}, {"level", "DC", "4 to 7 kHz", *ENDS}),
    "DC": ("spoof", lambda wave, _: wave + 0.004, {"DC"}, {"level", "below 80 Hz", "asymmetry", *ENDS, *TOP}),
    "duration": ("spoof", lambda wave, _: wave[: len(wave) * 2 // 3], {"duration"}, {"level", "DC", *TOP}),
    "one-sided": ("spoof", one_sided, {"asymmetry"}, {"level", "duration", "DC", *ENDS}),
}


@pytest.mark.parametrize(("label", "change", "expected", "innocent"), TRAPS.values(), ids=TRAPS)
def test_known_traps_are_found(make_corpus, label, change, expected, innocent):
    found = {one.cue for one in audit(make_corpus(label, change)).telling}
    assert expected <= found and not innocent & found


def test_a_fair_corpus_has_no_telling_cue(make_corpus):
    found = audit(make_corpus())
    assert found.telling == [] and found.by_speaker and found.classes == {"bonafide": NUMBER, "spoof": NUMBER}
    rates = {one.cue: one.estimate.value for one in found.findings if one.measure == "eer" and one.cue != ALL_CUES}
    assert min(rates.values()) >= 0.35 and {"peak", "leading silence", "bandwidth"} <= set(rates)
    assert all(one.estimate.low <= one.estimate.value <= one.estimate.high for one in found.findings)


def test_a_cue_that_no_threshold_sees(make_corpus, classes):
    """Copies that all have one peak, between those of the recordings."""
    middle = np.median([np.abs(wave).max() for wave in classes["bonafide"]])
    found = audit(make_corpus("spoof", lambda wave, _: wave * middle / np.abs(wave).max()))
    by_measure = {one.measure: one for one in found.findings if one.cue == "peak" and one.part == "pooled"}
    assert not by_measure["eer"].telling and by_measure["error"].telling


def test_one_attack_among_others_is_named(make_corpus):
    found = audit(make_corpus("spoof", limited, copies=("fair1", "fair2", "fair3", "loud")))
    parts = {one.part for one in found.telling if one.cue == "crest factor" and one.measure == "eer"}
    assert parts == {"loud"}


def test_files_written_by_another_program(make_corpus):
    found = {one.cue for one in audit(make_corpus("spoof", None, "wav")).telling}
    assert found == {"bits per sample", "format FLAC/PCM_16", "format WAV/PCM_16"}


def test_files_of_another_rate(make_corpus):
    found = audit(make_corpus("bonafide", lambda wave, _: soxr.resample(wave, RATE, 8000), rate=8000))
    assert {"sample rate", "bandwidth", "4 to 7 kHz"} <= {one.cue for one in found.telling}


def test_classes_are_judged_against_chance(make_corpus):
    """Three codecs: one is loud; the copies of the other two are the same."""
    data = make_corpus("spoof", lambda wave, _: 1.6 * wave, copies=("a", "b", "loud"))
    found = audit(data, "utt2attack")
    level = {one.part: one for one in found.findings if one.cue == "level"}
    assert level["loud"].estimate.value > 0.95 and level["loud"].telling
    assert 0.4 < level["pooled"].estimate.value < 0.9 and level["pooled"].estimate.chance <= 1 / 3
    assert found.findings[0].cue in ("level", "peak") and found.findings[-1].cue == ALL_CUES


def test_too_few_utterances_claim_nothing(make_corpus):
    data = make_corpus("spoof", untrimmed, copies=("copy", "rare"))
    chosen = [utt for utt in data.utts if not utt.endswith("rare") or utt < "19"]
    tables = {name: {utt: table[utt] for utt in chosen} for name, table in data.tables.items() if name != "spk2utt"}
    data = DataDir.write("data", tables)
    found = audit(data)
    silence = {one.part: one for one in found.findings if one.cue == "leading silence" and one.measure == "eer"}
    assert silence["rare"].estimate.value < 0.1 and silence["rare"].too_few and not silence["rare"].telling
    assert audit(data, "utt2attack") is None  # one class of 20 is left: the copies
    lone = {utt: "bonafide" if number < 5 else "spoof" for number, utt in enumerate(chosen)}
    assert audit_label("x", measuring.collect([data], Path("audit")), lone, lone, {}, 0.35) is None


def run(*options):
    return cli.main(["audit", "data", *map(str, options)])


def read_rows(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def test_command_writes_table_figures_and_verdict(make_corpus, capsys):
    make_corpus("bonafide", untrimmed)
    gap = {"set": "train", "what": "audio files missing from the corpus", "missing": 1, "of": 9}
    Path("data/incomplete.json").write_text(json.dumps([gap]))
    assert run() == 0
    printed = capsys.readouterr().out
    assert "INCOMPLETE: train: 1 of 9 audio files missing from the corpus" in printed
    first = printed.splitlines()[3].split()
    assert first[0] in ("leading", "trailing", "silence", "duration", "noise") and "0.0*" in printed
    assert "spooftrace trim" in printed and "the same for every utterance: level" in printed
    found = json.loads(Path("data/audit/audit.json").read_text())
    assert found["utterances"] == 2 * NUMBER and found["bad_audio"] == 0 and found["incomplete"] == [gap]
    assert "trailing silence" in found["labels"]["utt2label"]["telling"]
    rows = read_rows("data/audit/audit.tsv")
    assert len(rows) == sum(len(label["findings"]) for label in found["labels"].values())
    silence = [row for row in rows if (row["cue"], row["measure"]) == ("trailing silence", "eer")]
    assert {row["part"]: row["telling"] for row in silence} == {"pooled": "yes", "copy": "yes"}
    assert Path("data/audit/audit.png").read_bytes().startswith(b"\x89PNG")
    assert [row["utt"] for row in read_rows("data/audit/cues.tsv")] == DataDir.read("data").utts
    assert not Path("data/audit/.cues").exists()
    assert run("--strict") == run("--strict", "pooled") == 1


def test_strict_tells_all_attacks_from_one(without_figure, make_corpus, capsys):
    make_corpus("spoof", limited, copies=("fair1", "fair2", "fair3", "loud"))
    assert run("--strict", "any", "--label", "utt2label") == 1
    assert run("--strict", "pooled", "--label", "utt2label") == 0
    make_corpus()
    assert run("--strict") == 0
    assert "no single cue tells the classes of utt2label apart" in capsys.readouterr().out


def test_tables_that_say_the_same_are_printed_once(without_figure, make_corpus, capsys):
    data = make_corpus(copies=("a", "b"))
    write_table("data/utt2vq", {utt: attack.upper() for utt, attack in data.table("utt2attack").items()})
    assert run() == 0
    printed = capsys.readouterr().out
    assert printed.count("macro-F1") == 1 and "utt2attack: divides the utterances as utt2vq" in printed
    assert list(json.loads(Path("data/audit/audit.json").read_text())["labels"]) == [
        "utt2label",
        "utt2vq",
        "utt2attack",
    ]


def test_second_run_measures_what_changed(without_figure, make_corpus, monkeypatch):
    data = make_corpus()
    measured = []
    monkeypatch.setattr(measuring, "measure", lambda *source: measured.append(source[0]) or measure(*source))
    for job in "12":
        assert run("--job", job, "--num-jobs", "2") == 0
        assert not Path("data/audit/audit.json").exists()
    assert len(measured) == len(data.utts)
    assert run() == 0 and len(measured) == len(data.utts)
    before = Path("data/audit/cues.tsv").read_bytes()
    changed = data.audio(data.utts[7])[0]
    soundfile.write(changed, soundfile.read(changed)[0][:8000], RATE, subtype="PCM_16")
    assert run() == 0 and measured[len(data.utts) :] == [changed]
    lines = zip(before.splitlines(), Path("data/audit/cues.tsv").read_bytes().splitlines(), strict=True)
    assert [new.split(b"\t")[2] for old, new in lines if old != new] == [b"0.5"]


def test_killed_run_goes_on(without_figure, make_corpus, monkeypatch):
    data = make_corpus()
    measured = []

    def killed(*source):
        if len(measured) == 25:
            raise KeyboardInterrupt
        measured.append(source[0])
        return measure(*source)

    monkeypatch.setattr(measuring, "THREADS", 1)
    monkeypatch.setattr(measuring, "measure", killed)
    assert run() == 130 and not Path("data/audit/cues.tsv").exists()
    again = []
    monkeypatch.setattr(measuring, "measure", lambda *source: again.append(source[0]) or measure(*source))
    assert run() == 0
    assert len(again) == len(data.utts) - 25 and len(read_rows("data/audit/cues.tsv")) == len(data.utts)


def test_bad_files_are_named_or_left_out(without_figure, make_corpus, capsys):
    data = make_corpus()
    broken, gone = (Path(data.audio(utt)[0]) for utt in data.utts[3:5])
    broken.write_bytes(broken.read_bytes()[:5000])
    gone.unlink()
    for _ in range(2):
        assert run() == 1
        error = capsys.readouterr().err
        assert str(broken) in error and str(gone) in error and "2 audio files cannot be used" in error
    for _ in range(2):
        assert run("--on-bad-audio", "skip") == 0
        assert f"{2 * NUMBER - 2} utterances; 2 with unusable audio left out" in capsys.readouterr().out
    soundfile.write(gone, np.zeros(16000), RATE)  # it has come, as digital silence
    assert run("--on-bad-audio", "skip") == 0
    assert f"{2 * NUMBER - 1} utterances; 1 with" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--limit", "0.6"], "--limit 0.6: an EER between 0 and 0.5"),
        (["--label", "utt2vq"], "utt2vq: no such file"),
        (["--job", "3", "--num-jobs", "2"], "--job 3"),
        (["data"], "several data directories: give --out"),
        (["data", "--out", "audit"], "is in data, too"),
        (["--label", "utt2spk"], "no label has two classes of 20 utterances"),
    ],
)
def test_mistakes_are_named(make_corpus, capsys, options, message):
    make_corpus()
    assert run(*options) == 1
    assert message in capsys.readouterr().err


def test_segments_are_measured_apart(make_corpus, classes):
    soundfile.write("long.wav", np.concatenate([classes["bonafide"][0], np.zeros(RATE, np.float32)]), RATE)
    end = len(classes["bonafide"][0]) / RATE
    tables = {
        "wav.scp": {"long": "long.wav"},
        "segments": {"u1": f"long 0 {end}", "u2": f"long 0 {end + 0.5}"},
        "utt2spk": {"u1": "s", "u2": "s"},
    }
    data = DataDir.write("cut", tables)
    assert not measuring.measure_shard([data], Path("audit"))
    found = measuring.collect([data], Path("audit"))
    cues = dict(zip(found.names, found.values.T, strict=True))
    np.testing.assert_allclose(np.diff(cues["duration"]), 0.5, atol=1e-3)
    np.testing.assert_allclose(np.diff(cues["trailing silence"]), 0.5, atol=0.02)
    assert "level" in found.constant and "bits per sample" in found.constant


@pytest.mark.parametrize("wave", [np.zeros(1), np.zeros(5000), np.ones(100) * 0.5, np.eye(1, 700)[0]])
def test_degenerate_waves_have_finite_cues(wave):
    values = dict(zip(NAMES, of_wave(wave), strict=False))
    assert np.isfinite(list(values.values())).all() and len(values) == len(NAMES) - 3
    assert values["duration"] == len(wave) / RATE and values["DC"] <= 0


def test_cues_are_what_their_names_say():
    time = np.arange(2 * RATE) / RATE
    tone = 0.1 * np.sin(2 * np.pi * 3000 * time) * np.clip(40 * np.minimum(time, 2 - time), 0, 1)  # no clicks
    wave = np.concatenate([np.zeros(RATE // 2), tone, np.zeros(RATE // 4)]) + 0.01
    values = dict(zip(NAMES, of_wave(wave), strict=False))
    for name, expected, tolerance in (
        ("duration", 2.75, 0), ("level", -23, 0.1), ("peak", -20, 0.1), ("crest factor", 3, 0.1), ("DC", -40, 0.1),
        ("leading silence", 0.5, 0.01), ("trailing silence", 0.25, 0.01), ("silence share", 0.75 / 2.75, 0.01),
        ("2 to 4 kHz", 0, 0.1), ("bandwidth", 3000, 200), ("asymmetry", 0, 0.01), ("polarity", 0, 0.1),
    ):  # fmt: skip
        assert values[name] == pytest.approx(expected, abs=tolerance), name
    assert max(values[name] for name in ("80 Hz to 1 kHz", "4 to 7 kHz", "below 80 Hz")) < -40


def test_an_unknown_cause_is_no_crash():
    with pytest.raises(InputError, match="no such file"):
        measure("nowhere.flac")


def test_help_imports_nothing_heavy():
    code = "import sys, spooftrace.audit; print(*{'torch', 'sklearn', 'scipy', 'matplotlib'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == ""
