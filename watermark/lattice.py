"""Finding the cells' grid in a picture by the two gratings alone: no original, no corners, no text is needed.

`residue` takes away what a page shows and leaves the shading; `find_lattices` looks for two peaks that belong together in the
spectrum of a part of it, and follows their phases over the whole picture. Phases are positions: they give the homography from
the picture to the grid, up to whole cells and quarter turns, which the known cells decide later.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from watermark.pattern import CELL, PERIOD

Grey = NDArray[np.float32]
Matrix = NDArray[np.float64]
Vector = NDArray[np.float64]

_BACKGROUND: Final = 61
"""Pixels of the median's window. The shading must be fine in it and a stroke of text thin."""
_SHADING: Final = 13.0
"""What differs more from its surroundings than this is text or a line, and tells nothing."""
_CLEAR: Final = 0.06
"""The share of a window's energy, as an amplitude, below which its phase is chance."""
_WINDOW: Final = 448
_SCALES: Final = (0.42, 2.0)
_PEAKS: Final = 10
_LEANING: Final = 24.0
_EARLY: Final = 40
_AGREEING: Final = 0.4
"""The share of phases that must agree on one grid; looked at after `_EARLY` of them, since most pictures are not ours."""
_NODES: Final = 700
_FEWEST: Final = 9


@dataclass(frozen=True, slots=True)
class Residue:
    """The shading of a picture: `values` are grey levels about zero, `known` is 1 where they can be trusted, else 0."""

    values: Grey
    known: Grey


@dataclass(frozen=True, slots=True)
class Lattice:
    """`homography` takes a pixel to (column, row) in cells, in some orientation; `quality`, 0–1, is how clear its waves are."""

    homography: Matrix
    quality: float


def residue(grey: NDArray[np.uint8]) -> Residue:
    """Take the page away from a grey picture."""
    background = cv2.medianBlur(grey, min(_BACKGROUND, (min(grey.shape) - 1) | 1))
    difference: Grey = grey.astype(np.float32) - background.astype(np.float32)
    # The grain of a photo must not be taken for text.
    difference = np.asarray(cv2.GaussianBlur(difference, (0, 0), 1.2), dtype=np.float32)
    loud = (np.abs(difference) > _SHADING).astype(np.uint8)
    known = (1 - cv2.dilate(loud, np.ones((3, 3), np.uint8))).astype(np.float32)
    mean = cv2.blur(difference * known, (_BACKGROUND, _BACKGROUND))
    weight = cv2.blur(known, (_BACKGROUND, _BACKGROUND))
    flat = ((difference - mean / np.maximum(weight, 0.05)) * known).astype(np.float32)
    return Residue(values=flat, known=known)


def find_lattices(found: Residue, *, tries: int = 6) -> Iterator[Lattice]:
    """Grids that the picture may carry, the likeliest first; each is to be proved by the known cells."""
    failed: list[_Seed] = []
    for seed in sorted(_seeds(found), key=lambda seed: -seed.score):
        if len(failed) >= tries or sum(seed.resembles(other) for other in failed) >= 2:
            continue
        if (lattice := _follow(found, seed)) is not None:
            yield lattice
        # Whoever still asks could not use it.
        failed.append(seed)


@dataclass(frozen=True, slots=True)
class _Seed:
    """Two wave vectors (cycles a pixel) seen round a centre."""

    centre: tuple[float, float]
    first: Vector
    second: Vector
    score: float

    def resembles(self, other: "_Seed") -> bool:
        """Whether both speak of the same waves, whatever the place."""
        apart = np.hypot(*(self.first - other.first)) + np.hypot(*(self.second - other.second))
        return bool(apart < 0.15 * np.hypot(*self.first))


def _seeds(found: Residue) -> Iterator[_Seed]:
    height, width = found.values.shape
    side = min(_WINDOW, height, width)
    hann = np.outer(np.hanning(side), np.hanning(side)).astype(np.float32)
    places = sorted(_starts(height, width, side), key=lambda at: -_share(found, at, side))
    for top, left in places[:10]:
        window = found.values[top : top + side, left : left + side] * hann
        centre = (left + (side - 1) / 2, top + (side - 1) / 2)
        for first, second, score in _pairs(*_spectrum(window)):
            yield _Seed(centre, first, second, score)


def _starts(height: int, width: int, side: int) -> list[tuple[int, int]]:
    def along(length: int) -> list[int]:
        count = 1 + int(np.ceil((length - side) / (side / 2) - 0.25))
        return sorted({round(at) for at in np.linspace(0, length - side, count)})

    return [(top, left) for top in along(height) for left in along(width)]


def _share(found: Residue, at: tuple[int, int], side: int) -> float:
    return float(found.known[at[0] : at[0] + side, at[1] : at[1] + side].mean())


