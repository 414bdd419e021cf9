"""Media in MongoDB: one document each, their bytes in GridFS, and a note of each upload under way.

An upload writes its note, then the bytes, then in one transaction takes the note away and writes the document. So what has a
document has its bytes, and what a crash left is named by a note. Who removes leftovers marks the note first; an upload that
was only slow then fails instead of writing a document without bytes.
"""

import asyncio
import os
from collections.abc import Collection as SomeOf
from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256
from typing import Any, Final

from pymongo import ASCENDING, IndexModel, WriteConcern
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import DuplicateKeyError

from media.contents import BUCKET, GridContents
from media.domain import (
    MAIN_RENDITION,
    MediaKind,
    MediaState,
    Medium,
    NewMedium,
    Owner,
    OwnerKind,
    Purpose,
    Rendition,
    StoredRendition,
)
from media.errors import MediaNotFound
from media.ports import MEDIA
from server.kernel.crypto import KeyMissing, Keyring, SealingKey
from server.kernel.errors import IdempotencyMismatch, Unavailable
from server.kernel.ids import new_id
from server.kernel.mongo import ALL_HOSPITALS, Database, Document, Indexes
from server.kernel.outbox import OUTBOX_INDEX, Event, to_outbox

UPLOADS: Final = "media_uploads"
_KEY_BYTES: Final = 32
_KEY_FIELD: Final = "media.sealed_key"
_MARK_FIELD: Final = "media.upload_mark"

INDEXES: Final[Indexes] = {
    MEDIA: [
        OUTBOX_INDEX,
        IndexModel([("account_id", ASCENDING), ("state", ASCENDING)]),
        IndexModel([("state", ASCENDING), ("created_at", ASCENDING)]),
        IndexModel([("check_at", ASCENDING)], sparse=True),
        IndexModel([("hospital_id", ASCENDING), ("owner.kind", ASCENDING), ("owner.id", ASCENDING)]),
    ],
    UPLOADS: [IndexModel([("began_at", ASCENDING)])],
    f"{BUCKET}.files": [IndexModel([("filename", ASCENDING), ("uploadDate", ASCENDING)])],
    f"{BUCKET}.chunks": [IndexModel([("files_id", ASCENDING), ("n", ASCENDING)], unique=True)],
}

OUTBOXES: Final = (MEDIA,)


