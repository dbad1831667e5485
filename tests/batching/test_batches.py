"""Batches: draws depend on nothing but seed, epoch and utterance."""

import json
import multiprocessing
import subprocess
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch

from spooftrace.archive import ArchiveWriter
from spooftrace.audio import read_audio
from spooftrace.batching.batches import Batches, plan_scoring
from spooftrace.batching.build import make_batches
from spooftrace.batching.loader import load
from spooftrace.batching.utterances import CachedStream, Utterances
from spooftrace.common.errors import InputError
from spooftrace.common.journal import fingerprint
from spooftrace.config.settings import Data
from spooftrace.datadir import DataDir


@pytest.fixture
def utterances(make_data):
    directory = DataDir.read(make_data("train", 11))

    def make(cut="random", **options):
        targets = [index % 2 for index in range(11)]
        return Utterances(directory, targets, {}, True, Data(**{"crop": 3000, **options}), seed=7, crop=cut)

    return make


@pytest.fixture
def system():
    """A system with a live stream and labels 0, 1, 0, 1 ..."""
    task = SimpleNamespace(targets=lambda data: [index % 2 for index in range(len(data.utts))])
    return SimpleNamespace(task=task, needs_wave=True)


def flatten(batches):
    return [(group["utt"], group["wave"]) for groups in batches for group in groups]


def same(left, right):
    return len(left) == len(right) and all(
        a == c and torch.equal(b, d) for (a, b), (c, d) in zip(left, right, strict=True)
    )


def test_a_resumed_epoch_continues_with_the_same_batches(utterances):
    whole = Batches(utterances(), 3, seed=7, shuffle=True)
    whole.set_position(epoch=2)
    expected = flatten(whole)
    resumed = Batches(utterances(), 3, seed=7, shuffle=True, num_workers=2)
    resumed.set_position(epoch=2, done=1)
    assert same(flatten(resumed), expected[1:])


def test_epochs_differ_in_order_and_crop(utterances):
    batches = Batches(utterances(), 11, seed=7, shuffle=True)
    epochs = []
    for epoch in range(2):
        batches.set_position(epoch)
        ((utts, wave),) = flatten(batches)
        epochs.append(dict(zip(utts, wave, strict=True)))
    assert list(epochs[0]) != list(epochs[1])
    assert set(epochs[0]) == set(epochs[1])
    assert any(not torch.equal(epochs[0][utt], epochs[1][utt]) for utt in epochs[0])


def test_ranks_share_a_global_batch(utterances):
    alone = Batches(utterances(), 4, seed=7, shuffle=True)
    shares = [Batches(utterances(), 4, seed=7, shuffle=True) for _ in range(2)]
    for rank, batches in enumerate(shares):
        batches.share(rank, 2)
    for (utts, _), (first, _), (second, _) in zip(flatten(alone), *map(flatten, shares), strict=True):
        assert sorted(utts) == sorted(first + second)


def test_ranks_share_what_is_scored(utterances):
    alone = Batches(utterances("none"), 4, seed=7, shuffle=False)
    shares = [Batches(utterances("none"), 4, seed=7, shuffle=False) for _ in range(2)]
    for rank, batches in enumerate(shares):
        batches.share(rank, 2)
    assert len(alone) % 2, "the last round is not full"
    assert len({len(batches) for batches in shares}) == 1, "a process with fewer batches would not meet the others"

    def names(batches: Batches) -> list[list[list[str]]]:
        return [[group["utt"] for group in groups] for groups in batches]

    assert alone.in_order([names(batches) for batches in shares]) == names(alone)


def test_reading_ahead_outlasts_signals(utterances):
    batches = Batches(utterances(), 4, seed=7, shuffle=True, num_workers=1)
    iterator = iter(batches)
    seen = [next(iterator)]
    (reader,) = multiprocessing.active_children()
    for signum in ("TERM", "USR1", "USR2"):
        subprocess.run(["sh", "-c", f"kill -{signum} {reader.pid}"], check=True)  # another process than its parent
    seen += iterator
    assert len(seen) == len(batches)


def test_reading_ahead_ends_with_its_parent(utterances):
    iterator = iter(Batches(utterances(), 1, seed=7, shuffle=True, num_workers=1))
    next(iterator)
    (reader,) = multiprocessing.active_children()
    reader.terminate()  # as at the exit of an interpreter that an error has left with readers
    reader.join(timeout=60)
    assert not reader.is_alive()


