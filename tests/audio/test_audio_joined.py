"""Several recordings in one file, several chunks of audio, sizes of samples that contradict each other: refused."""

import io
import struct

import numpy as np
import pytest
import soundfile

from spooftrace.audio.reading import audio_info, check_audio, read_audio
from spooftrace.common.errors import InputError

RATE = 16000
WAVE = np.random.default_rng(6).uniform(-0.3, 0.3, RATE).astype(np.float32)


def encode(kind="WAV", subtype=None, endian=None, wave=WAVE):
    file = io.BytesIO()
    soundfile.write(file, wave, RATE, format=kind, subtype=subtype, endian=endian)
    return file.getvalue()


def put(content, place, layout, *values):
    content = bytearray(content)
    struct.pack_into(layout, content, place, *values)
    return bytes(content)


def refused(path, match):
    for function in (read_audio, audio_info, check_audio):
        with pytest.raises(InputError, match=match) as caught:
            function(path)
        assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)


OPEN_WAV = put(encode(), 40, "<I", 0xFFFFFFFF)
ID3 = b"ID3\3\0\0" + bytes([0, 0, 39, 16]) + bytes(39 * 128 + 16)  # 5,008 bytes and a header, as with a cover picture
MP3 = encode("MP3")
JOINED = {
    "twice.wav": (encode(), encode()),
    "three.wav": (encode(), encode(wave=WAVE[:500]), encode()),
    "odd.wav": (encode(subtype="PCM_U8", wave=WAVE[:-1]), encode()),
    "float.wav": (encode(subtype="FLOAT"), encode(subtype="FLOAT")),
    "from a pipe.wav": (OPEN_WAV, OPEN_WAV),
    "unfinished.wav": (put(encode(), 40, "<I", 0), encode()),
    "tagged.wav": (encode() + b"LIST" + struct.pack("<I", 4) + b"INFO", encode()),
    "rifx.wav": (encode(endian="BIG"), encode(endian="BIG")),
    "rf64.wav": (encode("RF64"), encode("RF64")),
    "twice.w64": (encode("W64"), encode("W64")),
    "twice.aiff": (encode("AIFF"), encode("AIFF")),
    "twice.caf": (encode("CAF"), encode("CAF")),
    "twice.au": (encode("AU"), encode("AU")),
    "little.au": (encode("AU", endian="LITTLE"), encode("AU", endian="LITTLE")),
    "twice.sph": (encode("NIST"), encode("NIST")),
    "twice.voc": (encode("VOC"), encode("VOC")),
    "twice.flac": (encode("FLAC"), encode("FLAC")),
    "other length.flac": (encode("FLAC"), encode("FLAC", wave=WAVE[:700])),
    "two kinds.wav": (encode(), encode("FLAC")),
    "two kinds.ogg": (encode("OGG"), encode(wave=WAVE[:300])),
    "two kinds.mp3": (encode("MP3"), encode()),
    "mp3 behind.wav": (encode(), MP3),
    "tagged mp3 behind.wav": (encode(), ID3 + MP3),
    "tagged mp3 behind.aiff": (encode("AIFF"), ID3 + MP3),
    "tagged mp3 behind.flac": (encode("FLAC"), ID3 + MP3),
    "tagged mp3 behind.ogg": (encode("OGG"), ID3 + MP3),
    "tagged mp3 behind a pipe.wav": (OPEN_WAV, ID3 + MP3),
}


