"""What a file holds counts, not what its header says: sizes of chunks, totals of FLAC, Ogg pages, absurd numbers."""

import io
import os
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from spooftrace.audio.notes import AudioWarning
from spooftrace.audio.reading import audio_info, check_audio, read_audio, read_samples
from spooftrace.common.errors import InputError

RATE = 16000
WAVE = np.random.default_rng(5).uniform(-0.3, 0.3, (RATE, 1)).astype(np.float32)
STEREO = np.hstack([WAVE, WAVE[::-1] / 2])


def encode(kind, wave=WAVE, subtype=None, endian=None):
    file = io.BytesIO()
    soundfile.write(file, wave, RATE, format=kind, subtype=subtype, endian=endian)
    return file.getvalue()


def patch(content, place, layout, *values):
    content = bytearray(content)
    struct.pack_into(layout, content, place, *values)
    return bytes(content)


def field(content, name, layout):
    """A file and where the size of its audio stands, by how."""
    return content, content.index(name) + len(name), layout


# Name -> the file, the offset of the size of its audio, how that is written, a number that leaves it open (or None).
CONTAINERS = {
    "wav": (*field(encode("WAV"), b"data", "<I"), 0xFFFFFFFF),
    "stereo.wav": (*field(encode("WAV", STEREO), b"data", "<I"), 0x7FFFF000),
    "float.wav": (*field(encode("WAV", subtype="FLOAT"), b"data", "<I"), 0xFFFFFFFF),
    "adpcm.wav": (*field(encode("WAV", subtype="IMA_ADPCM"), b"data", "<I"), 0xFFFFFFFF),
    "gsm.wav": (*field(encode("WAV", subtype="GSM610"), b"data", "<I"), 0xFFFFFFFF),
    "rifx.wav": (*field(encode("WAV", endian="BIG"), b"data", ">I"), 0xFFFFFFFF),
    "rf64.wav": (encode("RF64"), encode("RF64").index(b"ds64") + 16, "<Q", None),
    "w64": (encode("W64"), encode("W64").index(b"data\xf3\xac") + 16, "<Q", None),
    "aiff": (*field(encode("AIFF"), b"SSND", ">I"), None),
    "aifc": (*field(encode("AIFF", subtype="ULAW"), b"SSND", ">I"), None),
    "caf": (*field(encode("CAF"), b"data", ">q"), -1),
    "au": (encode("AU"), 8, ">I", 0xFFFFFFFF),
    "le.au": (encode("AU", endian="LITTLE"), 8, "<I", 0xFFFFFFFF),
}  # fmt: skip


@pytest.mark.parametrize("name", CONTAINERS)
@pytest.mark.parametrize("declared", [0, 1040, 1041])
def test_a_size_that_is_too_small(tmp_path, name, declared):
    """The last count that was saved before the power failed, or none; 1041 ends within a sample."""
    content, place, layout, _ = CONTAINERS[name]
    path = tmp_path / f"x.{name}"
    path.write_bytes(content)
    whole, _ = read_samples(path)
    assert len(whole) >= RATE
    path.write_bytes(patch(content, place, layout, declared))
    with pytest.warns(AudioWarning, match="more audio than its header says"):
        samples, _ = read_samples(path)
    np.testing.assert_array_equal(samples, whole)
    with pytest.warns(AudioWarning):
        assert audio_info(path) == check_audio(path) == (len(whole), RATE, whole.shape[1])
    with pytest.warns(AudioWarning):
        np.testing.assert_array_equal(read_samples(path, 0.25, 0.5)[0], whole[4000:8000])


@pytest.mark.parametrize("name", CONTAINERS)
def test_a_size_that_is_right_or_open_is_no_reason_to_warn(tmp_path, name, recwarn):
    content, place, layout, unknown = CONTAINERS[name]
    path = tmp_path / f"x.{name}"
    path.write_bytes(content)
    whole, _ = read_samples(path)
    if unknown is not None:
        path.write_bytes(patch(content, place, layout, unknown))
        np.testing.assert_array_equal(read_samples(path)[0], whole)
    assert not recwarn.list


