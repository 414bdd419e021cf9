"""One picture out of a multipart form, no more of it in memory than is allowed."""

import asyncio
from typing import Final

from aiohttp import BodyPartReader, ClientPayloadError, web
from aiohttp.http_exceptions import HttpProcessingError

from admin_console.domain.traces import MAX_PICTURE_BYTES
from admin_console.errors import LeakPictureTooLarge
from server.kernel.errors import RequestInvalid

_FRAMING_BYTES: Final = 64 * 1024
_CHUNK_BYTES: Final = 64 * 1024
_IDLE_SECONDS: Final = 30.0
_UPLOAD_SECONDS: Final = 300.0


async def read_picture(request: web.Request) -> bytes:
    """The bytes of `file`, the form's only field. Raises RequestInvalid, LeakPictureTooLarge."""
    announced = request.content_length
    if announced is not None and announced > MAX_PICTURE_BYTES + _FRAMING_BYTES:
        raise LeakPictureTooLarge(max_bytes=MAX_PICTURE_BYTES)
    if request.content_type != "multipart/form-data":
        raise RequestInvalid(content_type="must be multipart/form-data")
    try:
        async with asyncio.timeout(_UPLOAD_SECONDS):
            return await _file(request)
    except TimeoutError:
        raise RequestInvalid(file="did not arrive in time") from None
    except (ValueError, AssertionError, RuntimeError, HttpProcessingError, ClientPayloadError, ConnectionError, EOFError):
        raise RequestInvalid(body="is not a whole multipart form") from None


async def _file(request: web.Request) -> bytes:
    reader = await request.multipart()
    part = await reader.next()
    if part is None:
        raise RequestInvalid(file="is required")
    if not isinstance(part, BodyPartReader) or part.name != "file" or "Content-Encoding" in part.headers:
        raise RequestInvalid(body="takes one file and nothing else")
    data = bytearray()
    while not part.at_eof():
        async with asyncio.timeout(_IDLE_SECONDS):
            data += await part.read_chunk(_CHUNK_BYTES)
        if len(data) > MAX_PICTURE_BYTES:
            raise LeakPictureTooLarge(max_bytes=MAX_PICTURE_BYTES)
    if await reader.next() is not None:
        raise RequestInvalid(body="takes one file and nothing else")
    return bytes(data)
