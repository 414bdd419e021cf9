"""What an upload is found to be, whether it is whole, and what else it may be."""

import pytest

from media.domain import Format
from media.formats import hides_another, sniff
from media.structure import is_whole
from tests.support.media_files import EXPECTED_FORMATS, IMAGE_KINDS, VOICE_KINDS, image_file, voice_file

KINDS = [*IMAGE_KINDS, *VOICE_KINDS]


def _file(kind: str) -> bytes:
    """The length is such that no tenth falls between two frames: that would be a shorter recording, and whole."""
    return image_file(kind) if kind in IMAGE_KINDS else voice_file(kind, 1.66)


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_known_by_its_content_and_found_whole(kind: str) -> None:
    data = _file(kind)
    found = sniff(data)
    assert found == Format(EXPECTED_FORMATS.get(kind, kind))
    assert is_whole(data, Format(found))
    assert not hides_another(data)


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_cut_at_any_tenth_is_not_whole(kind: str) -> None:
    data = _file(kind)
    found = Format(EXPECTED_FORMATS.get(kind, kind))
    assert [is_whole(data[: len(data) * tenths // 10], found) for tenths in range(1, 10)] == [False] * 9


@pytest.mark.parametrize(
    "data",
    [
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"<?xml version='1.0'?><svg/>",
        b"<!doctype html><script>alert(1)</script>",
        b"%PDF-1.7\n",
        b"GIF89a\x01\x00\x01\x00",
        b"PK\x03\x04",
        b"#!/bin/sh\nrm -rf /\n",
        b"MZ\x90\x00",
        b"\x7fELF",
        b"BM\x00\x00",
        b"II*\x00",
        b"\x00\x00\x00\x1cftypavif\x00\x00\x00\x00avifmif1miaf",
        b"#EXTM3U\nfile:///etc/passwd\n",
        b"RIFF\x00\x00\x00\x00AVI LIST",
        b"\x00",
        bytes(64),
    ],
)
def test_other_kinds_are_known_as_nothing(data: bytes) -> None:
    assert sniff(data) is None


@pytest.mark.parametrize("kind", ["jpeg", "png", "m4a"])
@pytest.mark.parametrize(
    "extra",
    [
        b"<script>alert(1)</script>",
        b"<ScRiPt src=x>",
        b"<?php system($_GET[0]); ?>",
        b"%PDF-1.4 ...",
        b"PK\x01\x02" + bytes(42) + b"PK\x05\x06" + bytes(18),
        b"<html><body>",
    ],
)
def test_a_file_that_is_also_another_is_seen_through(kind: str, extra: bytes) -> None:
    assert hides_another(_file(kind) + extra)


def test_a_film_that_a_phone_appends_to_its_photo_is_no_disguise() -> None:
    data = image_file("jpeg") + voice_file("m4a")
    assert not hides_another(data)
    assert is_whole(data, Format.JPEG)


def test_a_changed_byte_in_a_png_shows_in_its_checksums() -> None:
    data = bytearray(image_file("png"))
    data[len(data) // 2] ^= 0x10
    assert not is_whole(bytes(data), Format.PNG)
