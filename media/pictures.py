"""Pictures, decoded and encoded anew. Runs in a worker process only: decoders meet hostile bytes here.

Width and height stay (after the turn that the camera noted). Everything that is not a pixel goes: EXIF with its places, XMP,
comments, thumbnails, colour profiles (after conversion to sRGB), further frames.
"""

import io
from typing import Final

import pillow_heif
from PIL import Image, ImageCms, ImageOps

from media.domain import MAX_UPLOAD_BYTES, Encoded, Encoding, Format, MediaKind, Rendition, pixels_fit
from media.errors import MediaDamaged, MediaTooLarge
from media.formats import canvas_of_webp

_PLUGINS: Final = {
    Format.JPEG: ["JPEG", "MPO"],
    Format.PNG: ["PNG"],
    Format.WEBP: ["WEBP"],
    Format.HEIC: ["HEIF"],
}
_JPEG_QUALITY: Final = 85
_THUMBNAIL_EDGE: Final = 480
_THUMBNAIL_QUALITY: Final = 78
_FEW_COLOURS: Final = 256
_ALPHA_MODES: Final = frozenset({"RGBA", "LA", "PA", "RGBa", "La"})
_DEEP_GREY: Final = frozenset({"I;16", "I;16L", "I;16B", "I;16N", "I"})


def prepare() -> None:
    """Set the decoders up, once a process. The limit of pixels is ours and stricter, and asked before any is decoded."""
    pillow_heif.register_heif_opener(thumbnails=False)
    Image.MAX_IMAGE_PIXELS = None
    Image.preinit()


def encode_picture(data: bytes, found: Format) -> Encoded:
    """The picture as JPEG or PNG, and a thumbnail. Raises MediaTooLarge, MediaDamaged; decoders raise what they like."""
    if found is Format.WEBP and (canvas := canvas_of_webp(data)) is not None and not pixels_fit(*canvas):
        raise MediaTooLarge()
    with Image.open(io.BytesIO(data), formats=_PLUGINS[found]) as source:
        if not pixels_fit(*source.size):
            raise MediaTooLarge() if min(source.size) > 0 else MediaDamaged()
        source.load()
        picture = _plain(source)
    original = _save(picture, lossless=_deserves_lossless(picture, found))
    picture.thumbnail((_THUMBNAIL_EDGE, _THUMBNAIL_EDGE))
    small = _save(picture, lossless=picture.mode in _ALPHA_MODES, quality=_THUMBNAIL_QUALITY)
    width, height = _size_of(original)
    return Encoded(
        kind=MediaKind.IMAGE,
        renditions={Rendition.ORIGINAL: original, Rendition.THUMBNAIL: small},
        width=width,
        height=height,
    )


def _plain(source: Image.Image) -> Image.Image:
    """The first frame upright in sRGB: mode L, RGB, or RGBA where something is transparent; no metadata attached."""
    profile = source.info.get("icc_profile")
    upright = ImageOps.exif_transpose(source)
    if upright.mode in _DEEP_GREY:
        upright = _eight_bits(upright)
    transparent = upright.mode in _ALPHA_MODES or "transparency" in upright.info
    if transparent or upright.mode not in ("L", "RGB", "CMYK"):
        upright = upright.convert("RGBA" if transparent else "L" if upright.mode == "1" else "RGB")
    if profile:
        upright = _to_srgb(upright, profile)
    if upright.mode == "CMYK":
        upright = upright.convert("RGB")
    if upright.mode == "RGBA" and upright.getchannel("A").getextrema() == (255, 255):
        upright = upright.convert("RGB")
    clean = Image.new(upright.mode, upright.size)
    clean.paste(upright)
    return clean


def _eight_bits(deep: Image.Image) -> Image.Image:
    """16-bit grey to 8-bit, by the upper byte; Pillow's own conversion clips."""
    return deep.convert("I").point(lambda value: value * (1 / 256)).convert("L")


def _to_srgb(picture: Image.Image, profile: bytes) -> Image.Image:
    """Colours as the profile meant them. A profile that cannot be read is passed over, as browsers do."""
    alpha = picture.getchannel("A") if picture.mode == "RGBA" else None
    base = picture.convert("RGB") if alpha is not None else picture
    try:
        meant = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        converted = ImageCms.profileToProfile(base, meant, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return picture
    if converted is None:
        return picture
    if alpha is not None:
        converted.putalpha(alpha)
    return converted


def _deserves_lossless(picture: Image.Image, found: Format) -> bool:
    """What is transparent, what came as PNG, and drawings that came as WebP: JPEG would smear them."""
    if picture.mode in _ALPHA_MODES or found is Format.PNG:
        return True
    return found is Format.WEBP and picture.mode == "RGB" and picture.getcolors(_FEW_COLOURS) is not None


def _save(picture: Image.Image, *, lossless: bool, quality: int = _JPEG_QUALITY) -> Encoding:
    """PNG where it is asked for and not larger than an upload may be, else JPEG (on white, where it was transparent)."""
    if lossless:
        out = io.BytesIO()
        picture.save(out, "PNG", compress_level=4)
        if out.tell() <= MAX_UPLOAD_BYTES:
            return Encoding("image/png", out.getvalue())
    if picture.mode == "RGBA":
        white = Image.new("RGB", picture.size, "white")
        white.paste(picture, mask=picture.getchannel("A"))
        picture = white
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=quality)
    return Encoding("image/jpeg", out.getvalue())


def _size_of(encoding: Encoding) -> tuple[int, int]:
    """Width and height of what will be shown, read from it."""
    with Image.open(io.BytesIO(encoding.data), formats=["JPEG", "PNG"]) as picture:
        return picture.size
