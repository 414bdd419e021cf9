"""Recorded audit rows, searched."""

from collections.abc import Sequence
from typing import Final

from pymongo import ASCENDING, DESCENDING

from admin_console.domain.audit import AuditFilter, Place, ShownRow, recorded_row
from server.kernel.actor import PLATFORM
from server.kernel.audit import AUDIT, row_from_document
from server.kernel.clock import from_ms
from server.kernel.mongo import Collection, Database, Document

_FIELDS: Final = {"actor": "account_id", "subject": "subject", "action": "action", "order_id": "order_id"}


class MongoAuditRows:
    """Implements `ports.AuditReader`. Rows of the hospital and of the platform: a patient's own account belongs to none, and
    what it was refused must be found too."""

    def __init__(self, database: Database) -> None:
        self._rows: Collection = database[AUDIT]

    async def search(self, wanted: AuditFilter, *, limit: int, after: Place | None, newest_first: bool) -> Sequence[ShownRow]:
        direction = DESCENDING if newest_first else ASCENDING
        cursor = self._rows.find(
            _query(wanted, after, newest_first=newest_first),
            sort=[("at", direction), ("audit_id", direction)],
            limit=limit,
        )
        return [recorded_row(row_from_document(document)) async for document in cursor]


def _query(wanted: AuditFilter, after: Place | None, *, newest_first: bool) -> Document:
    query: Document = {"hospital_id": {"$in": sorted({wanted.hospital_id, PLATFORM})}}
    query |= {field: value for name, field in _FIELDS.items() if (value := getattr(wanted, name)) is not None}
    span: Document = {}
    if wanted.since is not None:
        span["$gte"] = wanted.since
    if wanted.until is not None:
        span["$lt"] = wanted.until
    if span:
        query["at"] = span
    if after is not None:
        at, beyond, beyond_or_at = from_ms(after.at_ms), *(("$lt", "$lte") if newest_first else ("$gt", "$gte"))
        query["$and"] = [
            {"at": {beyond_or_at: at}},
            {"$or": [{"at": {beyond: at}}, {"at": at, "audit_id": {beyond: after.audit_id}}]},
        ]
    return query
