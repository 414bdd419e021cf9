"""Pictures from DICOM files: what is shown, and that no file does harm."""

import io
import os
from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from ehr_view.drawing import dicom
from ehr_view.drawing.dicom import DicomCompressed, DicomUnreadable, decode
from ehr_view.drawing.pictures import Lack, Loaded, StrangePicture, load
from tests.support.dicom import dicom_file

SAMPLES = sorted((Path(pydicom.__file__).parent / "data/test_files").glob("*.dcm"))
RAMP = np.array([[0, 25, 50, 75, 100]] * 4, dtype=np.uint16)


def shown(data: bytes, frame: int = 1) -> NDArray[np.uint8]:
    return np.asarray(decode(data, frame).image)[:, :, 0]


def test_a_window_makes_its_lower_edge_black_and_its_upper_edge_white() -> None:
    row = shown(dicom_file(RAMP, WindowCenter=50, WindowWidth=50))[0]
    assert list(row) == [0, 0, 130, 255, 255]


def test_the_lowest_is_white_in_monochrome1() -> None:
    plain = shown(dicom_file(RAMP, WindowCenter=50, WindowWidth=101))
    negative = shown(dicom_file(RAMP, WindowCenter=50, WindowWidth=101, PhotometricInterpretation="MONOCHROME1"))
    assert np.array_equal(negative, 255 - plain)
    assert plain[0, 0] < 3 < 250 < plain[0, 4]


def test_windows_are_in_units_of_the_rescaled_value() -> None:
    hounsfield = np.array([[-1000, 0, 40, 90, 1000]], dtype=np.int16)
    stored = (hounsfield + 1024).astype(np.uint16)
    window = {"WindowCenter": 40, "WindowWidth": 100}
    row = shown(dicom_file(stored, RescaleSlope=1, RescaleIntercept=-1024, **window))[0]
    assert np.array_equal(row, shown(dicom_file(hounsfield, **window))[0])
    assert (row[0], row[1] < row[2] < row[3], row[4]) == (0, True, 255)


def test_without_a_window_what_is_in_the_picture_is_spread_over_all_greys_and_padding_does_not_count() -> None:
    pixels = np.tile(np.arange(100, 200, dtype=np.int16), (50, 1))
    pixels[:, :20] = -2000
    row = shown(dicom_file(pixels, PixelPaddingValue=-2000))[0]
    assert (row[0], row[99]) == (0, 255)
    assert 120 < row[60] < 135


def test_each_frame_is_itself_and_there_is_none_beyond_the_last() -> None:
    data = dicom_file(np.stack([RAMP, RAMP[:, ::-1]]), WindowCenter=50, WindowWidth=101)
    assert np.array_equal(shown(data, 2), shown(data, 1)[:, ::-1])
    for frame in (0, 3):
        with pytest.raises(DicomUnreadable):
            decode(data, frame)


def test_pixels_that_are_not_square_are_made_so_and_their_size_is_known() -> None:
    decoded = decode(dicom_file(np.zeros((40, 30), np.uint16), PixelSpacing=[0.5, 0.25]), 1)
    assert (decoded.image.size, decoded.mm_per_pixel) == ((30, 80), 0.25)
    assert decode(dicom_file(RAMP), 1).mm_per_pixel is None
    assert decode(dicom_file(RAMP, ImagerPixelSpacing=[0.14, 0.14]), 1).mm_per_pixel == pytest.approx(0.14)
    assert decode(dicom_file(RAMP, PixelSpacing=[0.0, 0.0]), 1).mm_per_pixel is None


def test_a_file_of_another_person_is_not_shown_nor_is_one_of_nobody() -> None:
    data = dicom_file(RAMP)
    found = load(data, 0.3, 5, patients=["H00001"])
    assert isinstance(found, Loaded)
    assert found.mm_per_pixel == 0.3
    with pytest.raises(StrangePicture):
        load(data, None, None, patients=["H00002"])
    assert load(dicom_file(RAMP, PatientID=""), None, None, patients=["H00001"]) is Lack.ABSENT
    assert load(data[:-8], None, None, patients=["H00001"]) is Lack.UNREADABLE


def test_more_pixels_than_are_allowed_are_not_decoded() -> None:
    with pytest.raises(DicomUnreadable):
        decode(dicom_file(RAMP, Rows=40_000, Columns=40_000), 1)