@pytest.mark.parametrize("name", CONTAINERS)
def test_a_size_that_is_too_large_is_refused(tmp_path, name):
    content, place, layout, _ = CONTAINERS[name]
    path = tmp_path / f"x.{name}"
    for damaged in (content[:-999], patch(content, place, layout, len(content) + 5000)):
        path.write_bytes(damaged)
        for function in (read_audio, audio_info, check_audio):
            with pytest.raises(InputError, match=r"x\..*cut short, its header announces"):
                function(path)
    if struct.calcsize(layout) == 8:
        path.write_bytes(patch(content, place, layout, 1 << 50))
        with pytest.raises(InputError, match="cut short"):
            read_audio(path)


@pytest.mark.parametrize(
    "behind",
    [b"LIST" + struct.pack("<I", 4) + b"INFO", b"id3 " + struct.pack("<I", 3) + b"ID3\0", b"TAG" + bytes(125),
     bytes(512), b"\1\2\3", b"bext" + struct.pack("<I", 6) + b"abcdef" + b"LIST" + struct.pack("<I", 4) + b"INFO"],
)  # fmt: skip
def test_what_may_follow_the_audio_is_not_audio(tmp_path, behind, recwarn):
    path = tmp_path / "x.wav"
    path.write_bytes(encode("WAV") + behind)
    assert len(read_audio(path)) == RATE
    odd = encode("WAV", WAVE[:-1], "PCM_U8")  # 15,999 bytes and one of padding, which some programs leave out
    for content in (odd, odd[:-1] if odd[-1] == 0 else odd):
        path.write_bytes(content + behind)
        assert len(read_audio(path)) in (RATE - 1, RATE)
    assert not recwarn.list


@pytest.mark.parametrize("declared", [0, 1000, 0xFFFFFFFF])
def test_chunks_behind_audio_of_a_wrong_size_are_not_audio(tmp_path, declared):
    path = tmp_path / "x.wav"
    content, place, _, _ = CONTAINERS["wav"]
    tag = b"LIST" + struct.pack("<I", 10) + b"INFOISFTab" + b"id3 " + struct.pack("<I", 3) + b"ID3\0"
    path.write_bytes(patch(content, place, "<I", declared) + tag)
    with pytest.MonkeyPatch.context() if declared == 0xFFFFFFFF else pytest.warns(AudioWarning, match="more audio"):
        np.testing.assert_array_equal(read_audio(path), read_end())


@pytest.mark.parametrize("size", [(1 << 63) - 1, (1 << 64) - 1, (1 << 63) - 25])
def test_sizes_that_programs_write_to_a_pipe(tmp_path, size, recwarn):
    path = tmp_path / "x"
    wave64, place, _, _ = CONTAINERS["w64"]
    path.write_bytes(patch(wave64, place, "<Q", size))
    assert len(read_audio(path)) == RATE
    rf64 = encode("RF64")
    path.write_bytes(patch(rf64, rf64.index(b"ds64") + 16, "<Q", size))
    assert len(read_audio(path)) == RATE
    assert not recwarn.list


def test_rf64_with_its_size_in_the_data_chunk(tmp_path, recwarn):
    path = tmp_path / "x.wav"
    content = encode("RF64")
    content = patch(content, content.index(b"ds64") + 16, "<Q", 0)
    path.write_bytes(patch(content, content.index(b"data") + 4, "<I", 2 * RATE))
    np.testing.assert_array_equal(read_audio(path), read_end())
    assert not recwarn.list


@pytest.mark.parametrize("name", [b"fact", b"smpl", b"acid", b"PEAK"])
def test_chunks_that_are_shorter_than_they_should_be(tmp_path, name, recwarn):
    path = tmp_path / "x.wav"
    content, place, _, _ = CONTAINERS["wav"]
    for size in (0, 1, 2, 3):
        chunk = name + struct.pack("<I", size) + bytes(size + size % 2)
        path.write_bytes(content[: place - 4] + chunk + content[place - 4 :])
        np.testing.assert_array_equal(read_audio(path), read_end())
    assert not recwarn.list


def test_a_tag_in_front_of_another_container(tmp_path):
    path = tmp_path / "x.wav"
    for kind in ("WAV", "AIFF"):
        path.write_bytes(b"ID3\3\0\0\0\0\0\x10" + bytes(16) + encode(kind))
        np.testing.assert_array_equal(read_audio(path), read_end())


