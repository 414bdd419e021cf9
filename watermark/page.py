"""Both marks at once, in one pass over the page."""

from PIL import Image

from watermark.pattern import shading
from watermark.shade import shaded
from watermark.visible import VisibleMark, visible_tile


def mark_page(image: Image.Image, mark: VisibleMark, view_id: int, *, key: bytes, dark: bool) -> Image.Image:
    """The page as it may leave the house: with the visible mark and the view id in its shading."""
    return shaded(image, shading(key, view_id), visible_tile(mark, dark=dark))
