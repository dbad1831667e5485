"""What is no audio under the name of an audio file is named, with what to do."""

import gzip
import io
import lzma
import tarfile
import zipfile

import pytest

from spooftrace.audio.reading import audio_info, check_audio, read_audio
from spooftrace.common.errors import InputError


def zipped():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.wav", b"x")
    return file.getvalue()


def tarred():
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a.wav"))
    return file.getvalue()


STRANGERS = {
    "pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n", "Git LFS.*git lfs pull"),
    "zip": (zipped(), r"an archive \(zip\), not audio; unpack it"),
    "gzip": (gzip.compress(b"x" * 99), r"\(gzip\), not audio; unpack it"),
    "xz": (lzma.compress(b"x" * 99), r"\(xz\), not audio; unpack it"),
    "tar": (tarred(), r"an archive \(tar\), not audio; unpack it"),
    "page": (b"\n<!DOCTYPE html>\n<html><title>404</title></html>", "a web page.*get the file again"),
    "old page": (b"<HTML><BODY>503</BODY></HTML>", "a web page.*get the file again"),
    "json": (b'{"error": "quota exceeded"}\n', "JSON, not audio .*quota exceeded.*download it again"),
    "xml": (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "an XML file, not audio"),
    "text": ("Zugriff gewährt\n".encode() * 40, "text, not audio .*Zugriff"),
    "table": (b"PAR1" + bytes(99), "a Parquet table, not audio; give an audio file"),
    "document": (b"%PDF-1.7\n%\xe2\xe3", "a PDF document, not audio; give an audio file"),
    "array": (b"\x93NUMPY\x01\x00" + bytes(99), "a NumPy array .*not audio; give an audio file"),
}  # fmt: skip


@pytest.mark.parametrize("suffix", ["wav", "flac", "mp3", "ogg", "raw"])
@pytest.mark.parametrize("name", STRANGERS)
def test_what_a_file_is_instead_of_audio(tmp_path, name, suffix):
    content, match = STRANGERS[name]
    path = tmp_path / f"x.{suffix}"
    path.write_bytes(content)
    for function in (read_audio, audio_info, check_audio):
        with pytest.raises(InputError, match=match) as caught:
            function(path)
        assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)


def test_noise_is_not_called_text(tmp_path):
    path = tmp_path / "x.wav"
    path.write_bytes(bytes(range(256)) * 20)
    with pytest.raises(InputError, match="not audio"):
        read_audio(path)
