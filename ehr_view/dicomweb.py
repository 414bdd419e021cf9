"""DICOMweb: pictures of a study as the server renders them, and from its metadata whose they are and how large a pixel is.

A server that does not render gives the instance itself, a DICOM file, which is decoded where pages are drawn.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from email.parser import HeaderParser
from typing import Any, Final

import aiohttp
import orjson
import structlog

from ehr_view.domain.records import Frame, ImagingStudy, MissingReason
from ehr_view.errors import RecordIdentityMismatch
from ehr_view.fhir import LIMIT_SECONDS, FhirFailure, read_bounded
from ehr_view.ports import Picture

log = structlog.get_logger(__name__)

_PICTURE_BYTES: Final = 8 * 1024 * 1024
_INSTANCE_BYTES: Final = 48 * 1024 * 1024
_PAGE_BYTES: Final = 96 * 1024 * 1024
"""Of all instances of a page together."""

_INSTANCE_TYPE: Final = 'multipart/related; type="application/dicom"; transfer-syntax=*'
_METADATA_BYTES: Final = 16 * 1024 * 1024
_AT_ONCE: Final = 6
_HEAD_BYTES: Final = 16 * 1024
_NOT_RENDERED: Final = frozenset({400, 404, 405, 406, 415, 500, 501})
_SPACINGS: Final = ("00280030", "00181164")
"""Pixel Spacing; Imager Pixel Spacing, of projection radiographs."""


@dataclass(frozen=True, slots=True)
class _Instance:
    patient: str
    mm_per_pixel: float | None
    columns: int | None


class DicomWebClient:
    """One server. Make it on the loop that uses it."""

    def __init__(
        self, base_url: str, *, limit_seconds: float = LIMIT_SECONDS, headers: Mapping[str, str] | None = None
    ) -> None:
        self._base = base_url.rstrip("/")
        self._limit_seconds = limit_seconds
        self._headers = dict(headers or {})
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def fetch(self, study: ImagingStudy, frames: Sequence[Frame]) -> list[Picture | None]:
        """The pictures, in order, within the time limit; None for one that could not be had, or whose metadata does not say
        whose it is. Raises RecordIdentityMismatch when one is somebody else's."""
        pictures: list[Picture | None] = [None] * len(frames)
        files = _Instances()
        try:
            async with asyncio.timeout(self._limit_seconds):
                series = dict.fromkeys(frame.series_uid for frame in frames)
                found = await asyncio.gather(*(self._metadata(study.study_uid, uid) for uid in series))
                known = {uid: instance for part in found for uid, instance in part.items()}
                _check_patient(study, (known[f.instance_uid] for f in frames if f.instance_uid in known))
                room = asyncio.Semaphore(_AT_ONCE)

                async def take(place: int, frame: Frame, instance: _Instance) -> None:
                    async with room:
                        pictures[place] = await self._picture(study, frame, instance, files)

                wanted = [(n, f, known[f.instance_uid]) for n, f in enumerate(frames) if f.instance_uid in known]
                await asyncio.gather(*(take(*each) for each in wanted))
        except TimeoutError:
            log.warning("records.pictures_timed_out", pictures=len(frames))
        finally:
            await files.close()
        return pictures

    async def _metadata(self, study_uid: str, series_uid: str) -> dict[str, _Instance]:
        """Instances of a series by UID; none where the server does not say."""
        url = f"{self._base}/studies/{study_uid}/series/{series_uid}/metadata"
        try:
            data = await self._get(url, "application/dicom+json", _METADATA_BYTES)
            answer = orjson.loads(data)
        except (FhirFailure, orjson.JSONDecodeError):
            return {}
        found: dict[str, _Instance] = {}
        for attributes in answer if isinstance(answer, list) else []:
            try:
                found[str(_first(attributes, "00080018"))] = _instance(attributes)
            except (KeyError, TypeError, ValueError, AttributeError, IndexError):
                continue
        return found

    async def _picture(self, study: ImagingStudy, frame: Frame, instance: _Instance, files: "_Instances") -> Picture | None:
        url = f"{self._base}/studies/{study.study_uid}/series/{frame.series_uid}/instances/{frame.instance_uid}"
        try:
            data = await self._get(f"{url}/frames/{frame.number}/rendered", "image/jpeg", _PICTURE_BYTES)
            return Picture(data, instance.mm_per_pixel, instance.columns)
        except _NotRendered:
            log.info("records.pictures_not_rendered")
        except FhirFailure:
            return None
        try:
            file = await files.take(url, lambda: self._get(url, _INSTANCE_TYPE, _INSTANCE_BYTES))
        except FhirFailure:
            return None
        return Picture(file, instance.mm_per_pixel, instance.columns, frame.number, study.patient_numbers)

    async def _get(self, url: str, accept: str, most: int) -> bytes:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                headers=self._headers, connector=aiohttp.TCPConnector(limit=16), cookie_jar=aiohttp.DummyCookieJar()
            )
        try:
            async with self._session.get(url, headers={"Accept": accept}, allow_redirects=False) as response:
                if response.status != 200:
                    log.warning("records.pictures_refused", status=response.status)
                    raise (_NotRendered if response.status in _NOT_RENDERED else FhirFailure)(MissingReason.UNAVAILABLE)
                body = await read_bounded(response, most)
                return _first_part(body, response.headers.get("Content-Type", ""))
        except (aiohttp.ClientError, OSError) as error:
            log.warning("records.pictures_unreachable", error=type(error).__name__)
            raise FhirFailure(MissingReason.UNAVAILABLE) from error