def _spectrum(window: Grey) -> tuple[Grey, int]:
    """Power in half of the plane, over what is usual near each frequency; and the transform's size."""
    size = 2 * _WINDOW
    padded = cv2.copyMakeBorder(window, 0, size - window.shape[0], 0, size - window.shape[1], cv2.BORDER_CONSTANT, value=0.0)
    waves = cv2.dft(padded, flags=cv2.DFT_COMPLEX_OUTPUT, nonzeroRows=window.shape[0])[:, : size // 2 + 1]
    power = np.fft.fftshift(np.square(waves).sum(axis=2), axes=0)
    usual = cv2.blur(power, (41, 41)) + 1e-6
    return power / usual, size


def _pairs(power: Grey, size: int) -> list[tuple[Vector, Vector, float]]:
    """Peaks in the ring of possible frequencies that go together as our gratings do, the clearest first.

    Rows of a table and the visible mark have strong rhythms along the page's edges and none along its diagonals, so only what
    runs within `_LEANING` of a diagonal of the picture counts; that is also how far a picture may be turned from upright.
    """
    rows = (np.arange(size) - size // 2)[:, None] / size
    columns = np.arange(power.shape[1])[None, :] / size
    radius = np.hypot(rows, columns)
    nominal = np.sqrt(2.0) / PERIOD
    leaning = np.abs(np.degrees(np.arctan2(np.abs(rows), np.maximum(columns, 1e-9))) - 45.0)
    ring = np.where((radius > nominal / _SCALES[1]) & (radius < nominal / _SCALES[0]) & (leaning < _LEANING), power, 0.0)
    peaks: list[tuple[float, Vector]] = []
    for _ in range(_PEAKS):
        row, column = divmod(int(ring.argmax()), ring.shape[1])
        peaks.append((float(ring[row, column]), np.array([column / size, (row - size // 2) / size])))
        ring[max(0, row - 6) : row + 7, max(0, column - 6) : column + 7] = 0.0
    pairs: list[tuple[Vector, Vector, float]] = []
    for i, (strong, a) in enumerate(peaks):
        for weak, b in peaks[i + 1 :]:
            lengths = float(np.hypot(*a)), float(np.hypot(*b))
            cross = float(a[0] * b[1] - a[1] * b[0]) / max(lengths[0] * lengths[1], 1e-12)
            if 0.7 < lengths[0] / max(lengths[1], 1e-9) < 1.43 and abs(cross) > 0.85:
                # One handedness: a picture may be turned, but it is not taken through a mirror.
                pairs.append((a, b if cross < 0 else -b, float(np.sqrt(strong * weak))))
    return sorted(pairs, key=lambda pair: -pair[2])[:2]


def _follow(found: Residue, seed: _Seed) -> Lattice | None:
    """Follow both phases outwards from the seed, fitting as we go; `None` when too little of the picture agrees."""
    reach = 2.4 / float(np.hypot(*seed.first))
    step = reach / 1.6
    nodes = _nodes(found, seed.centre, step, round(reach))
    model = np.array([[*seed.first, 0.0], [*seed.second, 0.0], [0.0, 0.0, 1.0]])
    model[:2, 2] = -model[:2, :2] @ np.array(seed.centre)
    pixels, cycles, _ = _measure(found, nodes, model, round(reach), refit=True)
    if len(pixels) < _FEWEST or _explained(pixels, cycles, grown := _fit(pixels, cycles, model)) < _AGREEING:
        return None
    # Once more with all of the picture known: what was followed into the wrong cycle falls into place.
    pixels, cycles, clear = _measure(found, nodes, grown, round(reach), refit=False)
    if len(pixels) < _FEWEST:
        return None
    return Lattice(homography=_fit(pixels, cycles, grown), quality=clear)


def _measure(
    found: Residue, nodes: list[tuple[float, float]], model: Matrix, reach: int, *, refit: bool
) -> tuple[Matrix, Matrix, float]:
    """Pixels, the phases there in cycles, and how clear they are on average; the model grows with them if it may."""
    pixels: list[tuple[float, float]] = []
    cycles: list[tuple[float, float]] = []
    clear: list[float] = []
    next_fit = 6
    for node in nodes:
        if (got := _phases(found, model, node, reach)) is None:
            continue
        pixels.append(node)
        cycles.append(got[:2])
        clear.append(got[2])
        if refit and len(pixels) >= next_fit:
            model = _fit(np.array(pixels), np.array(cycles), model)
            next_fit = max(next_fit + 4, int(next_fit * 1.3))
            if len(pixels) >= _EARLY and _explained(np.array(pixels), np.array(cycles), model) < _AGREEING:
                break
    return np.array(pixels), np.array(cycles), float(np.mean(clear)) if clear else 0.0


def _explained(pixels: Matrix, cycles: Matrix, model: Matrix) -> float:
    """The share of phases that the model puts where they were measured; chance alone would reach a tenth."""
    placed = cv2.perspectiveTransform(pixels[:, None], model)[:, 0]
    return float(np.mean(np.abs(placed - cycles).max(axis=1) < 0.15))


def _nodes(found: Residue, centre: tuple[float, float], step: float, reach: int) -> list[tuple[float, float]]:
    height, width = found.values.shape
    step = max(step, float(np.sqrt(height * width / _NODES)))
    xs = np.arange(centre[0] % step, width, step)
    ys = np.arange(centre[1] % step, height, step)
    inside = [(x, y) for y in ys for x in xs if reach <= x < width - reach and reach <= y < height - reach]
    return sorted(inside, key=lambda at: (at[0] - centre[0]) ** 2 + (at[1] - centre[1]) ** 2)


def _project(model: Matrix, at: tuple[float, float]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where the model puts a pixel, in cycles, and how that changes with the pixel (2 × 2)."""
    u, v, w = model @ np.array([at[0], at[1], 1.0])
    place = np.array([u, v]) / w
    gradient = (model[:2, :2] - np.outer(place, model[2, :2])) / w
    return place, gradient


def _phases(found: Residue, model: Matrix, at: tuple[float, float], reach: int) -> tuple[float, float, float] | None:
    """Both phases at a pixel, in cycles and nearest to what the model expects; and how clear they are."""
    place, gradient = _project(model, at)
    left, top = round(at[0]) - reach, round(at[1]) - reach
    values = found.values[top : top + 2 * reach + 1, left : left + 2 * reach + 1]
    known = found.known[top : top + 2 * reach + 1, left : left + 2 * reach + 1]
    if values.shape != (2 * reach + 1, 2 * reach + 1) or known[::4, ::4].mean() < 0.3:
        return None
    offset = np.arange(-reach, reach + 1)
    taper = np.hanning(2 * reach + 3)[1:-1].astype(np.float32)
    turns = -2.0 * np.pi * gradient
    across, down = (np.exp(1j * np.outer(offset + round(at[axis]) - at[axis], turns[:, axis])) for axis in (0, 1))
    # Real and imaginary parts side by side: one small product of real matrices.
    half = values @ (taper[:, None] * np.hstack([across.real, across.imag])).astype(np.float32)
    waves = (taper[:, None] * down * (half[:, :2] + 1j * half[:, 2:])).sum(axis=0)
    weights = np.outer(taper, taper)
    loudest = float((values * values * weights).sum()) * float((known * weights).sum())
    clear = float(np.abs(waves).min() / np.sqrt(max(loudest, 1e-9)))
    if clear < _CLEAR:
        return None
    phases = np.angle(waves) / (2.0 * np.pi)
    first, second = phases + np.round(place - phases)
    return float(first), float(second), clear


def _fit(pixels: Matrix, cycles: Matrix, model: Matrix) -> Matrix:
    """The homography that explains the phases; an affine map while there are few; what does not fit is left out."""
    if len(pixels) < 36:
        affine, _ = cv2.estimateAffine2D(pixels, cycles, method=cv2.RANSAC, ransacReprojThreshold=0.12)
        return model if affine is None else np.vstack([affine, [0.0, 0.0, 1.0]])
    homography, _ = cv2.findHomography(pixels, cycles, cv2.RANSAC, 0.12)
    return model if homography is None else np.asarray(homography, dtype=np.float64)


def orientations(lattice: Lattice) -> Iterator[Matrix]:
    """The four ways to hold the grid: homographies from pixels to (column, row), in cells.

    A grating that is looked at from behind is its own negative, which is half a cycle: hence the halves.
    """
    half = np.array([[1.0, 0.0, 0.5], [0.0, 1.0, 0.5], [0.0, 0.0, 1.0]])
    to_cells = np.array([[1.0, 1.0, 0.0], [1.0, -1.0, 0.0], [0.0, 0.0, 1.0]]) * np.array(
        [[PERIOD / 2 / CELL], [PERIOD / 2 / CELL], [1.0]]
    )
    # The phase of a sine is a quarter of a cycle behind that of the wave that we measured.
    quarter = np.array([[1.0, 0.0, 0.25], [0.0, 1.0, 0.25], [0.0, 0.0, 1.0]])
    measured = quarter @ lattice.homography
    for (a, b), (c, d) in (((1, 0), (0, 1)), ((0, -1), (1, 0)), ((-1, 0), (0, -1)), ((0, 1), (-1, 0))):
        turn = np.array([[a, b, 0.0], [c, d, 0.0], [0.0, 0.0, 1.0]])
        shift = half.copy()
        shift[0, 2] *= float(a + b < 0)
        shift[1, 2] *= float(c + d < 0)
        yield to_cells @ shift @ turn @ measured
