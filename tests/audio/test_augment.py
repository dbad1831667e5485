"""Augmentation: what each step does to real speech, and that draws depend on seed, epoch and utterance alone."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from spooftrace.archive import ArchiveWriter
from spooftrace.audio.augment import Augmentation, add_noise, reverberate, spec_augment
from spooftrace.audio.augment_options import AUGMENTATIONS, SpecAugment
from spooftrace.audio.channels import LOSSY, NARROWBAND, alaw, mulaw, transmit
from spooftrace.audio.rawboost import ALGORITHMS
from spooftrace.batching.batches import Batches
from spooftrace.batching.utterances import CachedStream, Utterances
from spooftrace.common.errors import InputError
from spooftrace.common.journal import fingerprint
from spooftrace.config.loading import load_config
from spooftrace.config.settings import Data
from spooftrace.datadir import DataDir

CODECS = [*NARROWBAND, *LOSSY]


def generator(seed=0):
    return np.random.default_rng(seed)


def snr(clean, changed):
    return 20 * np.log10(np.linalg.norm(clean) / np.linalg.norm(changed - clean))


@pytest.fixture(scope="module")
def wave(speech):
    return speech.bonafide[0]


@pytest.fixture
def noise_scp(recipe):
    """An scp of two made-up noise files, one of them shorter than an utterance, at another sampling rate."""
    rng = generator()
    soundfile.write("long noise.wav", 0.1 * rng.standard_normal(64000), 16000)
    soundfile.write("short.wav", 0.1 * np.sin(np.arange(800)), 8000)
    Path("noise.scp").write_text("a long noise.wav\nb short.wav\n", encoding="utf-8")
    return "noise.scp"


@pytest.fixture
def rir_scp(recipe):
    response = 0.2 * generator(1).standard_normal(4000) * np.exp(-np.arange(4000) / 400)
    response[37] = 1
    soundfile.write("rir.wav", 0.5 * response, 16000)
    Path("rir.scp").write_text("room rir.wav\n", encoding="utf-8")
    return "rir.scp"


@pytest.mark.parametrize("length", [500, 60000])
@pytest.mark.parametrize("level", [-5.0, 20.0])
def test_noise_has_the_snr_asked_for(wave, length, level):
    noisy = add_noise(wave, generator().standard_normal(length), level)
    assert noisy.shape == wave.shape
    assert snr(wave, noisy) == pytest.approx(level, abs=1e-3)


def test_silence_is_no_noise_and_no_room(wave):
    np.testing.assert_array_equal(add_noise(wave, np.zeros(10), 5), wave)
    np.testing.assert_array_equal(reverberate(wave, np.zeros(10)), wave)
    assert not add_noise(np.zeros(10), np.ones(10), 5).any()


def test_reverberation_keeps_place_and_level(wave):
    delayed = np.zeros(50)
    delayed[20] = -0.3  # a path alone, no echo
    np.testing.assert_allclose(reverberate(wave, delayed), -wave, atol=1e-6)
    echo = delayed.copy()
    echo[49] = 0.1
    heard = reverberate(wave, echo)
    assert np.linalg.norm(heard) == pytest.approx(np.linalg.norm(wave))
    expected = -0.3 * wave
    expected[29:] += 0.1 * wave[:-29]
    np.testing.assert_allclose(heard / np.linalg.norm(heard), expected / np.linalg.norm(expected), atol=1e-6)


@pytest.mark.parametrize("codec", CODECS)
def test_codecs_keep_the_speech_in_its_place(wave, codec):
    sent = transmit(wave, codec, generator())
    assert sent.dtype == np.float32 and sent.shape == wave.shape
    # What lies between 500 and 3000 Hz goes through all of them.
    band = slice(int(len(wave) * 500 / 16000), int(len(wave) * 3000 / 16000))
    before, after = (np.fft.rfft(x)[band] for x in (wave, sent))
    coherence = np.vdot(before, after).real / np.linalg.norm(before) / np.linalg.norm(after)
    assert 0.8 < coherence < 1 - 1e-9
    np.testing.assert_array_equal(sent, transmit(wave, codec, generator()))


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("samples", [1, 7, 333])
def test_codecs_take_very_short_and_too_loud_waves(wave, codec, samples):
    sent = transmit(50 * wave[1000 : 1000 + samples], codec, generator())
    assert sent.shape == (samples,) and np.isfinite(sent).all()


def test_narrowband_codecs_have_no_high_and_no_low_frequencies(wave):
    power = np.abs(np.fft.rfft(transmit(wave, "gsm", generator()))) ** 2
    hertz = np.fft.rfftfreq(len(wave), 1 / 16000)
    assert power[(hertz < 150) | (hertz > 4500)].sum() < 1e-4 * power.sum()


@pytest.mark.parametrize(("law", "subtype"), [(mulaw, "ULAW"), (alaw, "ALAW")])
def test_companding_is_as_good_as_g711(wave, law, subtype):
    file = io.BytesIO()
    soundfile.write(file, wave, 16000, format="WAV", subtype=subtype)
    file.seek(0)
    standard, _ = soundfile.read(file)
    assert snr(wave, law(wave)) == pytest.approx(snr(wave, standard), abs=2.5)  # dB; G.711 draws the curve in lines
    assert law(np.zeros(1)) == 0
    assert law(np.array([-1.0, 1.0])) == pytest.approx([-1, 1])


def test_unknown_codec_is_named(wave):
    with pytest.raises(ValueError, match="'mp4' is none of mulaw"):
        transmit(wave, "mp4", generator())


def test_spec_augment_masks_with_the_mean():
    frames = generator().standard_normal((100, 30)).astype(np.float32)
    options = SpecAugment(time_masks=1, max_frames=10, dim_masks=1, max_dims=5)
    sizes = set()
    for seed in range(40):
        masked = spec_augment(frames, generator(seed), options)
        changed = masked != frames
        np.testing.assert_allclose(masked[changed], np.broadcast_to(frames.mean(0), frames.shape)[changed])
        rows, columns = changed.all(axis=1), changed.all(axis=0)
        assert (changed == rows[:, None] | columns[None]).all()  # whole frames and whole dimensions
        assert rows.sum() <= 10 and columns.sum() <= 5
        assert np.abs(np.diff(rows)).sum() <= 2 and np.abs(np.diff(columns)).sum() <= 2  # each in one piece
        sizes.add((int(rows.sum()), int(columns.sum())))
    assert len(sizes) > 10
    short = spec_augment(frames[:20], generator(), SpecAugment(time_masks=1, dim_masks=0, max_share=0.2))
    assert (short != frames[:20]).all(axis=1).sum() <= 4


def everything(noise_scp, rir_scp):
    return Data(
        crop=3000,
        rawboost=4,
        noise={"scp": noise_scp, "snr": [0, 10], "prob": 0.7},
        reverb={"scp": rir_scp, "prob": 0.7},
        codec={"names": CODECS, "prob": 0.7},
    )


def test_every_step_is_on_its_own(wave, noise_scp, rir_scp):
    whole = everything(noise_scp, rir_scp)
    for name in ("noise", "reverb", "codec"):
        getattr(whole, name).prob = 1.0
        alone = Data(**{name: getattr(whole, name)})
        first = Augmentation(alone).wave(wave, [1, 2, 3])
        assert first.dtype == np.float32 and first.shape == wave.shape
        assert not np.array_equal(first, wave)
        np.testing.assert_array_equal(first, Augmentation(alone).wave(wave, [1, 2, 3]))
        if name != "reverb":  # there is one room
            assert not np.array_equal(first, Augmentation(alone).wave(wave, [1, 3, 3]))
    # The noise that is drawn is the same one whether or not another step comes first.
    options = Data(noise=whole.noise)
    clean = Augmentation(options).wave(wave, [5]) - wave
    options.reverb = whole.reverb
    roomy = Augmentation(options).wave(wave, [5]) - Augmentation(Data(reverb=whole.reverb)).wave(wave, [5])
    assert np.dot(clean, roomy) / np.linalg.norm(clean) / np.linalg.norm(roomy) == pytest.approx(1, abs=1e-4)


def test_probability_is_kept(wave, noise_scp):
    augmentation = Augmentation(Data(noise={"scp": noise_scp, "prob": 0.3}))
    changed = [not np.array_equal(augmentation.wave(wave[:400], [seed]), wave[:400]) for seed in range(300)]
    assert 0.2 < np.mean(changed) < 0.4


def test_neither_workers_nor_resuming_change_what_is_drawn(make_data, noise_scp, rir_scp):
    directory, options = DataDir.read(make_data("train", 6)), everything(noise_scp, rir_scp)

    def epoch(number, done=0, num_workers=0, **changes):
        utterances = Utterances(
            directory, [0, 1] * 3, {}, True, Data(**{**vars(options), **changes}), seed=7, crop="random", augment=True
        )
        batches = Batches(utterances, 2, seed=7, shuffle=True, num_workers=num_workers)
        batches.set_position(number, done)
        return [(group["utt"], group["wave"]) for groups in batches for group in groups]

    first, resumed, second = epoch(0), epoch(0, done=1, num_workers=2), epoch(1)
    for (utts, waves), (other_utts, other_waves) in zip(first[1:], resumed, strict=True):
        assert utts == other_utts and torch.equal(waves, other_waves)
    by_utt = [{u: w for utts, waves in run for u, w in zip(utts, waves, strict=True)} for run in (first, second)]
    assert all(not torch.equal(by_utt[0][utt], by_utt[1][utt]) for utt in by_utt[0])
    assert first[0][1].dtype == torch.float32
    # Augmentation leaves order and crops as they are without it.
    off = dict.fromkeys(AUGMENTATIONS) | {"rawboost": 0}
    plain, quiet = epoch(0, **off), epoch(0, **(off | {"rawboost": 2}))
    assert [utts for utts, _ in plain] == [utts for utts, _ in first]
    for (_, clean), (_, impulses) in zip(plain, quiet, strict=True):
        assert ((clean == impulses).float().mean(dim=1) > 0.85).all()


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_rawboost_takes_whole_training_utterances(make_data, algorithm):
    directory = DataDir.read(make_data("train", 2))
    options = Data(crop=2000, rawboost=algorithm)
    example = Utterances(directory, [0, 1], {}, True, options, seed=7, crop="random", augment=True)[0, 0]
    assert example["wave"].shape == (2000,) and example["wave"].dtype == torch.float32


def test_cached_frames_are_masked_where_they_are_augmented(make_data):
    data, node = make_data("train", 4), {"class_path": "LFCC"}
    folder = Path("dump/lfcc/train")
    folder.mkdir(parents=True)
    with ArchiveWriter(folder / "feats.ark", folder / "feats.scp") as writer:
        for utt in DataDir.read(data).utts:
            writer.write(utt, generator().standard_normal((50, 20), dtype=np.float32))
    description = {
        "config": node,
        "frame_rate": 100.0,
        "dim": 20,
        "layout": "frames",
        "audio": fingerprint(data, "wav.scp"),
    }
    (folder / "stream.json").write_text(json.dumps(description), encoding="utf-8")
    stream = CachedStream.open(Path("dump"), "lfcc", node, data)

    def frames(augment, epoch=0, **changes):
        options = Data(crop=6400, **changes)
        utterances = Utterances(DataDir.read(data), [0, 1] * 2, {"lfcc": stream}, False, options, 7, "first", augment)
        return torch.stack([utterances[epoch, index]["lfcc"] for index in range(4)])

    masks = {"spec_augment": {"max_frames": 10}}
    clean, masked = frames(True), frames(True, **masks)
    assert 0 < (clean != masked).float().mean() < 0.9
    assert torch.equal(masked, frames(True, **masks))
    assert torch.equal(frames(False, **masks), clean)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"rawboost": 12}, r"data\.rawboost"),
        ({"rawboost": 3, "cached": ["lfcc"]}, r"data\.rawboost changes the waveform, .*cached stream 'lfcc'"),
        ({"codec": {"names": ["mulaw"]}, "cached": ["lfcc"]}, r"data\.codec changes the waveform"),
        ({"spec_augment": {}, "cached": []}, r"data\.spec_augment masks cached frames"),
        ({"noise": {"scp": "noise.scp", "prob": 50}, "cached": []}, r"data\.noise\.prob is 50.*between 0 and 1"),
        ({"noise": {"prob": 1}, "cached": []}, "scp"),
        ({"noise": {"scp": "noise.scp", "snr": [20, 5]}, "cached": []}, r"data\.noise\.snr.*lower value first"),
        ({"codec": {"names": []}, "cached": []}, r"data\.codec\.names is empty"),
        ({"codec": {"names": ["mp4"]}, "cached": []}, "mp4"),
    ],
)
def test_configurations_that_cannot_work_are_refused(write_config, data, message):
    with pytest.raises(InputError, match=message) as caught:
        load_config([write_config(data=data)])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("workers", [0, 1])
def test_missing_noise_is_one_line_from_any_process(make_data, noise_scp, workers):
    directory = DataDir.read(make_data("train", 4))
    for file in Path().glob("*.wav"):
        file.unlink()
    options = Data(crop=3000, noise={"scp": noise_scp, "prob": 1.0})
    batches = Batches(
        Utterances(directory, [0, 1] * 2, {}, True, options, 7, "random", augment=True),
        2,
        7,
        shuffle=True,
        num_workers=workers,
    )
    with pytest.raises(InputError, match=r"\.wav: no such file") as caught:
        list(batches)
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match=r"other\.scp"):
        Augmentation(Data(noise={"scp": "other.scp"}))
    Path("empty.scp").touch()
    with pytest.raises(InputError, match=r"empty\.scp: "):
        Augmentation(Data(reverb={"scp": "empty.scp"}))
