"""Pictures and recordings of every kind, made here."""

import array
import io
import math
from functools import lru_cache
from typing import Any

import av
import pillow_heif
from PIL import Image, ImageDraw

pillow_heif.register_heif_opener()

VOICE_KINDS = {
    "m4a": ("ipod", "aac", 44_100),
    "mp3": ("mp3", "libmp3lame", 44_100),
    "adts": ("adts", "aac", 48_000),
    "ogg": ("ogg", "libopus", 48_000),
    "webm": ("webm", "libopus", 48_000),
    "amr": ("amr", "libopencore_amrnb", 8_000),
    "3gp": ("3gp", "libopencore_amrnb", 8_000),
    "wav": ("wav", "pcm_s16le", 16_000),
}

IMAGE_KINDS = {"jpeg": "JPEG", "png": "PNG", "webp": "WEBP", "heic": "HEIF"}

EXPECTED_FORMATS = {"3gp": "mp4", "m4a": "mp4"}
"""Where the format that is found has another name than the kind made here."""


@lru_cache
def picture(width: int = 64, height: int = 48, mode: str = "RGB") -> Image.Image:
    """A gradient with a red square in its upper left quarter, so that turning it shows."""
    image = Image.linear_gradient("L").resize((width, height)).convert(mode)
    ImageDraw.Draw(image).rectangle((0, 0, width // 4, height // 4), fill=(255, 0, 0) if mode in ("RGB", "RGBA") else 255)
    return image


def image_file(kind: str = "jpeg", *, size: tuple[int, int] = (64, 48), mode: str = "RGB", **options: Any) -> bytes:
    out = io.BytesIO()
    picture(*size, mode).save(out, IMAGE_KINDS[kind], **options)
    return out.getvalue()


def exif_of_a_phone(orientation: int = 1) -> Image.Exif:
    """Make, orientation, and where it was taken."""
    exif = Image.Exif()
    exif[0x010F] = "PhoneMaker"
    exif[0x0112] = orientation
    exif.get_ifd(0x8825).update({1: "N", 2: (39.0, 54.0, 26.5), 3: "E", 4: (116.0, 23.0, 29.25)})
    return exif


@lru_cache
def voice_file(kind: str = "m4a", seconds: float = 1.5) -> bytes:
    """A tone of 440 Hz."""
    muxer, codec, rate = VOICE_KINDS[kind]
    out = io.BytesIO()
    with av.open(out, "w", format=muxer) as container:
        stream: Any = container.add_stream(codec, rate=rate, layout="mono")
        count = round(seconds * rate)
        tone = array.array("h", (int(8_000 * math.sin(i * 2 * math.pi * 440 / rate)) for i in range(count)))
        for at in range(0, count, rate // 50):
            piece = tone[at : at + rate // 50].tobytes()
            frame = av.AudioFrame(format="s16", layout="mono", samples=len(piece) // 2, align=1)
            frame.planes[0].update(piece)
            frame.sample_rate, frame.pts = rate, at
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return out.getvalue()


@lru_cache
def film_file() -> bytes:
    """Two seconds of moving picture, without sound."""
    out = io.BytesIO()
    with av.open(out, "w", format="mp4") as container:
        stream: Any = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(20):
            container.mux(stream.encode(av.VideoFrame.from_image(picture())))
        container.mux(stream.encode(None))
    return out.getvalue()


def played_ms(data: bytes) -> tuple[str, int]:
    """Codec and length of a recording, by playing all of it."""
    with av.open(io.BytesIO(data), "r") as container:
        stream = container.streams.audio[0]
        samples = sum(frame.samples for frame in container.decode(stream))
        return stream.codec_context.name, round(samples * 1000 / stream.codec_context.sample_rate)


def opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image
