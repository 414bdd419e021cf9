"""FHIR R4 over HTTP: paged searches and single reads, with limits on time, size and number, and trust in nothing.

Identity numbers go in a request's body, never in an address: addresses end in logs.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

import aiohttp
import msgspec
import structlog
from yarl import URL

from ehr_view.domain.records import MissingReason

log = structlog.get_logger(__name__)

Resource = Mapping[str, Any]

LIMIT_SECONDS: Final = 3.0
_PAGE: Final = 500
_MOST_PAGES: Final = 60
_MOST_RESOURCES: Final = 20_000
_ANSWER_BYTES: Final = 32 * 1024 * 1024
_CHUNK_BYTES: Final = 256 * 1024
_BIG_BYTES: Final = 256 * 1024
_ACCEPT: Final = {"Accept": "application/fhir+json"}
_decoder: Final = msgspec.json.Decoder(float_hook=Decimal)
"""Decimals as they were written: 4.60 is not 4.6."""


class FhirFailure(Exception):
    """An answer that could not be had or not be read."""

    def __init__(self, reason: MissingReason) -> None:
        super().__init__(reason.value)
        self.reason = reason


@dataclass(slots=True)
class Found:
    """What a search gave. `failure`: why there may be more that is not here."""

    resources: list[Resource] = field(default_factory=list)
    failure: MissingReason | None = None


class FhirClient:
    """One server. `headers` (an authorization) go with each request. Make it on the loop that uses it."""

    def __init__(
        self, base_url: str, *, limit_seconds: float = LIMIT_SECONDS, headers: Mapping[str, str] | None = None
    ) -> None:
        self._base = URL(base_url.rstrip("/"))
        self._limit_seconds = limit_seconds
        self._headers = {**_ACCEPT, **(headers or {})}
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    def deadline(self) -> float:
        """The time limit from now on, on the loop's clock, for all requests of one question."""
        return asyncio.get_running_loop().time() + self._limit_seconds

    async def search(self, kind: str, words: Mapping[str, str], until: float, *, in_body: bool = False) -> Found:
        """All pages of a search, until that deadline. Never raises: `failure` says what went wrong.

        `in_body`: ask by POST, for words that must not stand in an address.
        """
        found = Found()
        try:
            async with asyncio.timeout_at(until):
                await self._search(found, kind, {**words, "_count": str(_PAGE)}, in_body=in_body)
        except TimeoutError:
            found.failure = MissingReason.TIMED_OUT
        except FhirFailure as failure:
            found.failure = failure.reason
        return found

    async def read(self, reference: str, until: float) -> Resource:
        """One resource by its relative reference (`Binary/1`). Raises FhirFailure."""
        url = self._below(reference)
        try:
            async with asyncio.timeout_at(until):
                return await self._request("GET", url)
        except TimeoutError as error:
            raise FhirFailure(MissingReason.TIMED_OUT) from error

    async def _search(self, found: Found, kind: str, words: dict[str, str], *, in_body: bool) -> None:
        if in_body:
            bundle = await self._request("POST", self._base / kind / "_search", words)
        else:
            bundle = await self._request("GET", (self._base / kind).with_query(words))
        seen: set[str] = set()
        for left in reversed(range(_MOST_PAGES)):
            if bundle.get("resourceType") != "Bundle":
                raise FhirFailure(MissingReason.UNREADABLE)
            for entry in _list(bundle.get("entry")):
                resource = entry.get("resource") if isinstance(entry, dict) else None
                mode = entry.get("search", {}).get("mode") if isinstance(entry, dict) else None
                if isinstance(resource, dict) and resource.get("resourceType") == kind and mode != "outcome":
                    found.resources.append(resource)
            if len(found.resources) > _MOST_RESOURCES:
                raise FhirFailure(MissingReason.TOO_MANY)
            following = self._next(bundle)
            if following is None:
                return
            if str(following) in seen:
                raise FhirFailure(MissingReason.UNREADABLE)
            seen.add(str(following))
            if left:
                bundle = await self._request("GET", following)
        raise FhirFailure(MissingReason.TOO_MANY)

    def _next(self, bundle: Resource) -> URL | None:
        """The next page, on this server only: a link elsewhere is not followed."""
        for link in _list(bundle.get("link")):
            if isinstance(link, dict) and link.get("relation") == "next" and isinstance(link.get("url"), str):
                return self._below(link["url"])
        return None

    def _below(self, reference: str) -> URL:
        try:
            url = URL(f"{self._base}/").join(URL(reference))
            is_ours = url.origin() == self._base.origin()  # raises for what has none, as a file's
        except ValueError as error:
            raise FhirFailure(MissingReason.UNREADABLE) from error
        if not is_ours or not url.path.startswith(self._base.path):
            log.warning("records.link_elsewhere")
            raise FhirFailure(MissingReason.UNREADABLE)
        return url

    async def _request(self, method: str, url: URL, form: Mapping[str, str] | None = None) -> Resource:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                headers=self._headers,
                connector=aiohttp.TCPConnector(limit=32),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=True,
            )
        try:
            async with self._session.request(method, url, data=form, allow_redirects=False) as response:
                if response.status != 200:
                    log.warning("records.hospital_refused", status=response.status)
                    raise FhirFailure(MissingReason.UNAVAILABLE)
                data = await read_bounded(response, _ANSWER_BYTES)
        except (aiohttp.ClientError, OSError) as error:
            log.warning("records.hospital_unreachable", error=type(error).__name__)
            raise FhirFailure(MissingReason.UNAVAILABLE) from error
        return await asyncio.to_thread(_decode, data) if len(data) > _BIG_BYTES else _decode(data)


async def read_bounded(response: aiohttp.ClientResponse, most: int) -> bytes:
    """The body. Raises FhirFailure for one that is larger."""
    parts: list[bytes] = []
    size = 0
    async for part in response.content.iter_chunked(_CHUNK_BYTES):
        size += len(part)
        if size > most:
            raise FhirFailure(MissingReason.TOO_MANY)
        parts.append(part)
    return b"".join(parts)


def _decode(data: bytes) -> Resource:
    try:
        found = _decoder.decode(data)
    except (msgspec.DecodeError, ValueError, RecursionError, ArithmeticError) as error:
        raise FhirFailure(MissingReason.UNREADABLE) from error
    if not isinstance(found, dict):
        raise FhirFailure(MissingReason.UNREADABLE)
    return found


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
