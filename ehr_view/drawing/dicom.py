"""Pictures from DICOM files: pixels as the modality meant them, through window and level, in eight bits.

Files come from wherever the hospital took them, and the decoders behind them are C. So each is decoded in a process of its own,
forked for it: a file that crashes or stalls a decoder takes nothing with it but itself. Anything that is not understood whole
is no picture; nothing is guessed from half a file.
"""

import io
import math
import os
import signal
import struct
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

MAX_PIXELS: Final = 40_000_000
LIMIT_SECONDS: Final = 6
_HEAD: Final = struct.Struct(">HIId")
_PATIENT_BYTES: Final = 256
_SPACINGS: Final = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing")
_OF_FRAMES: Final = frozenset(
    {"PixelSpacing", "RescaleSlope", "RescaleIntercept", "WindowCenter", "WindowWidth", "VOILUTFunction"}
)
_OBLONG: Final = 4.0
"""Pixels longer than so many times their width are not believed."""

_TAILS: Final = (0.5, 99.5)
"""Percentiles that become black and white where a file names no window."""


class DicomUnreadable(Exception):
    """No picture comes of this file."""


class DicomCompressed(DicomUnreadable):
    """The file may be whole, but nothing here undoes its compression. `patient` is its PatientID."""

    def __init__(self, patient: str) -> None:
        super().__init__("compression")
        self.patient = patient


@dataclass(frozen=True, slots=True)
class Decoded:
    """One frame. `mm_per_pixel` None: the file does not say; `patient` is its PatientID."""

    image: Image.Image
    mm_per_pixel: float | None
    patient: str


def is_dicom(data: bytes) -> bool:
    return data[128:132] == b"DICM"


def decode(data: bytes, frame: int) -> Decoded:
    """Frame `frame`, from 1, of a file, decoded in a forked process. Raises DicomUnreadable, DicomCompressed."""
    import_module("pydicom.pixels.utils")  # once here, not in each child

    def said() -> bytes:
        try:
            return _packed(decode_here(data, frame))
        except DicomCompressed as compressed:
            return _no_picture(compressed.patient)

    return _unpacked(_in_a_fork(said))


def decode_here(data: bytes, frame: int) -> Decoded:
    """The same in this process. Raises whatever the file makes of the decoders."""
    from pydicom import config, dcmread

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        config.settings.reading_validation_mode = config.IGNORE
        dataset = dcmread(io.BytesIO(data))
        if not _can_be_undone(dataset):
            raise DicomCompressed(str(dataset.get("PatientID", "")).strip())
        _flatten(dataset, frame)
        pixels = _pixels(dataset, frame)
        spacing = _spacing(dataset)
        image = Image.fromarray(pixels).convert("RGB")
        if spacing is not None and not math.isclose(*spacing, rel_tol=1e-3):
            down, across = spacing
            image = image.resize((image.width, max(1, round(image.height * down / across))), Image.Resampling.LANCZOS)
        return Decoded(image, None if spacing is None else spacing[1], str(dataset.get("PatientID", "")).strip())


def _can_be_undone(dataset: "Dataset") -> bool:
    """Whether a decoder is here for the file's compression. Twelve bits of "JPEG extended", which old radiography stores, no
    library that we may use undoes; nor is video a picture."""
    from pydicom.pixels.decoders.base import get_decoder
    from pydicom.uid import JPEGExtended12Bit

    syntax = dataset.file_meta.TransferSyntaxUID
    if not syntax.is_transfer_syntax or not syntax.is_encapsulated:
        return True
    if syntax == JPEGExtended12Bit and int(dataset.BitsStored) != 8:
        return False
    try:
        return get_decoder(syntax).is_available
    except NotImplementedError:
        return False


def _flatten(dataset: "Dataset", frame: int) -> None:
    """In enhanced files, window, slope and spacing stand in groups, for all frames or for each: bring ours to the top."""
    shared, each = dataset.get("SharedFunctionalGroupsSequence"), dataset.get("PerFrameFunctionalGroupsSequence")
    groups = ([shared[0]] if shared else []) + ([each[frame - 1]] if each and len(each) >= frame else [])
    for group in groups:
        for element in group:
            if element.VR == "SQ" and len(element.value) == 1:
                for inner in element.value[0]:
                    if inner.keyword in _OF_FRAMES:
                        dataset[inner.tag] = inner


