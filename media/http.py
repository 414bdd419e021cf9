"""Media over HTTP: upload, link, fetch."""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from typing import Final
from urllib.parse import urlencode

import orjson
from aiohttp import BodyPartReader, ClientPayloadError, MultipartReader, web
from aiohttp.http_exceptions import HttpProcessingError

from media.domain import MAX_UPLOAD_BYTES, MediaKind, Medium, Purpose
from media.errors import (
    UPLOAD_REFUSALS,
    MediaLinkRefused,
    MediaNotFound,
    MediaRangeRefused,
    MediaTooLarge,
    MediaUnattachedFull,
)
from media.service import Content, MediaService
from media.wire import ContentQuery, ImageAnswer, LinkAnswer, LinkRequest, MediaAnswer, VoiceAnswer
from server.kernel.edge import SIGNED_IN, Call, Idempotency, Reply, Route
from server.kernel.errors import IdempotencyMismatch, RequestInvalid
from server.kernel.ids import derived_id

CONTENT_URL: Final = "/api/v1/media/{media_id}/content"
_FRAMING_BYTES: Final = 64 * 1024
_CHUNK_BYTES: Final = 64 * 1024
_PIECE_BYTES: Final = 512 * 1024
_STALLED_SECONDS: Final = 180.0
"""A piece takes a line of 64 kbit/s just over a minute."""

_PURPOSE_BYTES: Final = 64
_MAX_PARTS: Final = 4
_IDLE_SECONDS: Final = 30.0
_UPLOAD_SECONDS: Final = 600.0
_RANGE: Final = re.compile(r"^bytes=(\d{0,15})-(\d{0,15})$")
_CONTENT_HEADERS: Final[Mapping[str, str]] = {
    "Accept-Ranges": "bytes",
    "Cache-Control": "private, no-store",
    "Content-Disposition": "inline",
    "Content-Security-Policy": "sandbox; default-src 'none'",
    "X-Content-Type-Options": "nosniff",
}


def routes(service: MediaService) -> list[Route]:
    """Everything about media that the network can ask for."""
    handlers = _Handlers(service)
    return [
        Route(
            method="POST",
            path="/media",
            name="upload_media",
            summary="Upload a picture or a recording",
            roles=SIGNED_IN,
            handler=handlers.upload,
            answer=MediaAnswer,
            status=201,
            errors=(*UPLOAD_REFUSALS.values(), MediaUnattachedFull, IdempotencyMismatch),
            reads_request=True,
            form_fields=("purpose",),
        ),
        Route(
            method="POST",
            path="/media/{media_id}/links",
            name="create_media_link",
            summary="Ask for a link to a picture or a recording, good for a minute and for this account",
            roles=SIGNED_IN,
            handler=handlers.create_link,
            body=LinkRequest,
            answer=LinkAnswer,
            idempotency=Idempotency.NONE,  # a link lives a minute: the first answer would be dead for most of a key's day
            errors=(MediaNotFound,),
        ),
        Route(
            method="GET",
            path="/media/{media_id}/content",
            name="fetch_media",
            summary="Fetch what a link leads to, all of it or a range",
            roles=SIGNED_IN,
            handler=handlers.fetch,
            query=ContentQuery,
            answer_type="application/octet-stream",
            other_statuses=(206,),
            takes_media_cookie=True,
            errors=(MediaLinkRefused, MediaNotFound, MediaRangeRefused),
        ),
    ]


class _Handlers:
    def __init__(self, service: MediaService) -> None:
        self._service = service

    async def upload(self, call: Call) -> MediaAnswer:
        announced = call.request.content_length
        if announced is not None and announced > MAX_UPLOAD_BYTES + _FRAMING_BYTES:
            raise MediaTooLarge(max_bytes=MAX_UPLOAD_BYTES)
        with self._service.admit(call.actor, announced):
            purpose, data = await _read_form(call.request)
            medium = await self._service.upload(call.actor, _media_id(call), purpose, data)
        return MediaAnswer(_answer(medium))

    async def create_link(self, call: Call) -> LinkAnswer:
        link = await self._service.create_link(call.actor, call.path["media_id"], call.body.rendition)
        query = urlencode({"rendition": link.rendition.value, "token": link.token})
        return LinkAnswer(
            url=f"{CONTENT_URL.format(media_id=link.media_id)}?{query}", expires_in_seconds=link.expires_in_seconds
        )

    async def fetch(self, call: Call) -> Reply:
        content = await self._service.access_content(call.actor, call.path["media_id"], call.query.rendition, call.query.token)
        etag, size = f'"{content.stored.content_id}"', content.stored.bytes
        headers = {**_CONTENT_HEADERS, "ETag": etag}
        wanted = call.request.headers.get("Range") if call.request.headers.get("If-Range", etag) == etag else None
        part = _part_wanted(wanted, size)
        if part is None:
            return await self._body(call, content, 0, size, Reply(status=200, headers=headers))
        start, stop = part
        if stop <= start:
            return _no_such_range(call, headers, size)
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
        return await self._body(call, content, start, stop, Reply(status=206, headers=headers))

    async def _body(self, call: Call, content: Content, start: int, stop: int, reply: Reply) -> Reply:
        if call.request.method == "HEAD":
            headers = {**reply.headers, "Content-Length": str(stop - start), "Content-Type": content.stored.mime}
            return Reply(status=reply.status, headers=headers)
        first = await self._service.read(content, start, min(stop, start + _PIECE_BYTES))
        if stop - start <= _PIECE_BYTES:
            return Reply(body=first, status=reply.status, headers=reply.headers, content_type=content.stored.mime)
        pieces = _paced(self._pieces(content, first, start, stop), call.request)
        headers = {**reply.headers, "Content-Length": str(stop - start)}
        return Reply(body=pieces, status=reply.status, headers=headers, content_type=content.stored.mime)

    async def _pieces(self, content: Content, first: bytes, start: int, stop: int) -> AsyncIterator[bytes]:
        """However many read slowly, no more than a piece of each is in memory."""
        yield first
        for at in range(start + _PIECE_BYTES, stop, _PIECE_BYTES):
            yield await self._service.read(content, at, min(stop, at + _PIECE_BYTES))


