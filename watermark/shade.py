"""Lightening and darkening a page by seamless tiles: what both marks come down to."""

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

Tile = NDArray[np.int8]
"""Grey levels to add to all three colours, shape (height, width); repeated over the page from its upper left corner."""


def shaded(image: Image.Image, *tiles: Tile) -> Image.Image:
    """The page in RGB with all tiles added. Black stays black when darkened, white stays white when lightened."""
    pixels = np.asarray(image if image.mode == "RGB" else image.convert("RGB"))
    out = np.empty_like(pixels)
    source = pixels
    for tile in tiles:
        _add(source, tile, out)
        source = out
    return Image.fromarray(out if tiles else pixels)


def _add(pixels: NDArray[np.uint8], tile: Tile, out: NDArray[np.uint8]) -> None:
    height, width = pixels.shape[:2]
    lighter, darker = (_band(part.astype(np.uint8), width) for part in (np.maximum(tile, 0), np.maximum(-tile, 0)))
    for top in range(0, height, len(tile)):
        rows = out[top : top + len(tile)]
        cv2.add(pixels[top : top + len(tile)], lighter[: len(rows)], dst=rows)
        cv2.subtract(rows, darker[: len(rows)], dst=rows)


def _band(part: NDArray[np.uint8], width: int) -> NDArray[np.uint8]:
    """Tiles side by side across the page, in all three colours."""
    coloured = cv2.cvtColor(part, cv2.COLOR_GRAY2RGB)
    return np.asarray(cv2.repeat(coloured, 1, -(-width // part.shape[1]))[:, :width], dtype=np.uint8)