def _pixels(dataset: "Dataset", frame: int) -> NDArray[np.uint8]:
    """Eight bits, grey (rows, columns) or colour (rows, columns, 3)."""
    from pydicom.pixels.processing import apply_color_lut, apply_modality_lut
    from pydicom.pixels.utils import pixel_array

    rows, columns, frames = int(dataset.Rows), int(dataset.Columns), int(dataset.get("NumberOfFrames") or 1)
    if not (0 < rows * columns <= MAX_PIXELS and 1 <= frame <= frames):
        raise DicomUnreadable
    raw = pixel_array(dataset, index=frame - 1)
    kind = str(dataset.PhotometricInterpretation)
    if kind == "PALETTE COLOR":
        coloured: NDArray[Any] = apply_color_lut(raw, dataset)
        return _eight_bits(coloured, 8 if coloured.dtype.itemsize == 1 else 16)
    if raw.ndim == 3 and raw.shape[2] == 3:
        return _eight_bits(raw, int(dataset.BitsStored))
    if raw.ndim != 2 or not kind.startswith("MONOCHROME"):
        raise DicomUnreadable
    values = np.asarray(apply_modality_lut(raw, dataset), dtype=np.float64)
    shown = _windowed(values, dataset, np.asarray(raw))
    return np.asarray(255 - shown if kind == "MONOCHROME1" else shown, dtype=np.uint8)


def _eight_bits(values: NDArray[Any], bits: int) -> NDArray[np.uint8]:
    return np.asarray(values >> (bits - 8) if bits > 8 else values).astype(np.uint8)


def _windowed(values: NDArray[np.float64], dataset: "Dataset", raw: NDArray[Any]) -> NDArray[np.uint8]:
    """Grey values after the file's own table or window; where it has none, between the tails of what is in the picture."""
    from pydicom.pixels.processing import apply_voi_lut

    if "VOILUTSequence" in dataset or ("WindowWidth" in dataset and dataset.WindowWidth is not None):
        seen = np.asarray(apply_voi_lut(values if "VOILUTSequence" not in dataset else values.astype(np.int64), dataset))
        low, high = _reach(dataset, seen)
    else:
        padding = dataset.get("PixelPaddingValue")
        meant = values[raw != padding] if padding is not None and (raw != padding).any() else values
        seen, (low, high) = values, np.percentile(meant, _TAILS)
    spread = max(float(high - low), 1e-9)
    return np.asarray(np.clip((seen - low) / spread * 255, 0, 255), dtype=np.uint8)


def _reach(dataset: "Dataset", seen: NDArray[Any]) -> tuple[float, float]:
    """What the window's or table's black and white are: a window keeps the range that the stored values have."""
    if "VOILUTSequence" in dataset:
        return 0.0, float(2 ** int(dataset.VOILUTSequence[0].LUTDescriptor[2]) - 1)
    bits, is_signed = int(dataset.BitsStored), int(dataset.get("PixelRepresentation", 0)) == 1
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if is_signed else (0, 2**bits - 1)
    if "ModalityLUTSequence" in dataset:
        return 0.0, float(2 ** int(dataset.ModalityLUTSequence[0].LUTDescriptor[2]) - 1)
    slope, intercept = float(dataset.get("RescaleSlope") or 1), float(dataset.get("RescaleIntercept") or 0)
    return min(low * slope, high * slope) + intercept, max(low * slope, high * slope) + intercept


def _spacing(dataset: "Dataset") -> tuple[float, float] | None:
    """Millimetres from row to row and from column to column."""
    for name in _SPACINGS:
        value = dataset.get(name)
        if value is not None and len(value) == 2:
            down, across = float(value[0]), float(value[1])
            if 0 < across < 100 and 1 / _OBLONG <= down / across <= _OBLONG:
                return down, across
    return None


def _no_picture(patient: str) -> bytes:
    """A head that says nothing but whose it is: no picture has no width."""
    words = patient.encode()[:_PATIENT_BYTES]
    return _HEAD.pack(len(words), 0, 0, 0.0) + words


def _packed(decoded: Decoded) -> bytes:
    patient = decoded.patient.encode()[:_PATIENT_BYTES]
    head = _HEAD.pack(len(patient), *decoded.image.size, decoded.mm_per_pixel or 0.0)
    return head + patient + decoded.image.tobytes()


def _unpacked(data: bytes) -> Decoded:
    try:
        length, width, height, mm_per_pixel = _HEAD.unpack_from(data)
        patient = data[_HEAD.size : _HEAD.size + length].decode(errors="replace")
        if width == 0:
            raise DicomCompressed(patient)
        image = Image.frombytes("RGB", (width, height), data[_HEAD.size + length :])
    except (struct.error, ValueError) as error:
        raise DicomUnreadable from error
    return Decoded(image, mm_per_pixel or None, patient)


def _in_a_fork(work: Callable[[], bytes]) -> bytes:
    """What `work` returns in a child of ours; nothing where it fails, crashes, or takes too long.

    Only for a process with one thread.
    """
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        _answer(theirs, work)
    os.close(theirs)
    try:
        with os.fdopen(ours, "rb") as answer:
            return answer.read()
    finally:
        os.waitpid(child, 0)


def _answer(answer: int, work: Callable[[], bytes]) -> None:
    """The child's life: it never returns, whatever happens."""
    try:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(LIMIT_SECONDS)
        with os.fdopen(answer, "wb") as out:
            out.write(work())
    finally:
        os._exit(0)
