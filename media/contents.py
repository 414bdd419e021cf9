"""The bytes of media, in GridFS, sealed: a leaked database shows no picture.

Each content has a name of its own that never names other bytes. One GridFS chunk holds one sealed piece, so that any range is
read by opening the few pieces that it touches. A piece opens only at its own number of its own content.
"""

from typing import Final

from gridfs import AsyncGridFSBucket, NoFile

from server.kernel.crypto import Damaged, SealingKey
from server.kernel.mongo import Database, Document

BUCKET: Final = "media_content"
_SEAL_BYTES: Final = 29
_PIECE_BYTES: Final = 256 * 1024
_CHUNK_BYTES: Final = _PIECE_BYTES + _SEAL_BYTES


class GridContents:
    def __init__(self, database: Database) -> None:
        self._bucket = AsyncGridFSBucket(database, bucket_name=BUCKET, chunk_size_bytes=_CHUNK_BYTES)

    async def write(self, content_id: str, data: bytes, key: SealingKey, metadata: Document) -> None:
        """Store `data` under a name that is not taken. Cut short, it leaves chunks that `delete` removes."""
        async with self._bucket.open_upload_stream_with_id(content_id, content_id, metadata=metadata) as stream:
            for number, at in enumerate(range(0, len(data), _PIECE_BYTES)):
                await stream.write(key.seal(data[at : at + _PIECE_BYTES], _purpose(content_id, number)))

    async def read(self, content_id: str, key: SealingKey, start: int, stop: int) -> bytes:
        """Bytes `start` to before `stop`. Raises Damaged when they are not there or do not open."""
        if stop <= start:
            return b""
        first, last = start // _PIECE_BYTES, (stop - 1) // _PIECE_BYTES
        out = bytearray()
        try:
            stream = await self._bucket.open_download_stream(content_id)
            async with stream:
                await stream.seek(first * _CHUNK_BYTES)
                for number in range(first, last + 1):
                    out += key.open(await stream.read(_CHUNK_BYTES), _purpose(content_id, number))
        except NoFile as error:
            raise Damaged("the content of a medium is missing") from error
        piece = bytes(out[start - first * _PIECE_BYTES : stop - first * _PIECE_BYTES])
        if len(piece) != stop - start:
            raise Damaged("the content of a medium is too short")
        return piece

    async def delete(self, content_id: str) -> None:
        """Remove the content and what a write that was cut short left of it. Twice is no harm."""
        try:
            await self._bucket.delete(content_id)
        except NoFile:
            return  # its chunks are gone all the same: the driver deletes them before it says that there was no file


def _purpose(content_id: str, number: int) -> bytes:
    return b"media\0" + content_id.encode() + number.to_bytes(8, "big")
