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
_WINDOW: Final = 450
_THIN: Final = 3
"""Pixels along an axis that become one before a window's spectrum is taken."""
_SCALES: Final = (0.42, 2.0)
_PEAKS: Final = 10
_LEANING: Final = 24.0
_EARLY: Final = 40
_AGREEING: Final = 0.4
"""The share of phases that must agree on one grid; looked at after `_EARLY` of them, since most pictures are not ours."""
_NODES: Final = 700
_FEWEST: Final = 9
_BATCH: Final = 128
_SETTLED: Final = 0.7
"""Where so many phases agree with the grid that we have, there is nothing to draw lots about."""
_DRAWS: Final = 400
"""Of four phases each: where two in five agree, ten of them are good."""


@dataclass(frozen=True, slots=True)
class Residue:
    """The shading of a picture: `values` are grey levels about zero, `known` is 1 where they can be trusted, else 0.

    `halved` and `halved_known` are the same with four pixels in one.
    """

    values: Grey
    known: Grey
    halved: Grey
    halved_known: Grey


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
    height, width = (side // 2 * 2 for side in flat.shape)
    halved, halved_known = (
        np.asarray(cv2.resize(part[:height, :width], (width // 2, height // 2), interpolation=cv2.INTER_AREA), dtype=np.float32)
        for part in (flat, known)
    )
    return Residue(values=flat, known=known, halved=halved, halved_known=halved_known)


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
    side = min(_WINDOW, height, width) // _THIN * _THIN
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
    """Power in half of the plane, over what is usual near each frequency; and the transform's size.

    The gratings are slow waves: a third of the pixels along each axis holds them as well as all do.
    """
    side = len(window) // _THIN
    thin = cv2.resize(window, (side, side), interpolation=cv2.INTER_AREA)
    size = 2 * _WINDOW // _THIN
    padded = cv2.copyMakeBorder(thin, 0, size - side, 0, size - side, cv2.BORDER_CONSTANT, value=0.0)
    waves = cv2.dft(padded, flags=cv2.DFT_COMPLEX_OUTPUT, nonzeroRows=side)[:, : size // 2 + 1]
    power = np.fft.fftshift(np.square(waves).sum(axis=2), axes=0)
    usual = cv2.blur(power, (41, 41)) + 1e-6
    return power / usual, size


def _pairs(power: Grey, size: int) -> list[tuple[Vector, Vector, float]]:
    """Peaks in the ring of possible frequencies that go together as our gratings do, the clearest first.

    Rows of a table and the visible mark have strong rhythms along the page's edges and none along its diagonals, so only what
    runs within `_LEANING` of a diagonal of the picture counts; that is also how far a picture may be turned from upright.
    """
    unit = size * _THIN
    rows = (np.arange(size) - size // 2)[:, None] / unit
    columns = np.arange(power.shape[1])[None, :] / unit
    radius = np.hypot(rows, columns)
    nominal = np.sqrt(2.0) / PERIOD
    leaning = np.abs(np.degrees(np.arctan2(np.abs(rows), np.maximum(columns, 1e-9))) - 45.0)
    ring = np.where((radius > nominal / _SCALES[1]) & (radius < nominal / _SCALES[0]) & (leaning < _LEANING), power, 0.0)
    peaks: list[tuple[float, Vector]] = []
    for _ in range(_PEAKS):
        row, column = divmod(int(ring.argmax()), ring.shape[1])
        peaks.append((float(ring[row, column]), np.array([column / unit, (row - size // 2) / unit])))
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
    model[:2, 2] += _first_phase(found, nodes[:_FEWEST], model, round(reach))
    pixels, cycles, _ = _measure(found, nodes, model, round(reach), refit=True)
    if len(pixels) < _FEWEST or _explained(pixels, cycles, grown := _fit(pixels, cycles, model)) < _AGREEING:
        return None
    # Once more with all of the picture known: what was followed into the wrong cycle falls into place.
    pixels, cycles, clear = _measure(found, nodes, grown, round(reach), refit=False)
    if len(pixels) < _FEWEST:
        return None
    return Lattice(homography=_fit(pixels, cycles, grown), quality=clear)


def _first_phase(found: Residue, nearest: Matrix, model: Matrix, reach: int) -> Vector:
    """What phases round the seed are beyond the model's, in cycles. Without it, half of them may lie a cycle off."""
    if len(nearest) == 0:
        return np.zeros(2)
    got = _phases(found, model, nearest, reach)
    placed = cv2.perspectiveTransform(nearest[:, None], model)[:, 0]
    mean = (got.clear[:, None] * np.exp(2j * np.pi * (got.cycles - placed))).sum(axis=0)
    return np.asarray(np.angle(mean) / (2.0 * np.pi))


def _measure(found: Residue, nodes: Matrix, model: Matrix, reach: int, *, refit: bool) -> tuple[Matrix, Matrix, float]:
    """Pixels, the phases there in cycles, and how clear they are on average; the model grows with them if it may."""
    pixels, cycles, clear = np.empty((0, 2)), np.empty((0, 2)), np.empty(0)
    start, next_fit = 0, 6
    while start < len(nodes):
        some = nodes[start : start + (max(next_fit - len(pixels), _FEWEST) if refit else _BATCH)]
        start += len(some)
        got = _phases(found, model, some, reach)
        pixels, cycles = np.vstack([pixels, some[got.clear >= _CLEAR]]), np.vstack([cycles, got.cycles[got.clear >= _CLEAR]])
        clear = np.append(clear, got.clear[got.clear >= _CLEAR])
        if refit and len(pixels) >= next_fit:
            model = _fit(pixels, cycles, model)
            next_fit = max(next_fit + 4, int(next_fit * 1.3))
            if len(pixels) >= _EARLY and _explained(pixels, cycles, model) < _AGREEING:
                break
    return pixels, cycles, float(np.mean(clear)) if len(clear) else 0.0


def _good(pixels: Matrix, cycles: Matrix, model: Matrix) -> NDArray[np.bool_]:
    """Which phases were measured where the model puts them; of chance's, a tenth are."""
    placed = cv2.perspectiveTransform(pixels[:, None], model)[:, 0]
    return np.asarray(np.abs(placed - cycles).max(axis=1) < 0.15)


def _explained(pixels: Matrix, cycles: Matrix, model: Matrix) -> float:
    return float(_good(pixels, cycles, model).mean())


def _nodes(found: Residue, centre: tuple[float, float], step: float, reach: int) -> Matrix:
    """Places where phases are taken, from the centre outwards, shape (n, 2)."""
    height, width = found.values.shape
    step = max(step, float(np.sqrt(height * width / _NODES)))
    xs = np.arange(centre[0] % step, width, step)
    ys = np.arange(centre[1] % step, height, step)
    xs, ys = xs[(xs >= reach) & (xs < width - reach)], ys[(ys >= reach) & (ys < height - reach)]
    inside = np.stack(np.meshgrid(xs, ys), axis=-1).reshape(-1, 2)
    return np.asarray(inside[np.argsort(((inside - centre) ** 2).sum(axis=1), kind="stable")])


@dataclass(frozen=True, slots=True)
class _Phases:
    """Both phases at some places, in cycles and nearest to what was expected; and how clear they are (0: not to be seen)."""

    cycles: Matrix
    clear: Vector


def _phases(found: Residue, model: Matrix, nodes: Matrix, reach: int) -> _Phases:
    """Phases at these places, all at once, on half of the pixels along each axis."""
    values, known, inside = _windows(found, nodes, reach // 2)
    size = values.shape[1]
    projected = np.column_stack([nodes, np.ones(len(nodes))]) @ model.T
    place = projected[:, :2] / projected[:, 2:]
    gradient = (model[None, :2, :2] - place[:, :, None] * model[None, None, 2, :2]) / projected[:, 2:, None]
    taper = np.hanning(size + 2)[1:-1].astype(np.float32)
    # Samples lie at 2n + 1/2; both waves' phases count from the node itself.
    offset = (
        2.0 * (np.arange(size)[None] + inside[:, :1]) + 0.5 - nodes[:, :1],
        (2.0 * (np.arange(size)[None] + inside[:, 1:]) + 0.5 - nodes[:, 1:]),
    )
    across, down = (
        taper[None, :, None] * np.exp(-2j * np.pi * offset[axis][:, :, None] * gradient[:, None, :, axis]) for axis in (0, 1)
    )
    # Real and imaginary parts side by side: products of real matrices.
    half = values @ np.concatenate([across.real, across.imag], axis=2).astype(np.float32)
    waves = (down * (half[:, :, :2] + 1j * half[:, :, 2:])).sum(axis=1)
    loudest = ((values * values) @ taper @ taper).astype(np.float64) * (known @ taper @ taper)
    clear = np.abs(waves).min(axis=1) / np.sqrt(np.maximum(loudest, 1e-9))
    clear[known.mean(axis=(1, 2)) < 0.3] = 0.0
    phases = np.angle(waves) / (2.0 * np.pi)
    return _Phases(phases + np.round(place - phases), clear)


def _windows(found: Residue, nodes: Matrix, reach: int) -> tuple[Grey, Grey, NDArray[np.intp]]:
    """Square windows of 2 · reach + 1 halved samples about the nodes, pushed inside, and where they begin (column, row)."""
    side = 2 * reach + 1
    middles = np.rint((nodes - 0.5) / 2.0).astype(np.intp)
    height, width = found.halved.shape
    begin = np.clip(middles - reach, 0, np.array([width - side, height - side]))
    windows = np.lib.stride_tricks.sliding_window_view(found.halved, (side, side))[begin[:, 1], begin[:, 0]]
    known = np.lib.stride_tricks.sliding_window_view(found.halved_known, (side, side))[begin[:, 1], begin[:, 0]]
    return np.ascontiguousarray(windows), np.ascontiguousarray(known), begin


def _fit(pixels: Matrix, cycles: Matrix, model: Matrix) -> Matrix:
    """The homography that explains the phases; an affine map while there are few; what does not fit is left out."""
    if len(pixels) < 36:
        affine, _ = cv2.estimateAffine2D(pixels, cycles, method=cv2.RANSAC, ransacReprojThreshold=0.12)
        return model if affine is None else np.vstack([affine, [0.0, 0.0, 1.0]])
    good = _good(pixels, cycles, model)
    if good.mean() >= _SETTLED:
        homography, _ = cv2.findHomography(pixels[good], cycles[good], 0)
    else:
        homography, _ = cv2.findHomography(pixels, cycles, cv2.RANSAC, 0.12, maxIters=_DRAWS)
    return model if homography is None else np.asarray(homography, dtype=np.float64)


def orientations(lattice: Lattice) -> Iterator[Matrix]:
    """Two ways to hold the grid, a quarter turn apart: homographies from pixels to (column, row), in cells. The other two are
    these upside down, on the same cells.

    A grating that is looked at from behind is its own negative, which is half a cycle: hence the halves.
    """
    half = np.array([[1.0, 0.0, 0.5], [0.0, 1.0, 0.5], [0.0, 0.0, 1.0]])
    to_cells = np.array([[1.0, 1.0, 0.0], [1.0, -1.0, 0.0], [0.0, 0.0, 1.0]]) * np.array(
        [[PERIOD / 2 / CELL], [PERIOD / 2 / CELL], [1.0]]
    )
    # The phase of a sine is a quarter of a cycle behind that of the wave that we measured.
    quarter = np.array([[1.0, 0.0, 0.25], [0.0, 1.0, 0.25], [0.0, 0.0, 1.0]])
    measured = quarter @ lattice.homography
    for (a, b), (c, d) in (((1, 0), (0, 1)), ((0, -1), (1, 0))):
        turn = np.array([[a, b, 0.0], [c, d, 0.0], [0.0, 0.0, 1.0]])
        shift = half.copy()
        shift[0, 2] *= float(a + b < 0)
        shift[1, 2] *= float(c + d < 0)
        yield to_cells @ shift @ turn @ measured