@pytest.mark.parametrize("name", JOINED)
def test_a_second_recording_is_not_passed_over(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(b"".join(JOINED[name]))
    refused(path, f"holds several recordings, the second one from byte {len(JOINED[name][0]):,} on; cut it")


@pytest.mark.parametrize(
    "tag", [ID3, ID3[:10] + bytes(99), b"TAG" + bytes(125), b"id3 " + struct.pack("<I", len(ID3)) + ID3]
)
def test_a_tag_alone_is_no_second_recording(tmp_path, tag):
    path = tmp_path / "x.wav"
    path.write_bytes(encode() + tag)
    assert len(read_audio(path)) == RATE


def test_tagged_mpeg_audio_goes_on_behind_another_tag(tmp_path):
    path = tmp_path / "x.mp3"
    path.write_bytes(MP3 + ID3 + MP3)
    assert len(read_audio(path)) >= 2 * RATE


def test_a_header_in_the_middle_of_a_long_recording(tmp_path):
    """Where it lies across two blocks that are searched one after the other."""
    path = tmp_path / "x.wav"
    for begin in range((1 << 20) - 12, (1 << 20) + 2, 3):
        path.write_bytes(OPEN_WAV[:44] + bytes(begin) + encode())
        refused(path, f"second one from byte {44 + begin:,} on")


def test_words_in_the_audio_are_not_a_header(tmp_path):
    path = tmp_path / "x.wav"
    words = b"WAVE RIFF fLaC .snd OggS AIFF AIFC dns. FORM RIFX WAVE"
    path.write_bytes(OPEN_WAV + words)
    assert len(read_audio(path)) == RATE + len(words) // 2


def chunk(name, body, order="<"):
    return name + struct.pack(f"{order}I", len(body)) + body


def test_several_chunks_of_audio(tmp_path):
    content, aiff = encode(), encode("AIFF")
    head, audio = content[:36], content[44:]
    pieces = chunk(b"data", audio[:9000]), chunk(b"data", audio[9000:])
    for between in (b"", chunk(b"LIST", b"INFO"), chunk(b"JUNK", bytes(20))):
        path = tmp_path / "x.wav"
        path.write_bytes(head + pieces[0] + between + pieces[1])
        refused(path, r"has several chunks of audio \('data'\)")
    path.write_bytes(head + chunk(b"LIST", b"wavl" + b"".join(pieces)))
    refused(path, "wavl")
    path.write_bytes(aiff + aiff[aiff.index(b"SSND") :])
    refused(path, r"has several chunks of audio \('SSND'\)")


@pytest.mark.parametrize("bits", [0, 1, 8, 17, 20, 24, 25, 32, 33, 64, 255, 65535])
def test_bits_that_the_other_fields_contradict(tmp_path, bits):
    path = tmp_path / "x.wav"
    path.write_bytes(put(encode(), 34, "<H", bits))
    refused(path, f" {bits:,} bits? a sample")
    path.write_bytes(put(encode(endian="BIG"), 34, ">H", bits))
    refused(path, f" {bits:,} bits? a sample")
    rf64 = encode("RF64")
    path.write_bytes(put(rf64, rf64.index(b"fmt ") + 22, "<H", bits))
    refused(path, f" {bits:,} bits? a sample")
    aiff = encode("AIFF")
    path.write_bytes(put(aiff, aiff.index(b"COMM") + 14, ">H", bits))
    refused(path, f" {bits:,} bits? a sample")


def test_a_single_bit_is_in_the_singular(tmp_path):
    path = tmp_path / "x.wav"
    path.write_bytes(put(encode(), 34, "<H", 1))
    refused(path, "header .* 1 bit a sample")


@pytest.mark.parametrize("channels", [3, 1000, 65535])
def test_channels_that_the_other_fields_contradict(tmp_path, channels):
    path = tmp_path / "x.wav"
    path.write_bytes(put(encode(), 22, "<H", channels))
    refused(path, f"16 bits a sample, {channels:,} channels")


def test_one_wrong_field_that_the_others_outvote(tmp_path, recwarn):
    """Bytes a second and bytes a frame are wrong in files of some programs, which all decoders read all the same."""
    path = tmp_path / "x.wav"
    path.write_bytes(encode())
    whole = read_audio(path)
    for content in (put(encode(), 28, "<I", 0), put(encode(), 32, "<H", 0), put(encode(), 34, "<H", 12)):
        path.write_bytes(content)
        np.testing.assert_array_equal(read_audio(path), whole)
    path.write_bytes(put(encode(subtype="PCM_24"), encode(subtype="PCM_24").index(b"fmt ") + 22, "<H", 20))
    assert len(read_audio(path)) == RATE
    assert not recwarn.list