def test_scoring_never_mixes_lengths_and_misses_nothing(utterances):
    batches = Batches(utterances("none"), 4, seed=7, shuffle=False)
    seen = []
    for groups in batches:
        for group in groups:
            assert group["wave"].shape[1] == int(group["wave_len"][0])
            seen += group["utt"]
    assert sorted(seen) == [f"train_{number:03d}" for number in range(11)]


@pytest.mark.parametrize(("pad", "tail_is_zero"), [("repeat", False), ("zero", True)])
def test_short_utterances_are_filled_up(utterances, pad, tail_is_zero):
    example = utterances("first", crop=8000, pad=pad)[0, 0]
    wave = example["wave"].numpy()
    assert wave.shape == (8000,)
    if tail_is_zero:
        assert not wave[3200:].any()
    else:
        np.testing.assert_array_equal(wave[3200:6400], wave[:3200])


@pytest.mark.parametrize("workers", [0, 2])
def test_damaged_audio_is_one_line_from_any_process(utterances, workers):
    broken = Path("audio/train/train_004.flac")
    broken.write_bytes(broken.read_bytes()[:500])
    with pytest.raises(InputError, match=r"audio/train/train_004\.flac") as caught:
        list(Batches(utterances(), 3, seed=7, shuffle=True, num_workers=workers))
    assert "\n" not in str(caught.value)


def test_cached_stream_needs_stage_three(recipe, make_data, write_features):
    data = make_data("train", 4)
    node = {"class_path": "LFCC"}
    with pytest.raises(InputError, match="run stage 3"):
        CachedStream.open(Path("dump"), "lfcc", node, data)
    write_features(Path("dump/lfcc/train/feats.scp"), ["train_000", "train_001"], dim=4)
    description = {
        "config": node,
        "frame_rate": 100.0,
        "dim": 4,
        "layout": "frames",
        "audio": fingerprint(data, "wav.scp"),
    }
    Path("dump/lfcc/train/stream.json").write_text(json.dumps(description), encoding="utf-8")
    with pytest.raises(InputError, match="another configuration"):
        CachedStream.open(Path("dump"), "lfcc", {"class_path": "LogMel"}, data)
    stream = CachedStream.open(Path("dump"), "lfcc", node, data)
    with pytest.raises(InputError, match=r"2 utterances have no 'lfcc' features .*train_002"):
        Utterances(DataDir.read(data), None, {"lfcc": stream}, False, Data(), 7, "none")


@pytest.mark.parametrize(
    ("samples", "hop", "starts"),
    [
        (2999, 700, [0]),
        (3000, 700, [0]),
        (3001, 700, [0, 1]),
        (4400, 700, [0, 700, 1400]),
        (4800, 700, [0, 700, 1400, 1800]),
        (4800, None, [0, 1500, 1800]),
        (9000, 5000, [0, 5000, 6000]),
    ],
)
def test_windows_begin_at_every_hop_and_the_last_one_ends_with_the_utterance(utterances, samples, hop, starts):
    wave = np.arange(samples, dtype=np.float32) / samples
    soundfile.write("audio/train/train_000.flac", wave, 16000)
    wave = read_audio("audio/train/train_000.flac")
    examples = utterances("windows", crop=3000, eval_hop=hop).examples(0, 0)
    assert len(examples) == len(starts)
    for start, example in zip(starts, examples, strict=True):
        expected = wave[np.arange(start, start + 3000) % samples]
        np.testing.assert_array_equal(example["wave"].numpy(), expected)
        assert (example["utt"], example["wave_len"]) == ("train_000", 3000)