class _NotRendered(FhirFailure):
    """The server has the picture and does not draw it."""


class _Instances:
    """Files of one page, each fetched once however many of its frames are shown, and no more bytes than a page may have."""

    def __init__(self) -> None:
        self._files: dict[str, asyncio.Task[bytes]] = {}
        self._bytes = 0

    async def take(self, url: str, fetch: Callable[[], Coroutine[Any, Any, bytes]]) -> bytes:
        if url not in self._files:
            self._files[url] = asyncio.create_task(fetch())
        file = await self._files[url]
        self._bytes += len(file)
        if self._bytes > _PAGE_BYTES:
            raise FhirFailure(MissingReason.TOO_MANY)
        return file

    async def close(self) -> None:
        """End what is under way."""
        for file in self._files.values():
            file.cancel()
        await asyncio.gather(*self._files.values(), return_exceptions=True)


def _first_part(body: bytes, content_type: str) -> bytes:
    """The body, or its first part where it is multipart. Raises FhirFailure for a form that is none."""
    if not content_type.lower().startswith("multipart/"):
        return body
    message = HeaderParser().parsestr(f"Content-Type: {content_type}")
    boundary = message.get_boundary()
    _, found, rest = body.partition(b"--" + (boundary or "").encode() + b"\r\n")
    head, ended, rest = rest.partition(b"\r\n\r\n")
    data, closed, _ = rest.rpartition(b"\r\n--" + (boundary or "").encode())
    if not (boundary and found and ended and closed and len(head) < _HEAD_BYTES):
        raise FhirFailure(MissingReason.UNREADABLE)
    return data.partition(b"\r\n--" + boundary.encode() + b"\r\n")[0]


def _check_patient(study: ImagingStudy, instances: Iterable[_Instance]) -> None:
    if any(instance.patient not in study.patient_numbers for instance in instances):
        raise RecordIdentityMismatch


def _first(attributes: Any, tag: str) -> Any:
    return attributes[tag]["Value"][0]


def _instance(attributes: Any) -> _Instance:
    spacing = None
    for tag in _SPACINGS:
        values = attributes.get(tag, {}).get("Value", [])
        if len(values) == 2 and 0 < float(values[0]) < 100 and abs(float(values[0]) - float(values[1])) < 1e-6:
            spacing = float(values[1])
            break
    columns = attributes.get("00280011", {}).get("Value", [None])[0]
    return _Instance(str(_first(attributes, "00100020")), spacing, int(columns) if columns else None)