class MongoMedia:
    """Implements `ports.MediaStore`."""

    def __init__(self, database: Database, keyring: Keyring) -> None:
        self._client = database.client
        self._media = database[MEDIA]
        self._uploads = database[UPLOADS]
        self._contents = GridContents(database)
        self._keyring = keyring

    async def add(self, new: NewMedium, upload: bytes, event: Event) -> Medium:
        hospital = await self._keyring.hospital(new.hospital_id)
        key = os.urandom(_KEY_BYTES)
        document = _new_document(new, event)
        main = new.encoded.renditions[MAIN_RENDITION[new.encoded.kind]]
        document["sha256"] = await asyncio.to_thread(_digest, main.data)
        document["sealed_key"] = hospital.seal_bytes(key, field=_KEY_FIELD, owner=new.id)
        document["upload_mark"] = hospital.blind(
            f"{new.account_id} {new.purpose} {await asyncio.to_thread(_digest, upload)}", field=_MARK_FIELD
        )
        note = await self._begin(new, [r["content_id"] for r in document["renditions"]])
        sealing = SealingKey(key)
        for stored, encoding in zip(document["renditions"], new.encoded.renditions.values(), strict=True):
            metadata = {"hospital_id": new.hospital_id, "media_id": new.id}
            await self._contents.write(stored["content_id"], encoding.data, sealing, metadata)
        try:
            await self._finish(note, document)
        except DuplicateKeyError:
            await self._remove_upload(note)
            return await self._repeated(new, document["upload_mark"])
        return _medium(document)

    async def find(self, media_id: str, hospital_id: str | None) -> Medium | None:
        if hospital_id is None:
            document = await self._media.find_one({"_id": media_id}, comment=ALL_HOSPITALS)
        else:
            document = await self._media.find_one({"_id": media_id, "hospital_id": hospital_id})
        return None if document is None else _medium(document)

    async def list_of_uploader(self, account_id: str, media_ids: SomeOf[str]) -> Sequence[Medium]:
        cursor = self._media.find({"_id": {"$in": list(media_ids)}, "account_id": account_id}, comment=ALL_HOSPITALS)
        return [_medium(document) async for document in cursor]

    async def count_unattached(self, account_id: str) -> tuple[int, int]:
        cursor = await self._media.aggregate(
            [
                {"$match": {"account_id": account_id, "state": MediaState.UNATTACHED}},
                {"$group": {"_id": None, "count": {"$sum": 1}, "bytes": {"$sum": {"$sum": "$renditions.bytes"}}}},
            ],
            comment=ALL_HOSPITALS,
        )
        found = await cursor.to_list()
        return (found[0]["count"], found[0]["bytes"]) if found else (0, 0)

    async def attach(self, medium: Medium, owner: Owner, hospital_id: str, event: Event, *, check_at: datetime) -> bool:
        sealed_key = await self._seal_for(owner, hospital_id, medium.id, await self._open_key(medium))
        result = await self._media.update_one(
            {**_as_it_was(medium), "owner": None, "state": MediaState.UNATTACHED},
            {
                "$set": {
                    "owner": {"kind": owner.kind, "id": owner.id},
                    "hospital_id": hospital_id,
                    "state": MediaState.ATTACHED,
                    "sealed_key": sealed_key,
                    "check_at": check_at,
                },
                "$inc": {"version": 1},
                "$push": {"outbox": to_outbox(event)},
            },
        )
        return result.matched_count == 1

    async def read(self, medium: Medium, rendition: Rendition, start: int, stop: int) -> bytes:
        try:
            key = await self._open_key(medium)
        except KeyMissing as error:
            raise MediaNotFound() from error
        return await self._contents.read(medium.renditions[rendition].content_id, SealingKey(key), start, stop)

    async def list_unattached(self, before: datetime, limit: int) -> Sequence[Medium]:
        due = {"state": MediaState.UNATTACHED, "created_at": {"$lt": before}}
        cursor = self._media.find(due, comment=ALL_HOSPITALS).sort("created_at", ASCENDING).limit(limit)
        return [_medium(document) async for document in cursor]

    async def condemn(self, medium: Medium, event: Event) -> bool:
        result = await self._media.update_one(
            {**_as_it_was(medium), "state": {"$in": [MediaState.UNATTACHED, MediaState.LAPSED]}},
            {
                "$set": {"state": MediaState.REMOVING},
                "$unset": {"check_at": ""},
                "$inc": {"version": 1},
                "$push": {"outbox": to_outbox(event)},
            },
        )
        return result.matched_count == 1

    async def list_unchecked(self, now: datetime, limit: int) -> Sequence[Medium]:
        due = self._media.find({"check_at": {"$lte": now}}, comment=ALL_HOSPITALS).sort("check_at", ASCENDING).limit(limit)
        return [_medium(document) async for document in due]

    async def checked(self, medium: Medium, state: MediaState, check_at: datetime | None) -> bool:
        values: Document = {"$set": {"state": state}, "$inc": {"version": 1}}
        if check_at is None:
            values["$unset"] = {"check_at": ""}
        else:
            values["$set"]["check_at"] = check_at
        return (await self._media.update_one({**_as_it_was(medium), "state": medium.state}, values)).matched_count == 1

    async def remove_condemned(self, limit: int) -> int:
        removed = 0
        condemned = self._media.find({"state": MediaState.REMOVING}, limit=limit, comment=ALL_HOSPITALS)
        async for document in condemned:
            for rendition in document["renditions"]:
                await self._contents.delete(rendition["content_id"])
            told = {"state": MediaState.REMOVING, "outbox": []}
            result = await self._media.delete_one({"_id": document["_id"], "hospital_id": document["hospital_id"], **told})
            removed += result.deleted_count
        return removed

    async def remove_unfinished(self, before: datetime, limit: int) -> int:
        removed = 0
        async for note in self._uploads.find({"began_at": {"$lt": before}}, limit=limit, comment=ALL_HOSPITALS):
            place = {"_id": note["_id"], "hospital_id": note["hospital_id"]}
            marked = await self._uploads.update_one(place, {"$set": {"given_up": True}})
            if marked.matched_count:
                await self._remove_upload(note)
                removed += 1
        return removed

    async def _begin(self, new: NewMedium, content_ids: list[str]) -> Document:
        note = {
            "_id": new_id(),
            "hospital_id": new.hospital_id,
            "media_id": new.id,
            "content_ids": content_ids,
            "began_at": new.created_at,
            "given_up": False,
        }
        await self._uploads.insert_one(note)
        return note

    async def _finish(self, note: Document, document: Document) -> None:
        """Note away, document there: both or neither. Raises DuplicateKeyError when the medium is there already."""

        async def both(session: AsyncClientSession) -> None:
            mine = {"_id": note["_id"], "hospital_id": note["hospital_id"], "given_up": False}
            if (await self._uploads.delete_one(mine, session=session)).deleted_count == 0:
                raise Unavailable()
            await self._media.insert_one(document, session=session)

        async with self._client.start_session() as session:
            await session.with_transaction(both, write_concern=WriteConcern(w="majority", j=True))

    async def _remove_upload(self, note: Document) -> None:
        for content_id in note["content_ids"]:
            await self._contents.delete(content_id)
        await self._uploads.delete_one({"_id": note["_id"], "hospital_id": note["hospital_id"]})

    async def _repeated(self, new: NewMedium, upload_mark: bytes) -> Medium:
        """The medium that the first of two equal uploads made. It may be attached by now, under another hospital."""
        document = await self._media.find_one({"_id": new.id, "account_id": new.account_id}, comment=ALL_HOSPITALS)
        if document is None or bytes(document["upload_mark"]) != upload_mark:
            raise IdempotencyMismatch()
        return _medium(document)

    async def _open_key(self, medium: Medium) -> bytes:
        """The key of its contents. Raises KeyMissing when the conversation that it belongs to was erased."""
        if medium.owner is not None and medium.owner.kind is OwnerKind.CONVERSATION:
            conversation = await self._keyring.conversation(medium.hospital_id, medium.owner.id)
            return conversation.open(medium.sealed_key, _key_purpose(medium.id))
        hospital = await self._keyring.hospital(medium.hospital_id)
        return hospital.open_bytes(medium.sealed_key, field=_KEY_FIELD, owner=medium.id)

    async def _seal_for(self, owner: Owner, hospital_id: str, media_id: str, key: bytes) -> bytes:
        """The key sealed so that erasing the conversation, or the hospital, erases the contents too."""
        if owner.kind is OwnerKind.CONVERSATION:
            conversation = await self._keyring.create_conversation(hospital_id, owner.id)
            return conversation.seal(key, _key_purpose(media_id))
        hospital = await self._keyring.hospital(hospital_id)
        return hospital.seal_bytes(key, field=_KEY_FIELD, owner=media_id)


