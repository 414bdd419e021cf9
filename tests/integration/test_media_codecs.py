"""Uploads through the real worker processes: what comes out, what is refused, and what a bad one cannot do."""

import asyncio
import io
import os
import signal
import struct
import sys
import zlib
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from media.codecs import CodecPool
from media.domain import Encoded, Format, MediaKind, Rendition
from media.errors import MediaDamaged, MediaDurationRefused, MediaTooLarge, MediaUnsupported
from media.formats import sniff
from server.kernel.errors import DomainError, Unavailable
from tests.support.media_files import (
    EXPECTED_FORMATS,
    IMAGE_KINDS,
    VOICE_KINDS,
    exif_of_a_phone,
    film_file,
    image_file,
    opened,
    picture,
    played_ms,
    voice_file,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

REFUSALS = (MediaDamaged, MediaDurationRefused, MediaTooLarge, MediaUnsupported)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pool() -> AsyncIterator[CodecPool]:
    pool = CodecPool(workers=2)
    yield pool
    await pool.close()


async def _encode(pool: CodecPool, data: bytes) -> Encoded:
    found = sniff(data)
    assert found is not None
    return await pool.encode(data, found)


def _png_of(width: int, height: int) -> bytes:
    """A few bytes that say they are a black picture of this size."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    rows = zlib.compress(bytes((width + 7) // 8 + 1) * min(height, 1_000), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("kind", "mime"), [("jpeg", "image/jpeg"), ("png", "image/png"), ("webp", "image/jpeg"), ("heic", "image/jpeg")]
)
async def test_a_picture_keeps_its_size_and_loses_where_it_was_taken(pool: CodecPool, kind: str, mime: str) -> None:
    data = image_file(kind, size=(640, 480), exif=exif_of_a_phone())
    assert b"PhoneMaker" in data
    encoded = await _encode(pool, data)
    original, thumbnail = (encoded.renditions[r] for r in (Rendition.ORIGINAL, Rendition.THUMBNAIL))
    assert (encoded.kind, encoded.width, encoded.height, encoded.duration_ms) == (MediaKind.IMAGE, 640, 480, None)
    assert original.mime == mime
    for rendition, size in ((original, (640, 480)), (thumbnail, (480, 360))):
        image = opened(rendition.data)
        assert image.size == size
        assert Image.MIME[image.format or ""] == rendition.mime
        assert dict(image.getexif()) == {}
        assert not set(image.info) - {"jfif", "jfif_version", "jfif_unit", "jfif_density"}
        assert b"PhoneMaker" not in rendition.data
        assert image.convert("RGB").getpixel((10, 10)) == pytest.approx((255, 0, 0), abs=16)
    assert original.data != data


async def test_a_picture_is_turned_as_the_camera_noted(pool: CodecPool) -> None:
    encoded = await _encode(pool, image_file("jpeg", size=(64, 48), exif=exif_of_a_phone(orientation=6)))
    image = opened(encoded.renditions[Rendition.ORIGINAL].data)
    assert (encoded.width, encoded.height) == image.size == (48, 64)
    assert image.getpixel((44, 4)) == pytest.approx((255, 0, 0), abs=24)


async def test_every_mode_of_a_picture_becomes_one_that_every_browser_shows(pool: CodecPool) -> None:
    grey16 = Image.new("I;16", (8, 8), 0x8000)
    palette = picture(32, 32).quantize(16)
    files = {
        "1": picture(16, 16, "L").convert("1"),
        "L": picture(16, 16, "L"),
        "LA": picture(16, 16, "L").convert("LA"),
        "P": palette,
        "I;16": grey16,
        "RGBA": picture(16, 16, "RGBA"),
    }
    for mode, image in files.items():
        out = io.BytesIO()
        image.save(out, "PNG")
        encoded = await _encode(pool, out.getvalue())
        assert opened(encoded.renditions[Rendition.ORIGINAL].data).mode in ("L", "RGB", "RGBA"), mode
    out = io.BytesIO()
    grey16.save(out, "PNG")
    shown = opened((await _encode(pool, out.getvalue())).renditions[Rendition.ORIGINAL].data)
    assert shown.getpixel((0, 0)) == 0x80
    out = io.BytesIO()
    picture(16, 16).convert("CMYK").save(out, "JPEG")
    assert opened((await _encode(pool, out.getvalue())).renditions[Rendition.ORIGINAL].data).mode == "RGB"


async def test_transparency_stays_and_a_colour_profile_is_spent(pool: CodecPool) -> None:
    glass = Image.new("RGBA", (20, 10), (10, 200, 30, 128))
    for kind in ("png", "webp"):
        out = io.BytesIO()
        glass.save(out, IMAGE_KINDS[kind], icc_profile=ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
        original = (await _encode(pool, out.getvalue())).renditions[Rendition.ORIGINAL]
        image = opened(original.data)
        assert (original.mime, image.mode, "icc_profile" in image.info) == ("image/png", "RGBA", False)
        assert image.getchannel("A").getextrema() == (128, 128)


@pytest.mark.parametrize("kind", VOICE_KINDS)
async def test_every_recording_becomes_aac_and_opus_of_the_same_length(pool: CodecPool, kind: str) -> None:
    encoded = await _encode(pool, voice_file(kind, 1.5))
    assert (encoded.kind, encoded.width, encoded.height) == (MediaKind.VOICE, None, None)
    assert encoded.duration_ms == pytest.approx(1_500, abs=50)
    m4a, opus = encoded.renditions[Rendition.M4A], encoded.renditions[Rendition.OPUS]
    assert (m4a.mime, opus.mime) == ("audio/mp4", "audio/ogg")
    for rendition, codec in ((m4a, "aac"), (opus, "opus")):
        name, duration_ms = played_ms(rendition.data)
        assert name.removeprefix("lib") == codec
        assert duration_ms == pytest.approx(1_500, abs=50)
    assert m4a.data.find(b"moov") < m4a.data.find(b"mdat")
    assert b"Lavf" not in m4a.data


@pytest.mark.parametrize(("seconds", "fits"), [(0.5, False), (1.0, True), (60.0, True), (61.0, False)])
async def test_a_recording_lasts_from_one_to_sixty_seconds(pool: CodecPool, seconds: float, fits: bool) -> None:
    data = voice_file("wav", seconds)
    if fits:
        assert (await _encode(pool, data)).duration_ms == seconds * 1_000
    else:
        with pytest.raises(MediaDurationRefused):
            await _encode(pool, data)


async def test_a_film_is_not_a_recording(pool: CodecPool) -> None:
    with pytest.raises(MediaUnsupported):
        await _encode(pool, film_file())


async def test_a_bomb_is_refused_by_what_it_would_become(pool: CodecPool) -> None:
    for width, height in ((100_000, 100_000), (60_000, 60_000), (7_072, 7_072)):
        with pytest.raises(MediaTooLarge):
            await pool.encode(_png_of(width, height), Format.PNG)
    webp = bytearray(image_file("webp", mode="RGBA", size=(16, 16), exif=exif_of_a_phone()))
    assert webp[12:16] == b"VP8X"
    webp[24:30] = (16_382).to_bytes(3, "little") * 2
    with pytest.raises(MediaTooLarge):
        await pool.encode(bytes(webp), Format.WEBP)


async def test_something_else_in_a_picture_is_refused(pool: CodecPool) -> None:
    for extra in (b"<script>alert(1)</script>", b"PK\x01\x02" + bytes(42) + b"PK\x05\x06" + bytes(18)):
        with pytest.raises(MediaUnsupported):
            await _encode(pool, image_file("jpeg") + extra)


@pytest.mark.parametrize("kind", [*IMAGE_KINDS, *VOICE_KINDS])
async def test_a_file_cut_at_any_tenth_is_damaged(pool: CodecPool, kind: str) -> None:
    data = image_file(kind, size=(200, 150)) if kind in IMAGE_KINDS else voice_file(kind, 1.66)
    found = Format(EXPECTED_FORMATS.get(kind, kind))
    for tenths in range(1, 10):
        with pytest.raises(MediaDamaged):
            await pool.encode(data[: len(data) * tenths // 10], found)


async def test_a_worker_that_was_killed_is_replaced(pool: CodecPool) -> None:
    await _encode(pool, image_file())
    for pid in (killed := pool.worker_pids()):
        os.kill(pid, signal.SIGKILL)
        await asyncio.to_thread(psutil.Process(pid).wait, 10)
    encoded = await asyncio.gather(*(_encode(pool, image_file()) for _ in range(4)))
    assert [e.width for e in encoded] == [64] * 4
    assert not set(killed) & set(pool.worker_pids())


_CRASHES = """
import os, signal, sys
length = int.from_bytes(sys.stdin.buffer.read(4), "big")
sys.stdin.buffer.read(length)
os.kill(os.getpid(), signal.SIGSEGV)
"""
_HANGS = "import sys, time; time.sleep(600)"
_BABBLES = (
    "import sys; sys.stdin.buffer.read(4); sys.stdout.buffer.write(b'\\xff' * 5000); sys.stdout.flush(); sys.stdin.read()"
)
_CRASHES_ONCE = """
import os, sys
if not os.path.exists({flag!r}):
    open({flag!r}, "w").close()
    os.abort()
os.execv(sys.executable, [sys.executable, "-m", "media.worker", "3000000000", "20"])
"""


@pytest.mark.parametrize("script", [_CRASHES, _BABBLES])
async def test_an_upload_that_kills_its_worker_twice_is_damaged(script: str) -> None:
    pool = CodecPool(workers=1, command=(sys.executable, "-c", script))
    for _ in range(2):
        with pytest.raises(MediaDamaged):
            await pool.encode(image_file(), Format.JPEG)
        assert pool.worker_pids() == []
    await pool.close()


async def test_a_worker_that_died_by_chance_costs_no_upload(tmp_path: Path) -> None:
    script = _CRASHES_ONCE.format(flag=str(tmp_path / "crashed"))
    pool = CodecPool(workers=1, command=(sys.executable, "-c", script))
    assert (await pool.encode(image_file(), Format.JPEG)).width == 64
    await pool.close()


async def test_an_upload_that_takes_too_long_is_damaged_and_its_worker_gone() -> None:
    pool = CodecPool(workers=1, limit_seconds=0, command=(sys.executable, "-c", _HANGS))
    with pytest.raises(MediaDamaged):
        await pool.encode(image_file(), Format.JPEG)
    assert pool.worker_pids() == []
    await pool.close()


async def test_a_worker_ends_itself_when_a_decoder_does_not() -> None:
    """The alarm is the kernel's: it needs no help of the code that hangs, and none of the program that started the worker."""
    script = (
        "import media.pictures, time\n"
        "media.pictures.encode_picture = lambda data, found: time.sleep(600)\n"
        "import media.worker\n"
        "media.worker.main(3_000_000_000, 1)\n"
    )
    pool = CodecPool(workers=1, limit_seconds=60, command=(sys.executable, "-c", script))
    async with asyncio.timeout(30):
        with pytest.raises(MediaDamaged):
            await pool.encode(image_file(), Format.JPEG)
    await pool.close()


async def test_a_worker_has_no_secrets_and_bounded_means(pool: CodecPool) -> None:
    await _encode(pool, image_file())
    for pid in pool.worker_pids():
        process = psutil.Process(pid)
        assert not [name for name in process.environ() if name.startswith("YZ_") or name in ("HOME", "PATH")]
        assert process.rlimit(psutil.RLIMIT_FSIZE) == (0, 0)
        assert process.rlimit(psutil.RLIMIT_AS) == (3 * 1024**3, 3 * 1024**3)


async def test_no_worker_outlives_the_pool_and_a_closed_pool_takes_nothing() -> None:
    pool = CodecPool(workers=2)
    await asyncio.gather(*(_encode(pool, image_file()) for _ in range(4)))
    pids = pool.worker_pids()
    assert len(pids) == 2
    await pool.close()
    assert not [pid for pid in pids if psutil.pid_exists(pid)]
    with pytest.raises(Unavailable):
        await pool.encode(image_file(), Format.JPEG)


def _fuzz(pool: CodecPool, runner: asyncio.Runner, data: bytes) -> None:
    """A worker's answer is a medium or a refusal of the upload; anything else is raised, and fails the test."""
    found = sniff(data)
    if found is None:
        return
    try:
        encoded = runner.run(asyncio.wait_for(pool.encode(data, found), 30))
    except REFUSALS:
        return
    except DomainError as error:
        raise AssertionError(error.code) from error
    assert all(rendition.data for rendition in encoded.renditions.values())


@pytest.mark.slow
async def test_mutated_files_are_taken_or_refused_and_nothing_else() -> None:
    seeds = [image_file(kind, size=(32, 24), exif=exif_of_a_phone()) for kind in IMAGE_KINDS]
    seeds += [voice_file(kind, 1.0) for kind in ("m4a", "mp3", "ogg", "webm", "amr")]

    @st.composite
    def mutated(draw: st.DrawFn) -> bytes:
        data = bytearray(draw(st.sampled_from(seeds)))
        for _ in range(draw(st.integers(1, 6))):
            at = draw(st.integers(0, len(data) - 1))
            match draw(st.sampled_from(["set", "insert", "delete", "copy", "swap"])):
                case "set":
                    data[at] = draw(st.sampled_from([0, 1, 0x7F, 0x80, 0xFF, draw(st.integers(0, 255))]))
                case "insert":
                    data[at:at] = draw(st.binary(min_size=1, max_size=16))
                case "delete":
                    del data[at : at + draw(st.integers(1, 64))]
                case "copy":
                    data[at:at] = data[: draw(st.integers(1, 256))]
                case _:
                    data[at : at + 4] = data[at : at + 4][::-1]
            if not data:
                return b""
        return bytes(data)

    def walk() -> None:
        with asyncio.Runner() as runner:
            pool = CodecPool(workers=1, limit_seconds=10)

            @settings(max_examples=150, deadline=None, database=None, suppress_health_check=list(HealthCheck))
            @given(mutated())
            def taken_or_refused(data: bytes) -> None:
                _fuzz(pool, runner, data)

            taken_or_refused()
            runner.run(pool.close())

    await asyncio.to_thread(walk)
