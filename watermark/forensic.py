"""The mark that is not seen: a view id in the shading of a page, read back from whatever became of the page.

`embed` shades a page; `read` finds the grid in a picture (`lattice`), folds all tiles into one, finds where a tile begins by
its known cells, and decodes (`code`). No original is needed. `read` answers only what passes a check of 32 bits under the key,
or, for ids that it is asked about, what no more than one in 10¹² of other ids would match; else it answers `None`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from watermark import code
from watermark.lattice import Matrix, Residue, find_lattices, orientations, residue
from watermark.pattern import SIDE, layout, shading
from watermark.shade import shaded

PAPER: Final = (228, 229, 226)
"""The ground of light pages: dark enough that a bright photo does not burn the shading away."""
PAPER_DARK: Final = (38, 40, 44)

_LARGEST: Final = 2600
_SMALLEST: Final = 64
_SAMPLES: Final = 8
"""Samples a cell and axis when a picture is laid on the grid."""
_IN_STEP: Final = 5.0
"""How far the known cells must stand out, in standard deviations, before a tile is decoded at all."""
_MATCHED: Final = 7.5
"""How close an issued id's word must be, in standard deviations of a stranger's: passed by one stranger in 3·10¹³."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A view id that was read. `confidence` is the share (0.5–1) of coded bits that agree with it.

    `checked` tells that the id was decoded and passed its check; otherwise it was matched among ids that were asked about.
    """

    view_id: int
    confidence: float
    checked: bool


def embed(image: Image.Image, view_id: int, *, key: bytes) -> Image.Image:
    """The page with the view id in its shading. Any size; larger than 400 × 400 to be readable by itself."""
    return shaded(image, shading(key, view_id))


def read(photo: Image.Image, *, key: bytes, issued: Sequence[int] = ()) -> Reading | None:
    """The view id that the picture carries, or `None`.

    With `issued`, ids that may be it, a mark that is too weak or too mixed to be decoded may still be matched; then the best
    match is given.
    """
    words = _words(key, issued)
    matched: list[Reading] = []
    for tile in _tiles(photo, key):
        soft = layout(key).gather(tile)
        if (view_id := code.decode(key, soft)) is not None:
            return Reading(view_id, _agreement(soft, code.encode(key, view_id)), checked=True)
        matched += _matches(soft, issued, words)
    return max(matched, key=lambda reading: reading.confidence, default=None)


def match(photo: Image.Image, issued: Sequence[int], *, key: bytes) -> list[Reading]:
    """All issued ids that are in the picture, the clearest first: more than one where views were mixed to hide."""
    return [reading for reading in trace(photo, issued, key=key) if not reading.checked]


def trace(photo: Image.Image, issued: Sequence[int], *, key: bytes) -> list[Reading]:
    """What `read` decodes and what `match` matches in one go, what passed its check first, then the clearest."""
    words = _words(key, issued)
    best: dict[tuple[int, bool], Reading] = {}
    for tile in _tiles(photo, key):
        soft = layout(key).gather(tile)
        found = list(_matches(soft, issued, words))
        if (view_id := code.decode(key, soft)) is not None:
            found.append(Reading(view_id, _agreement(soft, code.encode(key, view_id)), checked=True))
        for reading in found:
            place = reading.view_id, reading.checked
            if place not in best or best[place].confidence < reading.confidence:
                best[place] = reading
        if found:
            break
    return sorted(best.values(), key=lambda reading: (not reading.checked, -reading.confidence))


def _agreement(soft: NDArray[np.float64], signs: code.Signs | NDArray[np.float32]) -> float:
    return float(np.mean(np.sign(soft) == signs))


def _words(key: bytes, issued: Sequence[int]) -> NDArray[np.float32]:
    """A row for each issued id."""
    words = np.empty((len(issued), code.CODED_BITS), dtype=np.float32)
    for row, view_id in enumerate(issued):
        words[row] = code.encode(key, view_id)
    return words


def _matches(soft: NDArray[np.float64], issued: Sequence[int], words: NDArray[np.float32]) -> Iterator[Reading]:
    """A stranger's word is random to us, so its cosine with anything at all has a deviation of 1/√n."""
    length = float(np.linalg.norm(soft))
    if len(issued) == 0 or length == 0.0:
        return
    closeness = words @ (soft / length).astype(np.float32)
    for row in np.flatnonzero(closeness >= _MATCHED):
        yield Reading(issued[int(row)], _agreement(soft, words[row]), checked=False)


