"""How a word looks on a page: a tile of shaded cells, the same all over the page, and two faint gratings to find the grid by.

A tile is `SIDE` × `SIDE` cells of `CELL` pixels. A quarter of the cells is known (under the key) and says where a tile begins;
the others carry the word's signs. The gratings run along the diagonals, where neither lines of text nor rows of a table have
a rhythm of their own; they cross zero in every cell's middle, so that a cell's mean knows nothing of them.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from watermark.code import CODED_BITS, encode, stream

CELL: Final = 16
SIDE: Final = 24
PERIOD: Final = 2 * CELL
"""The gratings' period along either axis, in pixels: `sin(2π (x + y) / PERIOD)` and `sin(2π (x − y) / PERIOD)`."""
_SYNC_CELLS: Final = SIDE * SIDE // 4
_SHADE: Final = 2.4
_GRATING: Final = 1.2


@dataclass(frozen=True, slots=True)
class Layout:
    """Which cell of a tile means what. `sync` holds ±1 in known cells and 0 elsewhere, shape (SIDE, SIDE).

    `cells` are the flat places of the others, `bits` the coded bit that each carries, `signs` the sign that it is hidden under.
    """

    sync: NDArray[np.float64]
    cells: NDArray[np.intp]
    bits: NDArray[np.intp]
    signs: NDArray[np.float64]

    def gather(self, tile: NDArray[np.float64]) -> NDArray[np.float64]:
        """Soft coded bits from a tile's cells."""
        gathered = np.bincount(self.bits, tile.ravel()[self.cells] * self.signs, minlength=CODED_BITS)
        return gathered.astype(np.float64)


@lru_cache(maxsize=8)
def layout(key: bytes) -> Layout:
    """The layout under a key; it never changes, since pages that left the house are read by it."""
    order = np.argsort(np.frombuffer(stream(key, "order", SIDE * SIDE * 8), dtype=">u8"), kind="stable")
    coins = np.frombuffer(stream(key, "signs", SIDE * SIDE), dtype=np.uint8) & 1
    signs = (1.0 - 2.0 * coins).astype(np.float64)
    sync = np.zeros(SIDE * SIDE)
    sync[order[:_SYNC_CELLS]] = signs[:_SYNC_CELLS]
    cells = order[_SYNC_CELLS:].astype(np.intp)
    bits = np.arange(len(cells)) % CODED_BITS
    return Layout(sync=sync.reshape(SIDE, SIDE), cells=cells, bits=bits.astype(np.intp), signs=signs[_SYNC_CELLS:])


@lru_cache(maxsize=1)
def _gratings() -> NDArray[np.float32]:
    at = np.arange(SIDE * CELL) + 0.5
    x, y = at[None, :], at[:, None]
    turn = 2.0 * np.pi / PERIOD
    return (_GRATING * (np.sin(turn * (x + y)) + np.sin(turn * (x - y)))).astype(np.float32)


def shading(key: bytes, view_id: int) -> NDArray[np.int8]:
    """One tile of the page's shading in grey levels, shape (SIDE · CELL, SIDE · CELL)."""
    places = layout(key)
    chips = places.sync.ravel().copy()
    chips[places.cells] = encode(key, view_id)[places.bits] * places.signs
    side = SIDE * CELL
    cells = cv2.resize((chips * _SHADE).reshape(SIDE, SIDE).astype(np.float32), (side, side), interpolation=cv2.INTER_NEAREST)
    wrapped = cv2.copyMakeBorder(cells, CELL, CELL, CELL, CELL, cv2.BORDER_WRAP)
    # Soft edges: less to see, and less for a codec to smear.
    soft = cv2.GaussianBlur(wrapped, (0, 0), 2.0)[CELL:-CELL, CELL:-CELL]
    return np.asarray(np.rint(soft + _gratings()), dtype=np.int8)
