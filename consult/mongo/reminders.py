"""Ladders of reminders in MongoDB: one document an order, found by when something is to be decided; each hospital's policy."""

from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from typing import Any, Final

from pymongo import ASCENDING, IndexModel
from pymongo.errors import DuplicateKeyError

from consult.domain.reminders import (
    REMINDER_POLICIES,
    REMINDERS,
    Ladder,
    Reminder,
    ReminderAction,
    Rung,
    RungOutcome,
    ladder_text,
    parse_ladder,
)
from server.kernel.mongo import ALL_HOSPITALS, Collection, Database, Document
from server.kernel.outbox import OUTBOX_INDEX, Event, to_outbox

_SWEEP_LIMIT: Final = 2_000

REMINDER_INDEXES: Final = {
    REMINDERS: [
        OUTBOX_INDEX,
        IndexModel([("next_at", ASCENDING)], partialFilterExpression={"next_at": {"$type": "date"}}),
    ],
    REMINDER_POLICIES: [OUTBOX_INDEX],
}


class MongoReminders:
    """Implements `ports.ReminderRepository`."""

    def __init__(self, database: Database) -> None:
        self._reminders: Collection = database[REMINDERS]
        self._policies: Collection = database[REMINDER_POLICIES]

    async def insert(self, reminder: Reminder) -> None:
        try:
            await self._reminders.insert_one(_document(reminder) | {"outbox": []})
        except DuplicateKeyError:
            return  # the same opening, followed again

    async def find(self, order_id: str) -> Reminder | None:
        found = await self._reminders.find_one({"_id": order_id}, comment=ALL_HOSPITALS)
        return None if found is None else _reminder_from(found)

    async def due(self, now: datetime) -> AsyncIterator[Reminder]:
        cursor = self._reminders.find(
            {"next_at": {"$lte": now, "$type": "date"}},
            sort=[("next_at", ASCENDING)],
            limit=_SWEEP_LIMIT,
            comment=ALL_HOSPITALS,
        )
        async for document in cursor:
            yield _reminder_from(document)

    async def save(self, reminder: Reminder, event: Event | None) -> bool:
        values = _document(reminder)
        key = {"_id": values.pop("_id"), "hospital_id": reminder.hospital_id, "version": reminder.version - 1}
        update: Document = {"$set": values}
        if event is not None:
            update["$push"] = {"outbox": to_outbox(event)}
        return (await self._reminders.update_one(key, update)).matched_count == 1

    async def find_ladder(self, hospital_id: str) -> Ladder | None:
        found = await self._policies.find_one({"_id": hospital_id, "hospital_id": hospital_id})
        return None if found is None else parse_ladder(found["ladder"])

    async def save_ladder(self, hospital_id: str, ladder: Ladder, event: Event) -> None:
        await self._policies.update_one(
            {"_id": hospital_id, "hospital_id": hospital_id},
            {"$set": {"ladder": ladder_text(ladder)}, "$push": {"outbox": to_outbox(event)}},
            upsert=True,
        )


def _document(reminder: Reminder) -> Document:
    return {
        "_id": reminder.order_id,
        "hospital_id": reminder.hospital_id,
        "conversation_id": reminder.conversation_id,
        "doctor_id": reminder.doctor_id,
        "closes_at": reminder.closes_at,
        "rungs": [
            {
                "left_ms": rung.left_ms,
                "due_at": rung.due_at,
                "actions": [action.value for action in rung.actions],
                "outcome": rung.outcome.value if rung.outcome else None,
                "decided_at": rung.decided_at,
                "inputs": dict(rung.inputs) if rung.inputs is not None else None,
            }
            for rung in reminder.rungs
        ],
        "next_at": reminder.next_at,
        "version": reminder.version,
    }


def _reminder_from(document: Mapping[str, Any]) -> Reminder:
    return Reminder(
        order_id=document["_id"],
        hospital_id=document["hospital_id"],
        conversation_id=document["conversation_id"],
        doctor_id=document["doctor_id"],
        closes_at=document["closes_at"],
        rungs=tuple(
            Rung(
                left_ms=rung["left_ms"],
                due_at=rung["due_at"],
                actions=tuple(map(ReminderAction, rung["actions"])),
                outcome=RungOutcome(rung["outcome"]) if rung["outcome"] else None,
                decided_at=rung["decided_at"],
                inputs=rung["inputs"],
            )
            for rung in document["rungs"]
        ),
        version=document["version"],
    )