def _tiles(photo: Image.Image, key: bytes) -> Iterator[NDArray[np.float64]]:
    """Tiles that may be ours: folded from all of the picture, turned and shifted to where the known cells fit."""
    grey = _grey(photo)
    if min(grey.shape) < _SMALLEST:
        return
    found = residue(grey)
    sync = layout(key).sync
    for lattice in find_lattices(found):
        likely: list[tuple[float, NDArray[np.float64]]] = []
        for homography in orientations(lattice):
            folded = _fold(found, homography)
            if folded is not None:
                # Upside down, and as the negative that a dark mode makes of a page, it lies on the same cells.
                upright = (folded, np.rot90(folded, 2))
                likely += [each for tile in upright for sign in (1.0, -1.0) for each in _in_step(sign * tile, sync)]
        for _, tile in sorted(likely, key=lambda item: -item[0])[:4]:
            yield tile


def _grey(photo: Image.Image) -> NDArray[np.uint8]:
    grey = np.asarray(photo.convert("L"))
    ratio = _LARGEST / max(grey.shape)
    if ratio < 1.0:
        grey = np.asarray(cv2.resize(grey, None, fx=ratio, fy=ratio, interpolation=cv2.INTER_AREA))
    return np.ascontiguousarray(grey, dtype=np.uint8)


def _fold(found: Residue, homography: Matrix) -> NDArray[np.float64] | None:
    """The mean of each of a tile's cells over the picture, shape (SIDE, SIDE); rows and columns count from anywhere."""
    height, width = found.values.shape
    corners = np.array([[[0, 0]], [[width, 0]], [[width, height]], [[0, height]]], dtype=np.float64)
    placed = cv2.perspectiveTransform(corners, homography)[:, 0]
    low, high = np.floor(placed.min(axis=0)).astype(int), np.ceil(placed.max(axis=0)).astype(int)
    columns, rows = (int(n) for n in high - low)
    if not (4 <= columns <= 400 and 4 <= rows <= 400):
        return None
    # Pixel centres are at whole numbers in the picture and at halves in the samples.
    scale = np.array([[_SAMPLES, 0, -low[0] * _SAMPLES - 0.5], [0, _SAMPLES, -low[1] * _SAMPLES - 0.5], [0, 0, 1.0]])
    size = (columns * _SAMPLES, rows * _SAMPLES)
    flags = cv2.INTER_LINEAR
    values = cv2.warpPerspective(found.values, scale @ homography, size, flags=flags)
    known = cv2.warpPerspective(found.known, scale @ homography, size, flags=flags)
    values = _without_rows(np.asarray(values, dtype=np.float32), np.asarray(known, dtype=np.float32))
    sums = values.reshape(rows, _SAMPLES, columns, _SAMPLES).sum(axis=(1, 3), dtype=np.float64)
    weights = known.reshape(rows, _SAMPLES, columns, _SAMPLES).sum(axis=(1, 3), dtype=np.float64)
    means = np.where(weights > _SAMPLES, sums / np.maximum(weights, 1.0), 0.0)
    limit = 2.0 * float(np.sqrt(np.mean(means[weights > _SAMPLES] ** 2))) if (weights > _SAMPLES).any() else 0.0
    means = np.clip(means, -limit, limit)
    up, across = -(-rows // SIDE) * SIDE, -(-columns // SIDE) * SIDE
    total, weight = np.zeros((up, across)), np.zeros((up, across))
    total[:rows, :columns], weight[:rows, :columns] = means * weights, weights
    folded = total.reshape(-1, SIDE, across // SIDE, SIDE).sum(axis=(0, 2))
    share = weight.reshape(-1, SIDE, across // SIDE, SIDE).sum(axis=(0, 2))
    return np.asarray(folded / np.sqrt(np.maximum(share, 1.0)))


def _without_rows(values: NDArray[np.float32], known: NDArray[np.float32]) -> NDArray[np.float32]:
    """Samples less the mean of a tile's width about them in their row.

    The stripes of a table may have the same place in one tile after the other, so that folding gathers them as it gathers the
    mark; they run as rows of cells do. The mark loses the mean of a row of cells by it, a part in `SIDE` of its energy.
    """
    across = (_SAMPLES * SIDE + 1, 1)
    sums = cv2.blur(values * known, across, borderType=cv2.BORDER_CONSTANT)
    weights = cv2.blur(known, across, borderType=cv2.BORDER_CONSTANT)
    return np.asarray((values - sums / np.maximum(weights, 0.01)) * known, dtype=np.float32)


def _in_step(folded: NDArray[np.float64], sync: NDArray[np.float64]) -> list[tuple[float, NDArray[np.float64]]]:
    """The folded tile shifted to the places where the known cells fit best, with how well they do."""
    length = float(np.sqrt(np.mean(folded * folded)))
    if length == 0.0:
        return []
    product = np.fft.ifft2(np.fft.fft2(folded) * np.conj(np.fft.fft2(sync))).real / length / float(np.linalg.norm(sync))
    out = []
    for place in np.argsort(product.ravel())[::-1][:2]:
        row, column = divmod(int(place), SIDE)
        if product[row, column] >= _IN_STEP:
            out.append((float(product[row, column]), np.roll(folded, (-row, -column), axis=(0, 1))))
    return out