def test_cached_frames_are_cut_where_the_wave_is(recipe, make_data):
    """Frames that hold their own time, at rates that do not divide the sample rate; a vector is in every window."""
    data, cached = make_data("train", 5), {}
    for name, layout, rate in ("frames", "frames", 100.0), ("codes", "codes", 75.0), ("speaker", "vector", 0):
        folder = Path("dump") / name / "train"
        folder.mkdir(parents=True)
        node = {"class_path": "Toy"}
        with ArchiveWriter(folder / "feats.ark", folder / "feats.scp") as writer:
            for number, utt in enumerate(DataDir.read(data).utts):
                time = np.arange(int((3200 + 400 * number) / 16000 * rate), dtype=np.float32) / (rate or 1)
                shaped = {"frames": time[:, None], "codes": np.stack([time, time]), "vector": np.ones(3, np.float32)}
                writer.write(utt, shaped[layout])
        description = {"config": node, "frame_rate": rate, "dim": 1, "layout": layout}
        description["audio"] = fingerprint(data, "wav.scp")
        (folder / "stream.json").write_text(json.dumps(description), encoding="utf-8")
        cached[name] = CachedStream.open(Path("dump"), name, node, data)
    directory, options = DataDir.read(data), Data(crop=1600, eval_hop=500)
    both = Utterances(directory, None, cached, True, options, 7, "windows")
    for index, utt in enumerate(both.utts):
        wave = read_audio(directory.audio(utt)[0])
        room = len(wave) - 1600
        examples = both.examples(0, index)
        for start, example in zip([*range(0, room, 500), room], examples, strict=True):
            assert (example["wave"].numpy() == wave[start : start + 1600]).all()
            assert example["frames"].shape == (10, 1) and example["codes"].shape == (2, 8)
            assert float(example["frames"][0, 0]) == pytest.approx(start / 16000, abs=0.02)
            assert float(example["codes"][0, 0]) == pytest.approx(start / 16000, abs=0.03)
            assert example["speaker"].tolist() == [1, 1, 1]
    alone = Utterances(directory, None, {"frames": cached["frames"]}, False, options, 7, "windows").examples(0, 3)
    assert [round(float(example["frames"][0, 0]), 3) for example in alone] == [0, 0.03, 0.06, 0.09, 0.12, 0.15, 0.17]


def test_windows_are_batched_like_utterances(utterances):
    windows = utterances("windows", crop=1600, eval_hop=400)
    (groups,) = load(windows, [[0, 3, 4]], batch_size=4, num_workers=0)
    assert [len(group["wave"]) for group in groups] == [4, 4, 4, 4, 4, 2]
    seen = [utt for group in groups for utt in group["utt"]]
    assert seen == ["train_000"] * 5 + ["train_003"] * 8 + ["train_004"] * 9


@pytest.mark.parametrize("whole", [False, True])
def test_the_plan_of_scoring(make_data, whole):
    directory = DataDir.read(make_data("train", 11))
    directory.tables["utt2dur"] |= {"train_002": "400", "train_005": "200.5", "train_006": "100"}
    plan = plan_scoring(directory, 3, whole)
    assert sorted(utt for batch in plan for utt in batch) == directory.utts
    seconds = [[float(directory.tables["utt2dur"][utt]) for utt in batch] for batch in plan]
    assert [len(batch) for batch in seconds] == ([1, 1, 3, 3, 3] if whole else [3, 3, 3, 2])
    flat = [length for batch in seconds for length in batch]
    assert flat == sorted(flat, reverse=True)


@pytest.mark.parametrize(
    ("role", "options", "crop", "shuffle", "labels"),
    [
        ("train", {}, "random", True, True),
        ("train", {"train_crop": "first", "eval_crop": "full"}, "first", True, True),
        ("dev", {}, "first", False, True),
        ("dev", {"eval_crop": "full"}, "none", False, True),
        ("dev", {"eval_crop": "windows"}, "first", False, True),
        ("score", {"eval_crop": "windows"}, "windows", False, False),
        ("score", {"eval_crop": "full"}, "none", False, False),
    ],
)
def test_the_role_decides_crop_order_and_labels(make_data, system, role, options, crop, shuffle, labels):
    config = SimpleNamespace(data=Data(batch_size=3, eval_batch_size=2, **options), seed_everything=7)
    batches = make_batches(role, config, system, make_data("set", 4), Path("dump"))
    assert (batches.utterances.crop, batches.shuffle) == (crop, shuffle)
    assert batches.batch_size == (3 if role == "train" else 2)
    assert batches.utterances.targets == ([0, 1, 0, 1] if labels else None)


def test_training_is_augmented_however_it_is_cropped_and_dev_on_demand(make_data, system):
    data = make_data("set", 2)

    def wave(role, rawboost=4, **changes):
        options = Data(crop=2000, rawboost=rawboost, train_crop="first", augment_dev=True)
        config = SimpleNamespace(data=options, seed_everything=7)
        batches = make_batches(role, config, system, data, Path("dump"), **changes)
        return batches.utterances[0, 0]["wave"]

    clean = wave("train", rawboost=0)
    assert torch.equal(wave("dev"), clean) and torch.equal(wave("score", augment_dev=True), clean)
    assert torch.equal(wave("train"), wave("dev", augment_dev=True)) and not torch.equal(wave("train"), clean)