def _digest(data: bytes) -> str:
    """SHA-256, hexadecimal; of 20 MB it takes too long for the event loop."""
    return sha256(data).hexdigest()


def _key_purpose(media_id: str) -> bytes:
    return f"{_KEY_FIELD}\0{media_id}".encode()


def _as_it_was(medium: Medium) -> dict[str, Any]:
    return {
        "_id": medium.id,
        "hospital_id": medium.hospital_id,
        "account_id": medium.account_id,
        "version": medium.version,
    }


def _new_document(new: NewMedium, event: Event) -> Document:
    main = new.encoded.renditions[MAIN_RENDITION[new.encoded.kind]]
    return {
        "_id": new.id,
        "hospital_id": new.hospital_id,
        "account_id": new.account_id,
        "purpose": new.purpose,
        "kind": new.encoded.kind,
        "mime": main.mime,
        "bytes": len(main.data),
        "width": new.encoded.width,
        "height": new.encoded.height,
        "duration_ms": new.encoded.duration_ms,
        "state": MediaState.UNATTACHED,
        "owner": None,
        "renditions": [
            {"name": name, "content_id": new_id(), "mime": encoding.mime, "bytes": len(encoding.data)}
            for name, encoding in new.encoded.renditions.items()
        ],
        "created_at": new.created_at,
        "version": 1,
        "outbox": [to_outbox(event)],
    }


def _medium(document: Document) -> Medium:
    owner = document["owner"]
    return Medium(
        id=document["_id"],
        hospital_id=document["hospital_id"],
        account_id=document["account_id"],
        purpose=Purpose(document["purpose"]),
        kind=MediaKind(document["kind"]),
        width=document["width"],
        height=document["height"],
        duration_ms=document["duration_ms"],
        state=MediaState(document["state"]),
        owner=None if owner is None else Owner(OwnerKind(owner["kind"]), owner["id"]),
        sha256=document["sha256"],
        renditions={
            Rendition(r["name"]): StoredRendition(r["content_id"], r["mime"], r["bytes"]) for r in document["renditions"]
        },
        created_at=document["created_at"],
        version=document["version"],
        sealed_key=bytes(document["sealed_key"]),
    )
