"""Events that are written with the change that they follow from, and the relay that delivers them.

A repository pushes its events into the `outbox` array of the very document that it changes. The relay then records each as an
audit row, hands it to every consumer of its action, and pulls it out. It delivers at least once: after a crash the keeper's
sweep finds what was left. Consumers take an event twice without harm.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import structlog
from pymongo import ASCENDING, IndexModel

from server.kernel.actor import Actor
from server.kernel.audit import Audit, AuditRow, Outcome
from server.kernel.ids import new_id
from server.kernel.mongo import ALL_HOSPITALS, Database, Document

log = structlog.get_logger(__name__)

OUTBOX_INDEX: Final = IndexModel([("outbox.at", ASCENDING)], sparse=True)
"""Every collection with an outbox has this index."""

_SWEEP_LIMIT: Final = 500

_AT_ONCE: Final = 16
"""Deliveries under way in a process: thousands at once would wait for one another's connections, and for the audit's."""

Consumer = Callable[["Event"], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened, named `package.past_tense`. `data` holds ids and numbers, never words or names of people."""

    id: str
    action: str
    at: datetime
    hospital_id: str
    account_id: str
    role: str
    request_id: str
    subject: str
    order_id: str | None = None
    address: str | None = None
    data: Mapping[str, Any] = field(default_factory=dict)


def event_of(
    actor: Actor,
    action: str,
    *,
    subject: str,
    at: datetime,
    order_id: str | None = None,
    hospital_id: str | None = None,
    event_id: str | None = None,
    **data: Any,
) -> Event:
    """The event of what this actor does now."""
    return Event(
        id=event_id or new_id(),
        action=action,
        at=at,
        hospital_id=hospital_id or actor.hospital_id,
        account_id=actor.account_id,
        role=actor.role.value,
        request_id=actor.request_id,
        subject=subject,
        order_id=order_id,
        address=actor.address,
        data=data,
    )


def to_outbox(event: Event) -> Document:
    """The form in which an event waits in its document."""
    return {
        "id": event.id,
        "action": event.action,
        "at": event.at,
        "hospital_id": event.hospital_id,
        "account_id": event.account_id,
        "role": event.role,
        "request_id": event.request_id,
        "subject": event.subject,
        "order_id": event.order_id,
        "address": event.address,
        "data": dict(event.data),
    }


def from_outbox(document: Mapping[str, Any]) -> Event:
    return Event(**document)


class Relay:
    """Delivers outboxes. One in each process; several may deliver the same event at once."""

    def __init__(self, database: Database, audit: Audit) -> None:
        self._database = database
        self._audit = audit
        self._collections: set[str] = set()
        self._consumers: dict[str, list[Consumer]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._room = asyncio.Semaphore(_AT_ONCE)
        self._under_way: dict[tuple[str, Any, str], bool] = {}
        """Documents that `soon` is at, and whether it was asked again since it last looked."""

    def watch(self, *collections: str) -> None:
        """Name the collections whose documents carry an outbox, for the sweep."""
        self._collections.update(collections)

    def on(self, action: str, consumer: Consumer) -> None:
        """Call `consumer` for every event of this action."""
        self._consumers.setdefault(action, []).append(consumer)

    def soon(self, collection: str, key: Any, hospital_id: str) -> None:
        """Deliver after this moment, without waiting: the sweep stands behind it. One delivery at a time a document."""
        place = (collection, key, hospital_id)
        known = place in self._under_way
        self._under_way[place] = known
        if known:
            return
        task = asyncio.create_task(self._deliver_all(place), name="outbox-deliver")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def deliver(self, collection: str, key: Any, hospital_id: str) -> None:
        """Deliver what waits in one document, in order. Stops at the first consumer that fails, and raises."""
        document = await self._database[collection].find_one(
            {"_id": key, "hospital_id": hospital_id}, projection={"outbox": True}
        )
        for waiting in (document or {}).get("outbox", []):
            event = from_outbox(waiting)
            await self._audit.record(_row(event))
            for consumer in self._consumers.get(event.action, []):
                await consumer(event)
            await self._database[collection].update_one(
                {"_id": key, "hospital_id": hospital_id}, {"$pull": {"outbox": {"id": event.id}}}
            )

    async def sweep(self, before: datetime) -> int:
        """Deliver what has waited since before that instant, in all watched collections. Returns the documents seen."""
        seen = 0
        for collection in sorted(self._collections):
            cursor = self._database[collection].find(
                {"outbox.at": {"$lt": before}},
                projection={"hospital_id": True},
                limit=_SWEEP_LIMIT,
                comment=ALL_HOSPITALS,
            )
            async for document in cursor:
                seen += 1
                await self._deliver_quietly(collection, document["_id"], document["hospital_id"])
        return seen

    async def close(self) -> None:
        """Wait for the deliveries under way."""
        while self._tasks:
            await asyncio.wait(set(self._tasks))

    async def _deliver_all(self, place: tuple[str, Any, str]) -> None:
        """Deliver, and once more whenever it was asked for meanwhile."""
        try:
            asked = True
            while asked:
                self._under_way[place] = False
                await self._deliver_quietly(*place)
                asked = self._under_way[place]
        finally:
            del self._under_way[place]

    async def _deliver_quietly(self, collection: str, key: Any, hospital_id: str) -> None:
        """Deliver; a failure is logged, and the sweep tries again."""
        try:
            async with self._room:
                await self.deliver(collection, key, hospital_id)
        except Exception as error:  # a consumer may fail in any way; the event stays in its outbox
            log.warning("outbox.delivery_failed", collection=collection, error=type(error).__name__, exc_info=True)


def _row(event: Event) -> AuditRow:
    return AuditRow(
        audit_id=event.id,
        at=event.at,
        hospital_id=event.hospital_id,
        account_id=event.account_id,
        role=event.role,
        action=event.action,
        subject=event.subject,
        order_id=event.order_id,
        outcome=Outcome.OK,
        request_id=event.request_id,
        address=event.address,
    )