async def _paced(pieces: AsyncIterator[bytes], request: web.Request) -> AsyncIterator[bytes]:
    """The same, for a client that takes each within a time; one that takes none is cut off."""
    loop, transport = asyncio.get_running_loop(), request.transport
    async for piece in pieces:
        timer = None if transport is None else loop.call_later(_STALLED_SECONDS, transport.abort)
        try:
            yield piece
        finally:
            if timer is not None:
                timer.cancel()


def _media_id(call: Call) -> str:
    """The id of the medium to be: with an idempotency key always the same, so that a repeated upload finds the first."""
    key = call.request.headers.get("Idempotency-Key")
    return call.seed_id if key is None else derived_id("media.upload", call.actor.account_id, key)


def _answer(medium: Medium) -> ImageAnswer | VoiceAnswer:
    main = medium.main
    if medium.kind is MediaKind.IMAGE:
        return ImageAnswer(
            media_id=medium.id,
            kind=medium.kind,
            mime=main.mime,
            bytes=main.bytes,
            width=medium.width or 0,
            height=medium.height or 0,
        )
    return VoiceAnswer(
        media_id=medium.id, kind=medium.kind, mime=main.mime, bytes=main.bytes, duration_ms=medium.duration_ms or 0
    )


async def _read_form(request: web.Request) -> tuple[Purpose, bytes]:
    """`purpose` and the bytes of `file`, in any order. Raises RequestInvalid for any other form, MediaTooLarge as soon as there
    are too many bytes."""
    if request.content_type != "multipart/form-data":
        raise RequestInvalid(content_type="must be multipart/form-data")
    try:
        async with asyncio.timeout(_UPLOAD_SECONDS):
            return await _parts(await request.multipart())
    except TimeoutError:
        raise RequestInvalid(file="did not arrive in time") from None
    except (ValueError, AssertionError, RuntimeError, HttpProcessingError, ClientPayloadError, ConnectionError, EOFError):
        raise RequestInvalid(body="is not a whole multipart form") from None


async def _parts(reader: MultipartReader) -> tuple[Purpose, bytes]:
    purpose: Purpose | None = None
    data: bytes | None = None
    for _ in range(_MAX_PARTS):
        async with asyncio.timeout(_IDLE_SECONDS):
            part = await reader.next()
        if part is None:
            break
        if not isinstance(part, BodyPartReader) or "Content-Encoding" in part.headers:
            raise RequestInvalid(body="must hold plain fields")
        if part.name == "file" and data is None:
            data = await _read_part(part, MAX_UPLOAD_BYTES, MediaTooLarge(max_bytes=MAX_UPLOAD_BYTES))
        elif part.name == "purpose" and purpose is None:
            purpose = _purpose(await _read_part(part, _PURPOSE_BYTES, RequestInvalid(purpose="is not one of ours")))
        else:
            raise RequestInvalid(body="takes one file, one purpose and nothing else")
    if data is None:
        raise RequestInvalid(file="is required")
    if purpose is None:
        raise RequestInvalid(purpose="is required")
    return purpose, data


def _purpose(text: bytes) -> Purpose:
    try:
        return Purpose(text.decode())
    except ValueError:
        raise RequestInvalid(purpose="is not one of ours") from None


async def _read_part(part: BodyPartReader, limit: int, too_long: RequestInvalid | MediaTooLarge) -> bytes:
    data = bytearray()
    while not part.at_eof():
        async with asyncio.timeout(_IDLE_SECONDS):
            data += await part.read_chunk(_CHUNK_BYTES)
        if len(data) > limit:
            raise too_long
    return bytes(data)


def _part_wanted(wanted: str | None, size: int) -> tuple[int, int] | None:
    """Start and stop of the bytes that a Range header asks for; nothing between them when the content has none there. None
    without such a header, or with one that is not understood or asks for several parts: then all is sent, as RFC 9110 lets us.
    """
    found = _RANGE.match(wanted) if wanted is not None else None
    if found is None or found.groups() == ("", ""):
        return None
    first, last = found.groups()
    if not first:
        return max(0, size - int(last)), size
    if last and int(last) < int(first):
        return None
    return int(first), min(size, int(last) + 1 if last else size)


def _no_such_range(call: Call, headers: dict[str, str], size: int) -> Reply:
    """The error with the one header that tells a player how long the content is."""
    error = MediaRangeRefused()
    problem = {
        "type": "about:blank",
        "code": error.code,
        "title": error.title,
        "status": error.status,
        "fields": error.fields,
        "request_id": call.actor.request_id,
    }
    return Reply(
        body=orjson.dumps(problem),
        status=error.status,
        content_type="application/problem+json",
        headers={**headers, "Content-Range": f"bytes */{size}"},
    )
