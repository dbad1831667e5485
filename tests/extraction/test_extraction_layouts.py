"""Stage 3 with front-ends of every layout: shapes, crops that are read back, and errors."""

import resource
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from spooftrace.archive import ArchiveReader
from spooftrace.audio import read_audio
from spooftrace.batching.batches import Batches
from spooftrace.batching.utterances import CachedStream, Utterances
from spooftrace.common.errors import InputError
from spooftrace.config.settings import Data
from spooftrace.datadir import DataDir
from spooftrace.extraction import collect, pipeline
from spooftrace.extraction.pipeline import Extraction, Settings
from spooftrace.frontends import FrontEnd
from spooftrace.frontends.base import length_mask

FRAME = 160
SHAPES = {"frames": (3,), "layers": (2, 3), "codes": (2,), "vector": (3,)}


class Toy(FrontEnd):
    """Sums of the samples of each frame, in any layout; NaN for waves of ``broken`` samples."""

    def __init__(self, layout: str = "frames", broken: int = 0):
        super().__init__(layout, dim=3, frame_rate={"vector": 0, "wave": 16000}.get(layout, 16000 / FRAME))
        self.broken = broken
        self.waves = 0

    def num_frames(self, num_samples):
        if self.layout == "vector":
            return torch.ones_like(num_samples) if isinstance(num_samples, torch.Tensor) else 1
        return num_samples if self.layout == "wave" else num_samples // FRAME

    def arguments(self):
        return {"layout": self.layout, "broken": self.broken}

    def extract(self, wave, wave_len):
        self.waves += len(wave)
        wave = wave.masked_fill((wave_len == self.broken).unsqueeze(1), torch.nan)
        if self.layout == "wave":
            return wave
        frames = wave[:, : wave.shape[1] // FRAME * FRAME].unflatten(1, (-1, FRAME)).sum(2)  # (B, N) -> (B, T)
        frames = frames * length_mask(wave_len // FRAME, frames.shape[1])
        if self.layout == "codes":
            return (100 * frames).long().unsqueeze(1) + torch.arange(2).unsqueeze(1)  # (B, T) -> (B, Q, T)
        features = frames.unsqueeze(2) * torch.arange(1, 4)  # (B, T) -> (B, T, D)
        if self.layout == "vector":
            return features.sum(1)  # (B, T, D) -> (B, D)
        return features if self.layout == "frames" else torch.stack([features, -features], 1)  # -> (B, L, T, D)


def node(**arguments):
    return {"class_path": f"{__name__}.Toy", "init_args": arguments}


def run(data, nodes, **settings):
    nodes = {Path("dump") / name / data.name: one for name, one in nodes.items()}
    extraction = Extraction(Settings(**settings))
    extraction.run(nodes, data)
    for folder, one in nodes.items():
        collect(one, data, folder, 1)
    return {folder.parent.name: ArchiveReader(folder / "feats.scp") for folder in nodes}


@pytest.mark.parametrize("layout", ["frames", "layers", "codes", "vector", "wave"])
def test_each_layout_is_stored_without_padding_and_cut_right(make_data, layout):
    data = make_data("eval", 7)
    one = node(layout=layout)
    reader = run(data, {"toy": one})["toy"]
    directory = DataDir.read(data)
    toy = Toy(layout)
    for utt in directory.utts:
        wave = torch.from_numpy(read_audio(directory.audio(utt)[0]))[None]
        expected = toy(wave, torch.tensor([wave.shape[1]]))[0][0].numpy()
        assert reader[utt].shape == expected.shape
        np.testing.assert_allclose(reader[utt], expected, rtol=1e-5, atol=1e-5)
        assert reader[utt].dtype == (np.int32 if layout == "codes" else np.float32)

    stream = CachedStream.open(Path("dump"), "toy", one, data)
    for crop, pad in ((1600, "zero"), (8000, "zero"), (8000, "repeat")):
        utterances = Utterances(directory, None, {"toy": stream}, False, Data(crop=crop, pad=pad), 7, "random")
        ((group,),) = Batches(utterances, 7, seed=7, shuffle=True)
        wanted = {"vector": 1, "wave": crop}.get(layout, crop // FRAME)
        assert group["toy_len"].tolist() == [wanted] * 7
        shape = [7, *reader["eval_000"].shape]
        if stream.time_axis is not None:
            shape[1 + stream.time_axis] = wanted
        assert list(group["toy"].shape) == shape
        for utt, array in zip(group["utt"], group["toy"].numpy(), strict=True):
            whole = reader[utt]
            if stream.time_axis is not None:
                array, whole = np.moveaxis(array, stream.time_axis, 0), np.moveaxis(whole, stream.time_axis, 0)
            starts = [s for s in range(max(1, len(whole) - wanted + 1)) if np.array_equal(array[:5], whole[s : s + 5])]
            assert starts or layout == "vector"
            if layout != "vector" and wanted > len(whole):
                tail = whole[: wanted - len(whole)] if pad == "repeat" else 0 * array[len(whole) :]
                np.testing.assert_array_equal(array[len(whole) :][: len(tail)], tail)


def test_whole_utterances_are_grouped_by_length(make_data):
    data = make_data("eval", 7)
    run(data, {"toy": node(layout="layers")})
    stream = CachedStream.open(Path("dump"), "toy", node(layout="layers"), data)
    utterances = Utterances(DataDir.read(data), None, {"toy": stream}, False, Data(), 7, "none")
    for groups in Batches(utterances, 4, seed=7, shuffle=False):
        for group in groups:
            assert group["toy"].shape == (len(group["utt"]), 2, int(group["toy_len"][0]), 3)


@pytest.mark.parametrize(("layout", "tolerance"), [("frames", 1e-3), ("layers", 1e-2), ("vector", 0), ("codes", 0)])
def test_compressed(make_data, layout, tolerance):
    data = make_data("eval", 3)
    full = run(data, {"full": node(layout=layout)})["full"]
    small = run(data, {"small": node(layout=layout)}, compress=True)["small"]
    size = {name: Path(f"dump/{name}/eval/feats.1.ark").stat().st_size for name in ("full", "small")}
    assert size["small"] < 0.75 * size["full"] or layout in ("vector", "codes")
    for utt in full:
        np.testing.assert_allclose(small[utt].astype(np.float32), full[utt], atol=tolerance)
    stream = CachedStream.open(Path("dump"), "small", node(layout=layout), data)
    example = Utterances(DataDir.read(data), None, {"small": stream}, False, Data(crop=1600), 7, "first")[0, 0]
    assert example["small"].dtype == (torch.int32 if layout == "codes" else torch.float32)


def test_too_large_for_float16_is_named(make_data):
    data = make_data("eval", 2)
    for file in Path("audio/eval").glob("*.flac"):
        soundfile.write(file, np.full(3200, 0.9), 16000)
    with pytest.raises(InputError, match=r"key 'eval_00.': a number is above 65504.*without --compress"):
        run(data, {"loud": {**node(layout="layers"), "class_path": f"{__name__}.Loud"}}, compress=True)


class Loud(Toy):
    def extract(self, wave, wave_len):
        return 1e6 * super().extract(wave, wave_len)


def test_several_streams_read_the_audio_once(make_data, monkeypatch):
    data = make_data("eval", 5)
    count = 0
    original = pipeline.read_ahead

    def counted(*arguments):
        nonlocal count
        for utts, waves, notes in original(*arguments):
            count += len(utts)
            yield utts, waves, notes

    monkeypatch.setattr(pipeline, "read_ahead", counted)
    readers = run(data, {"one": node(), "two": node(layout="vector")})
    assert count == 5
    assert sorted(readers["one"]) == sorted(readers["two"])
    # The first stream exists already, and only the second is computed.
    readers = run(data, {"one": node(), "three": node(layout="codes")})
    assert count == 10
    assert readers["three"]["eval_000"].shape[0] == 2


@pytest.mark.parametrize("table", ["utt2dur", "headers"])
def test_batches_keep_to_their_budget(make_data, monkeypatch, table):
    data = make_data("eval", 11)
    if table == "headers":
        (data / "utt2dur").unlink()
    sizes = []
    original = Extraction._forward

    def seen(self, frontend, waves):
        sizes.append((len(waves), max(map(len, waves))))
        return original(self, frontend, waves)

    monkeypatch.setattr(Extraction, "_forward", seen)
    run(data, {"toy": node()}, batch_seconds=0.7)
    assert sum(count for count, _ in sizes[1:]) == 11  # the first call determines the shape
    assert all(count * longest <= 0.7 * 16000 + 1 for count, longest in sizes[1:])
    assert [longest for _, longest in sizes[1:]] == sorted((longest for _, longest in sizes[1:]), reverse=True)


def test_features_that_are_not_finite_name_the_utterance(make_data):
    data = make_data("eval", 5)
    # Only eval_000 has 3,200 samples; it is the shortest and comes last.
    with pytest.raises(InputError, match="key 'eval_000': the array has NaN or infinite values"):
        run(data, {"toy": node(broken=3200)}, batch_utterances=1)
    kept = Path("dump/toy/eval/feats.1.scp.part").read_text(encoding="utf-8").splitlines()
    assert sorted(line.split()[0] for line in kept) == [f"eval_00{number}" for number in range(1, 5)]


def test_too_short_for_a_frame_is_named(make_data):
    data = make_data("eval", 2)
    soundfile.write("audio/eval/eval_001.flac", np.zeros(100), 16000)
    with pytest.raises(InputError, match=r"key 'eval_001'.* is empty; is the audio too short"):
        run(data, {"toy": node()})


def test_a_disk_with_too_little_room_is_refused_before_anything_is_computed(make_data, monkeypatch, capsys):
    data = make_data("eval", 4)
    usage = pipeline.check_disk_space.__globals__["shutil"].disk_usage(".")
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage._replace(free=500))
    with pytest.raises(InputError, match=r"do not fit into 0\.5 kB .*--dump.*--compress"):
        run(data, {"toy": node()})
    shape = sum(3 * 4 * ((3200 + 400 * n) // FRAME) for n in range(4))
    assert f"{shape / 1000:.1f} kB in full ({shape / 2000:.1f} kB compressed)" in capsys.readouterr().out
    assert not list(Path("dump").rglob("*.ark*"))


def test_a_disk_that_fills_up_loses_nothing_finished(make_data):
    data = make_data("eval", 30)
    one = node(layout="wave")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))
    try:
        with pytest.raises(InputError, match=r"feats\.1\.ark\.part: cannot write \(File too large\); make room"):
            run(data, {"toy": one}, batch_utterances=2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not Path("dump/toy/eval/feats.1.scp").exists()
    reader = run(data, {"toy": one})["toy"]
    assert len(reader) == 30
    for utt in reader:
        np.testing.assert_array_equal(reader[utt], read_audio(f"audio/eval/{utt}.flac"))
