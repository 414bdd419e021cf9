"""Pictures for studies, made here: a chest film and axial chest CT, with and without pneumonia. Phantoms, nobody's body."""

import io
from functools import lru_cache, reduce
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from simulators.hospital.dicom import CR_SIZE, CT_SIZE

Plane = NDArray[Any]


def _plane(values: Any) -> Plane:
    return np.asarray(values, dtype=np.float32)


def _grid(size: tuple[int, int]) -> tuple[Plane, Plane]:
    """x and y from -1 to 1."""
    width, height = size
    ys, xs = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    return xs.astype(np.float32), ys.astype(np.float32)


def _ellipse(xs: Plane, ys: Plane, x: float, y: float, a: float, b: float, *, turn: float = 0.0, soft: float = 0.06) -> Plane:
    """1 within, 0 without, a soft edge between. Reckoned only where it is not 0 for certain: most of them are small."""
    cos, sin = np.cos(turn), np.sin(turn)
    reach = (1 + soft) * (max(abs(a), abs(b)) + 0.01)
    rows = slice(*np.searchsorted(ys[:, 0], (y - reach, y + reach)))
    columns = slice(*np.searchsorted(xs[0], (x - reach, x + reach)))
    near_x, near_y = xs[rows, columns], ys[rows, columns]
    u, v = (near_x - x) * cos + (near_y - y) * sin, -(near_x - x) * sin + (near_y - y) * cos
    r = np.sqrt((u / a) ** 2 + (v / b) ** 2)
    plane = np.zeros_like(xs)
    plane[rows, columns] = np.clip((1 + soft - r) / (2 * soft), 0, 1)
    return plane