def test_sizes_beyond_32_bits(tmp_path):
    """A recording of 5 GiB whose size has wrapped; the file is sparse, and only its ends are read."""
    content, place, _, _ = CONTAINERS["wav"]
    start, size = place + 4, 5 << 30
    for name, head in {
        "wrapped.wav": patch(content, place, "<I", size % (1 << 32)),
        "died.wav": patch(content, place, "<I", 0),
        "open.wav": patch(content, place, "<I", 0xFFFFFFFF),
    }.items():
        path = tmp_path / name
        path.write_bytes(head)
        os.truncate(path, start + size)
        with open(path, "r+b") as file:
            file.seek(start + size - 2 * RATE)
            file.write(content[start:])
        samples = size // 2
        if name == "open.wav":
            assert audio_info(path) == (samples, RATE, 1)
        else:
            with pytest.warns(AudioWarning, match="more audio"):
                assert audio_info(path) == (samples, RATE, 1)
        seconds = samples / RATE
        with pytest.warns(AudioWarning) if name != "open.wav" else pytest.MonkeyPatch.context():
            np.testing.assert_array_equal(read_audio(path, start=seconds - 1), read_end())
            assert len(read_audio(path, most=4000)) == 4000


def read_end(kind="WAV"):
    return soundfile.read(io.BytesIO(encode(kind)), dtype="float32")[0]


def test_bw64_is_read_as_rf64(tmp_path):
    path = tmp_path / "x.wav"
    path.write_bytes(b"BW64" + encode("RF64")[4:])
    np.testing.assert_array_equal(read_audio(path), read_end())


def test_sphere_files_that_are_cut(tmp_path):
    path = tmp_path / "x.sph"
    content = encode("NIST")
    path.write_bytes(content)
    assert len(read_audio(path)) == RATE
    path.write_bytes(content[:-1000])
    with pytest.raises(InputError, match="cut short"):
        read_audio(path)


def flac(total, wave=WAVE):
    content = bytearray(encode("FLAC", wave))
    content[21] = content[21] & 0xF0 | total >> 32
    content[22:26] = struct.pack(">I", total & 0xFFFFFFFF)
    return bytes(content)


@pytest.mark.parametrize("around", [(b"", b""), (b"ID3\3\0\0\0\0\0\x14" + bytes(20), b""), (b"", b"TAG" + bytes(125))])
@pytest.mark.parametrize("total", [0, 1000, 15999])
def test_flac_totals_that_are_unknown_or_too_small(tmp_path, total, around):
    path = tmp_path / "x.flac"
    path.write_bytes(around[0] + flac(total) + around[1])
    if total:
        with pytest.warns(AudioWarning, match=f"{total:,} of 16,000 samples"):
            wave = read_audio(path)
    else:
        wave = read_audio(path)
    np.testing.assert_array_equal(wave, read_end("FLAC"))
    np.testing.assert_array_equal(read_samples(path, 0.25, 0.5)[0][:, 0], wave[4000:8000])


