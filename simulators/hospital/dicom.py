"""What DICOMweb says of studies without drawing one: their UIDs and attributes."""

from functools import lru_cache
from hashlib import sha256
from typing import Any, Final

CR_SIZE: Final = (720, 720)
CR_MM: Final = 0.57
CT_SIZE: Final = (512, 512)
CT_MM: Final = 0.72
CT_STEP_MM: Final = 5.0
_ROOT: Final = "2.25"


@lru_cache(maxsize=8192)
def uid(study_id: str, series: int | None = None, instance: int | None = None) -> str:
    """The DICOM UID of a study, or of a series or instance in it: an integer UUID below 2.25, as the standard allows."""
    text = "/".join(str(part) for part in (study_id, series, instance) if part is not None)
    return f"{_ROOT}.{int.from_bytes(sha256(text.encode()).digest()[:15], 'big')}"


def instance_metadata(study_id: str, modality: str, number: int, mrn: str) -> dict[str, Any]:
    """The attributes of an instance in the DICOM JSON model."""
    size, mm = (CT_SIZE, CT_MM) if modality == "CT" else (CR_SIZE, CR_MM)
    spacing = "00280030" if modality == "CT" else "00181164"
    return {
        "00080016": _value("UI", "1.2.840.10008.5.1.4.1.1.2" if modality == "CT" else "1.2.840.10008.5.1.4.1.1.1"),
        "00080018": _value("UI", uid(study_id, 1, number)),
        "00080060": _value("CS", modality),
        "00100020": _value("LO", mrn),
        "0020000D": _value("UI", uid(study_id)),
        "0020000E": _value("UI", uid(study_id, 1)),
        "00200013": _value("IS", number),
        "00280008": _value("IS", 1),
        "00280010": _value("US", size[1]),
        "00280011": _value("US", size[0]),
        spacing: _value("DS", mm, mm),
    }


def _value(vr: str, *values: Any) -> dict[str, Any]:
    return {"vr": vr, "Value": list(values)}
