"""MP3s with and without a tag that says how long they are, with other things around and between their frames.

The reference is libsndfile's own decoding of the tagged file, which keeps the delay of encoder and decoder out.
"""

import io
import itertools
import struct

import numpy as np
import pytest
import soundfile

from spooftrace.audio.mpeg import DECODER_DELAY, find_stream, parse
from spooftrace.audio.reading import audio_info, check_audio, read_audio, read_samples
from spooftrace.common.errors import InputError

ENCODER_DELAY = 576  # samples, of LAME
RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
MODES = ("CONSTANT", "AVERAGE", "VARIABLE")
ID3 = b"ID3\3\0\0\0\0\2\0" + bytes(256)


def tone(rate, seconds=1.3, channels=1):
    """Silence, tone and noise, so that a variable bitrate varies."""
    time = np.arange(round(seconds * rate)) / rate
    wave = 0.3 * np.sin(2 * np.pi * 440 * time) * (time > 0.3)
    wave += 0.2 * np.random.default_rng(1).standard_normal(len(time)) * (time > 0.8)
    return np.stack([wave, wave * 0.5][:channels], 1).clip(-1, 1).astype(np.float32)


def encode(rate=44100, mode="CONSTANT", channels=1, seconds=1.3):
    file = io.BytesIO()
    soundfile.write(file, tone(rate, seconds, channels), rate, format="MP3", bitrate_mode=mode, compression_level=0.3)
    return file.getvalue()


def frames(content):
    """(offset, size) of the frames of a file that is nothing else."""
    place, frames = 0, []
    while place < len(content):
        size = parse(content[place + 1], content[place + 2]).size
        frames.append((place, size))
        place += size
    return frames


def tagless(content):
    """The file without its first frame, which has no audio; and what it decodes to."""
    first = frames(content)[0][1]
    assert b"Info" in content[:first] or b"Xing" in content[:first]
    return content[first:]


def decoded(content):
    return soundfile.read(io.BytesIO(content), dtype="float32", always_2d=True)[0]


def check(path, whole, start=0):
    """The file has these samples from a place on."""
    samples, rate = read_samples(path)
    np.testing.assert_allclose(samples[start : start + len(whole)], whole, atol=1e-6)
    assert audio_info(path) == check_audio(path) == (len(samples), rate, samples.shape[1])
    middle = len(samples) // rate / 2
    np.testing.assert_array_equal(
        read_samples(path, middle, middle + 0.1)[0],
        samples[round(middle * rate) : round((middle + 0.1) * rate)],
    )
    return samples


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("mode", MODES)
def test_every_rate_and_mode_with_and_without_a_tag(tmp_path, rate, mode):
    path = tmp_path / "x.mp3"
    content = encode(rate, mode)
    path.write_bytes(content)
    whole = check(path, decoded(content))
    assert len(whole) == len(tone(rate))  # delay and padding are cut off
    rest = tagless(content)
    path.write_bytes(rest)
    samples = check(path, whole, ENCODER_DELAY + DECODER_DELAY)
    assert len(samples) == len(frames(rest)) * (1152 if rate >= 32000 else 576)
    assert abs(len(read_audio(path)) - len(samples) * 16000 / rate) <= 1


@pytest.mark.parametrize("mode", MODES)
def test_what_lies_around_the_frames(tmp_path, mode):
    path = tmp_path / "x.mp3"
    content = encode(mode=mode, channels=2)
    whole = decoded(content)
    ape = b"APETAGEX" + struct.pack("<IIII", 2000, 40, 1, 0) + bytes(8) + bytes(8)
    for before, behind in (
        (ID3, b""), (ID3 + ID3, b"TAG" + bytes(125)), (b"", ape), (b"", ape + b"TAG" + b" " * 125), (bytes(2000), b""),
        (b"not audio " * 30, b""), (b"", bytes(1000)),
    ):  # fmt: skip
        path.write_bytes(before + content + behind)
        assert len(check(path, whole)) == len(whole)
        path.write_bytes(before + tagless(content) + behind)
        check(path, whole, ENCODER_DELAY + DECODER_DELAY)


def test_garbage_between_frames(tmp_path):
    path = tmp_path / "x.mp3"
    rest = tagless(encode())
    place = frames(rest)[20][0]
    path.write_bytes(rest)
    whole = read_samples(path)[0]
    for garbage in (b"\x12garbage" * 40, b"\xff\xfb" * 3, bytes(5000)):
        path.write_bytes(rest[:place] + garbage + rest[place:])
        assert len(read_samples(path)[0]) == len(whole)
    path.write_bytes(rest[place + 7 :])  # a stream recorded from the middle of a frame on
    assert len(read_samples(path)[0]) == len(whole) - 21 * 1152


def test_files_one_behind_the_other(tmp_path):
    path = tmp_path / "x.mp3"
    rest = tagless(encode())
    path.write_bytes(rest + rest)
    assert len(read_samples(path)[0]) == 2 * len(frames(rest)) * 1152


