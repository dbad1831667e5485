"""``codec resynthesize``: what is refused leaves nothing behind, and nothing is written where a foreign table says."""

from pathlib import Path

import pytest

from spooftrace.cli.main import main
from spooftrace.datadir import DataDir

REFUSED = {
    "a codec without weights": ["--codec", "encodec_24khz", "--model", "absent"],
    "a codec of other weights": ["--codec", "dac_16khz", "--model", "audio"],
    "a codec with weights that are a text": ["--codec", "encodec_24khz", "--model", "text.th"],
    "an unknown codec": ["--codec", "nocodec"],
    "our codec that is not there": ["--codec", "absent.safetensors"],
    "our codec that is a text": ["--codec", "text.safetensors"],
    "an unknown channel": ["--channel", "nochannel"],
    "no such job": ["--channel", "mulaw", "--job", "5", "--num-jobs", "2"],
}


@pytest.fixture
def data(make_data, recipe):
    Path("text.safetensors").write_text("no weights", encoding="utf-8")
    Path("text.th").write_text("no weights", encoding="utf-8")
    return make_data("ev", 2)


def everything() -> dict[str, bytes]:
    return {str(path): path.read_bytes() if path.is_file() else b"" for path in sorted(Path().rglob("*"))}


@pytest.mark.parametrize("words", REFUSED.values(), ids=REFUSED)
def test_what_is_refused_leaves_nothing(data, capsys, words):
    before = everything()
    assert main(["codec", "resynthesize", "--data", str(data), "--out", "data/new", *words]) == 1
    assert everything() == before
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("words", REFUSED.values(), ids=REFUSED)
def test_what_is_refused_takes_no_earlier_copies_away(data, capsys, words):
    assert main(["codec", "resynthesize", "--data", str(data), "--out", "data/new", "--channel", "mulaw"]) == 0
    before = everything()
    assert main(["codec", "resynthesize", "--data", str(data), "--out", "data/new", *words]) == 1
    assert everything() == before


@pytest.mark.parametrize("attack", ["noattack", "encodec_24khz_q3", "codec_q8", "../../x", "/tmp/x"])
def test_an_attack_that_is_not_there_lists_nothing(data, capsys, attack):
    before = everything()
    assert main(["codec", "resynthesize", str(data), "--out", "data/new", "--attack", "world", attack]) == 1
    assert everything() == before


TARGETS = {
    "absolute": "{outside}/ev_000-world.flac",
    "up": "data/listed/audio/../../../../outside/ev_000-world.flac",
    "beside": "data/listed/../ev_000-world.flac",
    "name that begins alike": "data/listed/audio_of_others/ev_000-world.flac",
    "another directory": "data/ev/ev_000-world.flac",
    "home": "~/ev_000-world.flac",
    "link": "data/listed/audio/link/ev_000-world.flac",
    "over an original": "audio/ev/ev_001.flac",
}


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_a_foreign_table_does_not_say_where_files_go(data, recipe, capsys, target):
    outside = recipe.parent / "outside"
    outside.mkdir()
    copy = "ev_000-world"
    tables = {"wav.scp": target.format(outside=outside), "utt2source": "audio/ev/ev_000.flac", "utt2attack": "world"}
    DataDir.write(
        Path("data/listed"), {name: {copy: value} for name, value in {**tables, "utt2spk": "speaker"}.items()}
    )
    Path("data/listed/audio").mkdir()
    Path("data/listed/audio/link").symlink_to(outside)
    before = everything()
    assert main(["codec", "resynthesize", "data/listed"]) == 1
    assert everything() == before and not list(outside.iterdir())
    error = capsys.readouterr().err
    assert "data/listed/wav.scp: the copy 'ev_000-world' would be written to" in error and error.count("\n") == 1


def test_ids_with_slashes_name_no_folders(data, recipe):
    tables = {
        name: {"../../../x": value} for name, value in {"wav.scp": "audio/ev/ev_000.flac", "utt2spk": "s"}.items()
    }
    DataDir.write(Path("data/odd"), tables)
    assert main(["codec", "resynthesize", "data/odd", "--out", "data/new", "--attack", "world"]) == 0
    (copy,) = Path().rglob("*world.flac")
    assert copy.parent == Path("data/new/audio/world")
    assert not list(recipe.parent.glob("*.flac"))