READABLE = {
    "MR_small_jp2klossless.dcm": "MR_small.dcm",
    "MR_small_jpeg_ls_lossless.dcm": "MR_small.dcm",
    "MR_small_RLE.dcm": "MR_small.dcm",
    "MR_small_bigendian.dcm": "MR_small.dcm",
    "SC_rgb_rle.dcm": "SC_rgb_gdcm_KY.dcm",
}


@pytest.mark.parametrize(("packed", "plain"), READABLE.items())
def test_a_compressed_file_shows_what_the_plain_one_shows(packed: str, plain: str) -> None:
    folder = SAMPLES[0].parent
    one, other = (np.asarray(decode((folder / name).read_bytes(), 1).image) for name in (packed, plain))
    assert np.array_equal(one, other)


def _sample(name: str) -> bytes:
    return next(path for path in SAMPLES if path.name == name).read_bytes()


@pytest.mark.parametrize("name", ["JPGExtended.dcm", "JPEG-lossy.dcm"])
def test_twelve_bits_of_jpeg_are_said_to_be_a_compression_that_is_not_undone_and_not_damage(name: str) -> None:
    with pytest.raises(DicomCompressed) as compressed:
        decode(_sample(name), 1)
    assert compressed.value.patient == "8NM1"
    assert load(_sample(name), None, None, patients=["8NM1"]) is Lack.COMPRESSED
    with pytest.raises(StrangePicture):
        load(_sample(name), None, None, patients=["another"])


def test_a_video_is_no_picture_and_is_said_to_be_none() -> None:
    dataset = pydicom.dcmread(io.BytesIO(dicom_file(RAMP)))
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.MPEG4HP41
    dataset.PixelData = pydicom.encaps.encapsulate([b"video"])
    out = io.BytesIO()
    dataset.save_as(out)
    assert load(out.getvalue(), None, None, patients=[str(dataset.PatientID)]) is Lack.COMPRESSED


def test_every_sample_is_shown_or_refused() -> None:
    outcomes = {}
    for path in SAMPLES:
        try:
            outcomes[path.name] = decode(path.read_bytes(), 1).image.size
        except DicomUnreadable:
            outcomes[path.name] = None
    assert len(outcomes) > 70
    assert sum(size is not None for size in outcomes.values()) >= 55
    assert outcomes["JPEG2000.dcm"] == (256, 1024)
    assert outcomes["MR_truncated.dcm"] is None


SEEDS = [path.read_bytes() for path in SAMPLES if path.stat().st_size < 60_000 and dicom.is_dicom(path.read_bytes()[:132])]


@given(
    st.sampled_from(SEEDS),
    st.lists(st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=4)), min_size=1, max_size=12),
    st.floats(0.1, 1),
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_file_with_wrong_bytes_is_shown_or_refused_and_never_more(
    seed: bytes, changes: list[tuple[float, bytes]], kept: float
) -> None:
    data = bytearray(seed)
    for place, wrong in changes:
        at = 132 + int(place * (len(data) - 136))
        data[at : at + len(wrong)] = wrong
    found = load(bytes(data[: 132 + int(kept * (len(data) - 132))]), None, None, patients=["x"])
    assert found in (Lack.UNREADABLE, Lack.ABSENT)


def test_a_decoder_that_crashes_or_stalls_is_a_file_that_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dicom, "LIMIT_SECONDS", 1)
    for harm in (lambda: os.kill(os.getpid(), 9), lambda: 1 / 0, lambda: os.read(os.pipe()[0], 1)):
        assert dicom._in_a_fork(harm) == b""  # type: ignore[arg-type]
    with pytest.raises(DicomUnreadable):
        decode(b"\0" * 128 + b"DICM", 1)


def test_pictures_that_are_no_dicom_are_loaded_as_before() -> None:
    out = io.BytesIO()
    Image.new("RGB", (8, 6)).save(out, "PNG")
    found = load(out.getvalue(), 0.5, 16)
    assert isinstance(found, Loaded)
    assert (found.image.size, found.mm_per_pixel) == ((8, 6), 1.0)
    assert load(b"nothing", None, None) is Lack.UNREADABLE