@pytest.mark.parametrize("other", [{"rate": 48000}, {"rate": 22050}, {"channels": 2}], ids=str)
def test_another_stream_behind_the_first_is_not_left_out(tmp_path, other):
    path = tmp_path / "x.mp3"
    for first, second in itertools.permutations([encode(), encode(**other)]):
        for change in (bytes, tagless):
            path.write_bytes(change(first) + change(second))
            with pytest.raises(InputError, match="changes on the way; cut it"):
                read_audio(path)


def with_frames(content, number):
    """The file with another number of frames in its tag."""
    place = max(content[:300].find(b"Info"), content[:300].find(b"Xing")) + 8
    return content[:place] + struct.pack(">I", number) + content[place + 4 :]


def test_a_tag_that_is_wrong_about_the_length(tmp_path):
    path = tmp_path / "x.mp3"
    content = encode()
    count = len(frames(content)) - 1
    path.write_bytes(with_frames(content, count))
    whole = read_samples(path)[0]
    path.write_bytes(with_frames(content, 0))  # without a number of frames the place of the padding is unknown
    np.testing.assert_array_equal(read_samples(path)[0][: len(whole)], whole)
    path.write_bytes(with_frames(content, count // 2))
    assert len(read_samples(path)[0]) >= len(whole)
    path.write_bytes(with_frames(content, count + 1))
    with pytest.raises(InputError, match=f"cut short, its header announces {count + 1} frames, {count} are there"):
        read_audio(path)


@pytest.mark.parametrize("function", [read_audio, audio_info, check_audio])
def test_files_cut_short(tmp_path, function):
    path = tmp_path / "x.mp3"
    content = encode()
    rest = tagless(content)
    for cut in (content[: frames(content)[30][0]], content[:-200], rest[:-200], rest[: frames(rest)[30][0] + 4]):
        path.write_bytes(cut)
        with pytest.raises(InputError, match=r"x\.mp3: the file is cut short"):
            function(path)


def test_a_vbri_frame_is_no_audio(tmp_path):
    path = tmp_path / "x.mp3"
    rest = tagless(encode())
    path.write_bytes(rest)
    whole = read_samples(path)[0]
    _place, size = frames(rest)[0]
    tag = bytearray(size)
    tag[:4] = rest[:4]
    tag[36:54] = b"VBRI" + struct.pack(">HHHII", 1, 0, 75, len(rest), len(frames(rest)))
    path.write_bytes(bytes(tag) + rest)
    np.testing.assert_allclose(read_samples(path)[0], whole, atol=1e-6)


def test_one_frame_and_none(tmp_path):
    path = tmp_path / "x.mp3"
    rest = tagless(encode())
    path.write_bytes(rest[: frames(rest)[1][0]])
    assert len(read_samples(path)[0]) == 1152
    path.write_bytes(rest[:100])
    with pytest.raises(InputError, match=r"x\.mp3: "):
        read_audio(path)


def test_mp3_inside_of_wav(tmp_path):
    """Format 0x55: libsndfile estimates the length of these, too."""
    path = tmp_path / "x.wav"
    rest = tagless(encode(16000))
    layout = struct.pack("<HHIIHHHHIHHH", 0x55, 1, 16000, 4000, 1, 0, 12, 1, 2, 144, 1, 0)
    chunks = b"WAVEfmt " + struct.pack("<I", len(layout)) + layout + b"data" + struct.pack("<I", len(rest))
    body = chunks + rest + b"\0" * (len(rest) % 2)
    path.write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)
    assert audio_info(path) == (len(frames(rest)) * 576, 16000, 1)
    assert len(read_audio(path)) == len(frames(rest)) * 576


@pytest.mark.parametrize(
    ("header", "size", "samples"),
    [
        ("fffb90", 417, 1152), ("fffb92", 418, 1152), ("fffba4", 480, 1152),  # MPEG-1, layer III
        ("fff380", 208, 576), ("ffe390", 522, 576),  # MPEG-2 and 2.5
        ("fffd80", 417, 1152), ("ffff90", 312, 384),  # layers II and I
    ],
)  # fmt: skip
def test_sizes_of_frames(header, size, samples):
    second, third = bytes.fromhex(header)[1:]
    assert parse(second, third) == (size, samples)


@pytest.mark.parametrize("header", ["ffeb90", "fff990", "fffbf0", "fffb9c", "ff1b90"])
def test_what_is_no_header(header):
    second, third = bytes.fromhex(header)[1:]
    assert parse(second, third) is None


def test_other_bytes_are_no_stream():
    rng = np.random.default_rng(0)
    for _ in range(20):
        assert find_stream(rng.integers(0, 256, 1 << 17, np.uint8).tobytes()) is None
    assert find_stream(b"\xff\xf1\x50\x80" + bytes(100)) is None
    assert find_stream(b"") is None
    assert find_stream(b"ID3") is None
    assert find_stream(ID3) is None
