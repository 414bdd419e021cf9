"""Notices in MongoDB. The id follows from the cause, so that each is there once."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from pymongo import ASCENDING, DESCENDING, IndexModel

from consult.domain.notices import MOST_COUNTED, Notice, NoticeKind
from server.kernel.mongo import ALL_HOSPITALS, Collection, Database, Document, insert_new

NOTICES: Final = "notices"
_NEWEST: Final = [("created_at", DESCENDING), ("_id", DESCENDING)]

NOTICE_INDEXES: Final = [
    IndexModel([("account_id", ASCENDING), *_NEWEST]),
    IndexModel([("account_id", ASCENDING), *_NEWEST], name="unread", partialFilterExpression={"unread": True}),
]


class MongoNotices:
    """Implements `ports.NoticeRepository`."""

    def __init__(self, database: Database) -> None:
        self._notices: Collection = database[NOTICES]

    async def insert(self, notices: Sequence[Notice]) -> set[str]:
        there = await insert_new(self._notices, [_document(notice) for notice in notices])
        return {notice.id for notice in notices} - there

    async def list_of(self, account_id: str, *, limit: int, after: tuple[datetime, str] | None) -> list[Notice]:
        query: Document = {"account_id": account_id}
        if after is not None:
            created_at, notice_id = after
            query["$or"] = [{"created_at": {"$lt": created_at}}, {"created_at": created_at, "_id": {"$lt": notice_id}}]
        cursor = self._notices.find(query, sort=_NEWEST, limit=limit, comment=ALL_HOSPITALS)
        return [notice_from(document) for document in await cursor.to_list()]

    async def find(self, account_id: str, notice_id: str) -> Notice | None:
        found = await self._notices.find_one({"_id": notice_id, "account_id": account_id}, comment=ALL_HOSPITALS)
        return None if found is None else notice_from(found)

    async def read(self, account_id: str, notice_ids: Sequence[str], at: datetime) -> int:
        return await self._read({"account_id": account_id, "_id": {"$in": list(notice_ids)}}, at)

    async def read_up_to(self, account_id: str, place: tuple[datetime, str], at: datetime) -> int:
        created_at, notice_id = place
        older: Document = {"$or": [{"created_at": {"$lt": created_at}}, {"created_at": created_at, "_id": {"$lte": notice_id}}]}
        return await self._read({"account_id": account_id} | older, at)

    async def count_unread(self, account_id: str, most: int) -> int:
        return await self._notices.count_documents(
            {"account_id": account_id, "unread": True}, limit=most, comment=ALL_HOSPITALS
        )

    async def badge(self, account_id: str) -> int:
        """What an app shows as unread."""
        return await self.count_unread(account_id, MOST_COUNTED)

    async def _read(self, query: Document, at: datetime) -> int:
        done = await self._notices.update_many(
            query | {"unread": True}, {"$set": {"unread": False, "read_at": at}}, comment=ALL_HOSPITALS
        )
        return done.modified_count


def _document(notice: Notice) -> Document:
    return {
        "_id": notice.id,
        "hospital_id": notice.hospital_id,
        "account_id": notice.account_id,
        "kind": notice.kind.value,
        "title": notice.title,
        "text": notice.text,
        "order_id": notice.order_id,
        "created_at": notice.created_at,
        "data": dict(notice.data),
        "unread": True,
        "read_at": None,
    }


def notice_from(document: Mapping[str, Any]) -> Notice:
    """The notice that this document holds."""
    return Notice(
        id=document["_id"],
        hospital_id=document["hospital_id"],
        account_id=document["account_id"],
        kind=NoticeKind(document["kind"]),
        title=document["title"],
        text=document["text"],
        order_id=document["order_id"],
        created_at=document["created_at"],
        data=document["data"],
        read_at=document["read_at"],
    )
