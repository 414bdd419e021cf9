"""Notices in MongoDB. The id follows from the cause, so that each is there once."""

from datetime import datetime
from typing import Final

from pymongo import ASCENDING, DESCENDING, IndexModel
from pymongo.errors import DuplicateKeyError

from consult.domain.notices import Notice, NoticeKind
from server.kernel.mongo import ALL_HOSPITALS, Collection, Database, Document

NOTICES: Final = "notices"
NOTICE_INDEXES: Final = [IndexModel([("account_id", ASCENDING), ("created_at", DESCENDING), ("_id", DESCENDING)])]


class MongoNotices:
    """Implements `ports.NoticeRepository`."""

    def __init__(self, database: Database) -> None:
        self._notices: Collection = database[NOTICES]

    async def insert(self, notice: Notice) -> bool:
        try:
            await self._notices.insert_one(
                {
                    "_id": notice.id,
                    "hospital_id": notice.hospital_id,
                    "account_id": notice.account_id,
                    "kind": notice.kind.value,
                    "title": notice.title,
                    "text": notice.text,
                    "order_id": notice.order_id,
                    "created_at": notice.created_at,
                }
            )
        except DuplicateKeyError:
            return False
        return True

    async def list_of(self, account_id: str, *, limit: int, after: tuple[datetime, str] | None) -> list[Notice]:
        query: Document = {"account_id": account_id}
        if after is not None:
            created_at, notice_id = after
            query["$or"] = [{"created_at": {"$lt": created_at}}, {"created_at": created_at, "_id": {"$lt": notice_id}}]
        cursor = self._notices.find(
            query, sort=[("created_at", DESCENDING), ("_id", DESCENDING)], limit=limit, comment=ALL_HOSPITALS
        )
        return [_notice_from(document) for document in await cursor.to_list()]


def _notice_from(document: Document) -> Notice:
    return Notice(
        id=document["_id"],
        hospital_id=document["hospital_id"],
        account_id=document["account_id"],
        kind=NoticeKind(document["kind"]),
        title=document["title"],
        text=document["text"],
        order_id=document["order_id"],
        created_at=document["created_at"],
    )
