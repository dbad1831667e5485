"""Batches: draws depend on nothing but seed, epoch and utterance."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from spooftrace.batches import Batches, CachedStream, Utterances
from spooftrace.config import Data
from spooftrace.datadir import DataDir
from spooftrace.errors import InputError


@pytest.fixture
def utterances(make_data):
    directory = DataDir.read(make_data("train", 11))

    def make(cut="random", **options):
        targets = [index % 2 for index in range(11)]
        return Utterances(directory, targets, {}, True, Data(**{"crop": 3000, **options}), seed=7, crop=cut)

    return make


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
        batches.rank, batches.world_size = rank, 2
    for (utts, _), (first, _), (second, _) in zip(flatten(alone), *map(flatten, shares), strict=True):
        assert sorted(utts) == sorted(first + second)


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
    description = {"config": node, "frame_rate": 100.0, "dim": 4, "layout": "frames"}
    Path("dump/lfcc/train/stream.json").write_text(json.dumps(description), encoding="utf-8")
    with pytest.raises(InputError, match="another configuration"):
        CachedStream.open(Path("dump"), "lfcc", {"class_path": "LogMel"}, data)
    stream = CachedStream.open(Path("dump"), "lfcc", node, data)
    with pytest.raises(InputError, match=r"2 utterances have no 'lfcc' features .*train_002"):
        Utterances(DataDir.read(data), None, {"lfcc": stream}, False, Data(), 7, "none")