def _clouds(seed: int, size: tuple[int, int], grain: int) -> Plane:
    """Smooth noise round 0."""
    chance = np.random.default_rng(seed)
    small = chance.normal(0, 1, (max(2, size[1] // grain), max(2, size[0] // grain))).astype(np.float32)
    image = Image.fromarray(small, mode="F").resize(size, Image.Resampling.BICUBIC)
    cloud: Plane = np.asarray(image, dtype=np.float32)
    return cloud


def _seed(*parts: object) -> int:
    return int.from_bytes(sha256("/".join(map(str, parts)).encode()).digest()[:6], "big")


def chest_film(study_id: str, look: str) -> Image.Image:
    """A chest film from the front; bright is dense. 0.57 mm a pixel."""
    xs, ys = _grid(CR_SIZE)
    seed = _seed(study_id)
    turn = (seed % 100 / 100 - 0.5) * 0.03
    body = _ellipse(xs, ys, 0, 0.35, 0.93, 1.55, soft=0.04)
    neck = _ellipse(xs, ys, 0, -1.0, 0.26, 0.42)
    image = 0.08 + 0.62 * np.maximum(body, neck) * (0.86 + 0.12 * np.clip(ys, -1, 1))
    right = _lung(xs, ys, -0.42, turn)
    left = _lung(xs, ys, 0.42, -turn)
    lungs = np.clip(right + left, 0, 1)
    image -= 0.5 * lungs * (0.92 - 0.16 * np.clip(ys + 0.2, -1, 1))
    image = _ribs(image, xs, ys, lungs)
    image += 0.2 * _ellipse(xs, ys, 0, 0.1, 0.075, 1.3, soft=0.25)
    image += 0.3 * _ellipse(xs, ys, 0.13, 0.36, 0.34, 0.36, turn=0.55, soft=0.1)
    image += 0.17 * _ellipse(xs, ys, 0.03, -0.06, 0.14, 0.33, soft=0.2)
    image -= 0.12 * _ellipse(xs, ys, 0, -0.62, 0.045, 0.42, soft=0.3)
    image = _vessels(image, lungs, seed)
    for side in (-1, 1):
        image += 0.16 * _ellipse(xs, ys, side * 0.45, -0.79, 0.42, 0.022, turn=side * -0.16, soft=0.5)
    if look == "pneumonia":
        patch = _ellipse(xs, ys, -0.44, 0.4, 0.27, 0.2, turn=0.3, soft=0.55)
        image += patch * lungs * (0.3 + 0.1 * _clouds(seed + 5, CR_SIZE, 20))
        image += 0.13 * _ellipse(xs, ys, -0.62, 0.72, 0.24, 0.1, soft=0.8)
    image += 0.012 * np.random.default_rng(seed).normal(0, 1, image.shape).astype(np.float32)
    film = Image.fromarray((np.clip(image, 0, 1) ** 0.92 * 255).astype(np.uint8), mode="L")
    ImageDraw.Draw(film).text((CR_SIZE[0] - 52, 28), "L", fill=235, font_size=38)
    return film


def _lung(xs: Plane, ys: Plane, x: float, turn: float) -> Plane:
    upper = _ellipse(xs, ys, x * 0.88, -0.18, 0.3, 0.6, turn=turn + (0.12 if x < 0 else -0.12), soft=0.05)
    lower = _ellipse(xs, ys, x * 1.08, 0.3, 0.36, 0.42, soft=0.05)
    dome = _ellipse(xs, ys, x, 0.98, 0.46, 0.42 if x > 0 else 0.47, soft=0.04)
    return _plane(np.clip(np.maximum(upper, lower) - dome, 0, 1))


def _ribs(image: Plane, xs: Plane, ys: Plane, lungs: Plane) -> Plane:
    bend = 0.34 * np.clip(np.abs(xs[:1]) - 0.12, 0, None) ** 1.1 - 0.06
    shade = 0.055 * (0.25 + 0.75 * lungs)
    shade[:, xs[0] == 0] = 0
    for number in range(8):
        y = -0.72 + number * 0.17
        rows = slice(*np.searchsorted(ys[:, 0], (y - 0.2, y + 0.5)))
        image[rows] += np.exp(-(((ys[rows] - (y + bend)) / 0.024) ** 2)) * shade[rows]
    return image


def _vessels(image: Plane, lungs: Plane, seed: int) -> Plane:
    layer = Image.new("L", (1024, 1024), 0)
    draw = ImageDraw.Draw(layer)
    chance = np.random.default_rng(seed + 1)
    for side in (-1, 1):
        for _ in range(30):
            x, y, angle = 512 + side * 90.0, 480.0 + chance.normal(0, 26), chance.uniform(-1.25, 1.25)
            width = chance.uniform(3.0, 8.0)
            for _ in range(26):
                angle += chance.normal(0, 0.12)
                nx, ny = x + side * 15 * np.cos(angle), y + 15 * np.sin(angle)
                draw.line((x, y, nx, ny), fill=int(40 + 20 * width), width=max(1, round(width)))
                x, y, width = nx, ny, width * 0.93
    soft = np.asarray(layer.filter(ImageFilter.GaussianBlur(2.6)).resize(CR_SIZE), dtype=np.float32) / 255
    return image + 0.24 * soft * lungs + 0.03 * lungs * _clouds(seed + 2, CR_SIZE, 9)


def chest_ct(study_id: str, look: str, number: int, count: int) -> Plane:
    """One axial slice in Hounsfield units, 0.72 mm a pixel. `number` from 1 at the top."""
    xs, ys = _grid(CT_SIZE)
    seed = _seed(study_id, number)
    depth = (number - 1) / max(1, count - 1)
    image = np.full(CT_SIZE[::-1], -1000, np.float32)
    body = _ellipse(xs, ys, 0, 0.02, 0.86, 0.6 + 0.05 * depth, soft=0.012)
    image += body * 920
    muscle = _ellipse(xs, ys, 0, 0.02, 0.78, 0.52 + 0.05 * depth, soft=0.02)
    image += muscle * 130
    size = 0.55 + 0.45 * np.sin(np.pi * min(1.0, 0.25 + depth * 0.85))
    lungs = np.zeros_like(image)
    for side in (-1, 1):
        lung = _ellipse(xs, ys, side * 0.4, 0.0, 0.29 * size + 0.02, 0.42 * size, turn=side * 0.12, soft=0.03)
        lungs = np.maximum(lungs, lung)
    heart = _ellipse(xs, ys, 0.14, -0.1, 0.27, 0.23, turn=0.5, soft=0.05) * np.clip((depth - 0.4) * 5, 0, 1)
    liver = _ellipse(xs, ys, -0.42, 0.05, 0.34, 0.42, soft=0.05) * np.clip((depth - 0.84) * 7, 0, 1)
    lungs = np.clip(lungs - heart - liver, 0, 1)
    image = image * (1 - lungs) + lungs * (-860 + 30 * _clouds(seed, CT_SIZE, 16))
    image = _ct_vessels(image, lungs, seed)
    image = _ct_bones(image, xs, ys, depth)
    airway = _ellipse(xs, ys, 0, 0.02, 0.05, 0.06, soft=0.1) if depth < 0.4 else _bronchi(xs, ys)
    image = image * (1 - airway) - 980 * airway
    aorta = _ellipse(xs, ys, 0.12, 0.2, 0.065, 0.065, soft=0.08)
    image = image * (1 - aorta) + 45 * aorta
    if look == "ct_pneumonia" and 0.55 < depth < 0.92:
        strength = np.sin(np.pi * (depth - 0.55) / 0.37)
        patch = _ellipse(xs, ys, -0.44, 0.24, 0.19 * strength + 0.01, 0.13 * strength + 0.01, turn=0.4, soft=0.5)
        texture = np.clip(0.75 + 0.35 * _clouds(seed + 9, CT_SIZE, 14), 0, 1)
        share = patch * texture * lungs
        image = image * (1 - share) + share * -20
    image += np.random.default_rng(seed).normal(0, 14, image.shape).astype(np.float32)
    return _plane(image)


def _bronchi(xs: Plane, ys: Plane) -> Plane:
    return _plane(
        np.maximum(
            _ellipse(xs, ys, -0.13, 0.04, 0.045, 0.03, turn=0.3, soft=0.15),
            _ellipse(xs, ys, 0.12, 0.05, 0.042, 0.028, turn=-0.3, soft=0.15),
        )
    )


def _ct_vessels(image: Plane, lungs: Plane, seed: int) -> Plane:
    layer = Image.new("L", CT_SIZE, 0)
    draw = ImageDraw.Draw(layer)
    chance = np.random.default_rng(seed + 3)
    for _ in range(110):
        x, y = chance.uniform(60, 452), chance.uniform(110, 400)
        near = np.hypot(x - 256, y - 256) / 200
        radius = max(0.7, chance.uniform(1.0, 4.2) * (1.15 - near))
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=int(chance.uniform(120, 255)))
    soft = np.asarray(layer.filter(ImageFilter.GaussianBlur(0.8)), dtype=np.float32) / 255
    return _plane(image + soft * lungs * 850)


def _ct_bones(image: Plane, xs: Plane, ys: Plane, depth: float) -> Plane:
    bones = [_ellipse(xs, ys, 0, 0.4, 0.1, 0.085, soft=0.15), _ellipse(xs, ys, 0, -0.5, 0.09, 0.025, soft=0.3)]
    bones.append(_ellipse(xs, ys, 0, 0.53, 0.022, 0.07, soft=0.3))
    for number in range(10):
        angle = 2 * np.pi * (number + depth * 3.3) / 10
        x, y = 0.73 * np.cos(angle), (0.47 + 0.05 * depth) * np.sin(angle) + 0.02
        bones.append(_ellipse(xs, ys, x, y, 0.06, 0.02, turn=angle + np.pi / 2, soft=0.3))
    bone = reduce(np.maximum, bones)
    return _plane(image * (1 - bone) + bone * 420)


def windowed(plane: Plane, center: float, width: float) -> Image.Image:
    """Hounsfield units to grey, linearly within the window."""
    grey = np.clip((plane - (center - width / 2)) / max(width, 1.0), 0, 1)
    return Image.fromarray((grey * 255).astype(np.uint8), mode="L")


@lru_cache(maxsize=96)
def rendered(study_id: str, modality: str, look: str, number: int, count: int, window: tuple[float, float] | None) -> bytes:
    """A frame as JPEG, as a DICOMweb server renders it. Without a window CT is shown in the lungs' (-600, 1500)."""
    if modality == "CT":
        picture = windowed(chest_ct(study_id, look, number, count), *(window or (-600.0, 1500.0)))
    else:
        picture = chest_film(study_id, look)
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=90)
    return out.getvalue()
