"""Looks at records, as tracing needs them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from pymongo import DESCENDING, IndexModel

from ehr_view.domain.access import RecordView
from ehr_view.mongo import MongoViews
from ehr_view.ports import RECORD_VIEWS
from server.kernel.crypto import Keyring
from server.kernel.mongo import ALL_HOSPITALS, Database, Document

VIEW_INDEXES: Final = [IndexModel([("hospital_id", DESCENDING), ("at", DESCENDING)], name="staff_newest")]


class MongoIssuedViews:
    """Implements `ports.IssuedViews`."""

    def __init__(self, database: Database, keyring: Keyring) -> None:
        self._collection = database[RECORD_VIEWS]
        self._views = MongoViews(database, keyring)

    async def list_ids(self, hospital_id: str | None, since: datetime, *, limit: int) -> Sequence[int]:
        query: Document = {"at": {"$gte": since}}
        comment: str | None = ALL_HOSPITALS
        if hospital_id is not None:
            query, comment = {"hospital_id": hospital_id, **query}, None
        cursor = self._collection.find(query, {"_id": 1}, sort=[("at", DESCENDING)], limit=limit, comment=comment)
        return [int(document["_id"]) async for document in cursor]

    async def find(self, view_id: int) -> RecordView | None:
        return await self._views.find(view_id)