@pytest.mark.parametrize("total", [16001, 1 << 30, (1 << 36) - 1])
def test_flac_totals_that_are_too_large(tmp_path, total):
    path = tmp_path / "x.flac"
    path.write_bytes(flac(total))
    for function in (read_audio, audio_info, check_audio):
        with pytest.raises(InputError, match=f"ends after 16,000 of {total:,} samples"):
            function(path)


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_ogg_streams_that_follow_one_another(tmp_path, subtype):
    path = tmp_path / "x.ogg"
    parts = [encode("OGG", wave, subtype) for wave in (WAVE, WAVE[::-1], WAVE[: RATE // 2])]
    waves = []
    for part in parts:
        path.write_bytes(part)
        waves.append(read_audio(path))
    path.write_bytes(b"".join(parts))
    np.testing.assert_array_equal(read_audio(path), np.concatenate(waves))
    assert audio_info(path).samples == sum(map(len, waves))
    path.write_bytes(parts[1] + parts[1])  # not allowed, since both have the same number, but what cat makes
    np.testing.assert_array_equal(read_audio(path), np.concatenate([waves[1]] * 2))
    path.write_bytes(parts[0] + encode("OGG", STEREO, subtype))
    with pytest.raises(InputError, match="channels changes on the way"):
        read_audio(path)
    for cut in (len(parts[0]) // 2, len(parts[0]) + len(parts[1]) * 2 // 3):
        path.write_bytes(b"".join(parts)[:cut])
        with pytest.raises(InputError, match="cut short"):
            read_audio(path)


def test_ogg_without_an_end_is_read_and_noted(tmp_path):
    path = tmp_path / "x.ogg"
    content = encode("OGG", np.tile(WAVE, (6, 1)))
    path.write_bytes(content[: content.rindex(b"OggS")])  # as a recorder leaves it that has lost its power
    with pytest.warns(AudioWarning, match="lacks the mark that ends it"):
        wave = read_audio(path)
    assert 3 * RATE < len(wave) < 6 * RATE


def test_too_few_samples_for_the_rate(tmp_path):
    path = tmp_path / "x.wav"
    for count, rate in ((1, 48000), (1, 44100), (2, 192000)):
        soundfile.write(path, np.full(count, 0.5), rate)
        with pytest.raises(InputError, match=f"x.wav: has {count} samples? at {rate:,} Hz, which are no samples"):
            read_audio(path)
        assert len(read_audio(path, rate)) == count
    soundfile.write(path, np.full(1, 0.5), 8000)
    assert len(read_audio(path)) == 2


@pytest.mark.parametrize("rate", [0, 1, 999, 800_000, 2_000_000_000, 0xFFFFFFFF])
def test_rates_that_no_recording_has(tmp_path, rate):
    path = tmp_path / "x.wav"
    path.write_bytes(patch(encode("WAV"), 24, "<I", rate))
    for function in (read_audio, audio_info, check_audio):
        with pytest.raises(InputError, match=r"x\.wav: "):
            function(path)


class InOrder(soundfile.SoundFile):
    """Reads without seeking, which GSM and others cannot."""

    def seekable(self):
        return False


# RAW has no header, SD2 has it in another file; of the layers of MPEG only the third can be written.
@pytest.mark.parametrize("kind", sorted(set(soundfile.available_formats()) - {"RAW", "SD2", "MP3"}))
def test_every_format_of_libsndfile(tmp_path, kind):
    """Among them those in which nothing can be sought, and those with samples of 4 and 3 bits."""
    path, tested = tmp_path / "x.snd", 0
    for subtype in soundfile.available_subtypes(kind):
        try:
            content = encode(kind, subtype=subtype)
        except soundfile.SoundFileError:
            continue  # libsndfile does not write it
        path.write_bytes(content)
        with InOrder(path) as file:
            reference = file.read(min(file.frames, 10 * RATE), dtype="float32", always_2d=True)
            rate = file.samplerate
        samples, own_rate = read_samples(path)
        assert own_rate == rate and len(samples) >= 0.99 * RATE
        np.testing.assert_array_equal(samples, reference, err_msg=f"{kind} {subtype}")
        part = read_samples(path, 0.25, 0.5)[0]
        np.testing.assert_array_equal(part, samples[rate // 4 : rate // 2], err_msg=f"{kind} {subtype}")
        tested += 1
    assert tested


def test_raw_samples(tmp_path):
    path = tmp_path / "x.raw"
    path.write_bytes(WAVE.tobytes())
    for function in (read_audio, audio_info, check_audio):
        with pytest.raises(InputError, match=r"x\.raw: has no header that says its rate and coding"):
            function(path)
    path.write_bytes(encode("WAV"))  # a WAV file by another name
    assert len(read_audio(path)) == RATE


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 48000])
def test_the_beginning_alone_is_what_the_whole_begins_with(tmp_path, rate):
    path = tmp_path / "x.flac"
    soundfile.write(path, np.tile(STEREO, (4, 1)), rate)
    whole = read_audio(path)
    for most in (1600, len(whole) - 100, len(whole) + 5000):
        np.testing.assert_array_equal(read_audio(path, most=most), whole[:most])
    path.write_bytes(flac(0, np.tile(STEREO, (4, 1))))
    np.testing.assert_array_equal(read_audio(path, most=5000), read_audio(path)[:5000])


def test_no_more_memory_than_the_audio_takes(tmp_path, monkeypatch):
    """However much a header asks for, the decoder is asked for a block at a time."""
    asked = []
    original = soundfile.SoundFile.read

    def read(self, frames=-1, **options):
        asked.append(frames * self.channels)
        return original(self, frames, **options)

    monkeypatch.setattr(soundfile.SoundFile, "read", read)
    path = tmp_path / "x.flac"
    path.write_bytes(flac((1 << 36) - 1))
    with pytest.raises(InputError):
        read_audio(path)
    assert asked and max(asked) <= 1 << 20
    Path(path).write_bytes(flac(0))
    assert len(read_audio(path)) == RATE
