"""The intake: each message is read, held and answered; what cannot be taken is answered with the reason and kept for repair.

An answer AA means that all of it is stored by a majority. A message that comes again is answered as the first time and changes
nothing; each write takes the newer of two, so order and repetition do no harm. Where the database does not answer there is no
answer either, and the sender sends again.
"""

import asyncio
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any, Final, TypeVar

import structlog

from ehr_view.hl7.domain import (
    DROPPED,
    RECEIVED,
    REFUSED,
    RETRIED,
    Arrival,
    HeldMessage,
    HeldRecord,
    Identity,
    MessageStatus,
    PersonFacts,
    Repair,
    Standing,
    StoredForm,
    Version,
)
from ehr_view.hl7.lanes import lanes_of
from ehr_view.hl7.mapping import arrivals_of
from ehr_view.hl7.message import Hl7Refused, Message, acknowledge, header_of, parse
from ehr_view.hl7.ports import Critical, HeldRecords, Messages
from server.kernel.actor import Actor, system_actor
from server.kernel.audit import Audit, AuditRow, Outcome, audit_row
from server.kernel.clock import Clock
from server.kernel.errors import Unavailable
from server.kernel.ids import derived_id, new_id

log = structlog.get_logger(__name__)

_T = TypeVar("_T")

_BIG_BYTES: Final = 32 * 1024
_BIG_SEGMENTS: Final = 200
_MOST_FORMS: Final = 10
_KIND: Final = re.compile(r"[A-Z0-9]{3}(\^[A-Z0-9]{3})?")
_NO_MESSAGE: Final = Hl7Refused("message.unreadable")
_NO_ROOM: Final = Hl7Refused("repair.no_room")
_SENDER: Final = "hl7"


@dataclass(frozen=True, slots=True)
class ReadMessage:
    """A message taken apart, or why it could not be. `lanes`: of two that share one, the first is to be stored before the
    second is looked at."""

    data: bytes
    lanes: frozenset[str]
    message: Message | None = None
    refused: Hl7Refused | None = None


class Intake:
    def __init__(
        self,
        *,
        hospital_id: str,
        messages: Messages,
        records: HeldRecords,
        critical: Critical | None,
        audit: Audit,
        clock: Clock,
    ) -> None:
        self._hospital_id = hospital_id
        self._messages = messages
        self._records = records
        self._critical = critical
        self._audit = audit
        self._clock = clock

    async def read(self, data: bytes) -> ReadMessage:
        """What came, taken apart; nothing is done about it yet."""
        try:
            message = await _aside(parse, data)
        except Hl7Refused as refused:
            return ReadMessage(data, frozenset({f"bytes {sha256(data).hexdigest()}"}), refused=refused)
        return ReadMessage(data, lanes_of(message), message)

    async def take(self, read: ReadMessage, address: str = "") -> bytes:
        """The answer to a message, once it is stored. Raises what the database raises."""
        actor = replace(system_actor(self._hospital_id, name=_SENDER), address=address or None)
        if read.message is not None:
            return await self._take(actor, read.message, read.data)
        own_id = _id_of_bytes(self._hospital_id, read.data)
        held = self._held(read.data, header_kind(read.data), control_id="", message_id=own_id)
        return self._answer(None, read.data, await self._refuse(actor, held, read.refused or _NO_MESSAGE))

    def too_large(self, head: bytes) -> bytes:
        """The answer to a message that is longer than we take; it is not kept."""
        return self._answer(None, head, Hl7Refused("message.too_large", reject=True))

    async def list_failed(self, limit: int) -> Sequence[HeldMessage]:
        """What waits for repair, oldest first, without its words."""
        return await self._messages.list_failed(self._hospital_id, limit=limit)

    async def retry(self, message_id: str) -> Repair | None:
        """Take a failed message again. None where there is none."""
        held = await self._messages.read(self._hospital_id, message_id)
        if held is None or held.status is not MessageStatus.FAILED:
            return None
        actor = system_actor(self._hospital_id, name="hl7-repair")
        row = audit_row(actor, RETRIED, subject=message_id, at=self._clock.now())
        await self._audit.record(row)
        try:
            await self._apply(await self._prepare(await _aside(parse, held.data)))
        except Hl7Refused as refused:
            await self._messages.fail(replace(held, reason=refused.code, where=refused.where))
            return Repair(message_id, is_accepted=False, reason=f"{refused.code} {refused.where}".strip())
        await self._messages.accept(replace(held, reason="", where="", received_at=self._clock.now()))
        return Repair(message_id, is_accepted=True)

    async def drop(self, message_id: str) -> bool:
        """Throw a failed message away. False where there is none."""
        if not await self._messages.drop(self._hospital_id, message_id):
            return False
        actor = system_actor(self._hospital_id, name="hl7-repair")
        await self._audit.record(audit_row(actor, DROPPED, subject=message_id, at=self._clock.now()))
        return True

    # One message

    async def _take(self, actor: Actor, message: Message, data: bytes) -> bytes:
        message_id = derived_id("hl7", self._hospital_id, message.sender, message.control_id)
        kind = header_kind(data)
        held = self._held(data, kind, control_id=message.control_id, message_id=message_id)
        known, prepared = await asyncio.gather(
            self._messages.find(self._hospital_id, message_id), self._prepare(message), return_exceptions=True
        )
        if isinstance(known, BaseException):
            raise known
        if known is not None and known.status is MessageStatus.ACCEPTED:
            if known.digest == held.digest:
                await self._audit.record(_received(actor, known))  # the first time may have ended before it
                return self._answer(message, data, None)
            other = replace(held, id=_id_of_bytes(self._hospital_id, data))
            refused = Hl7Refused("message.control_id_reused", "MSH^1^10", condition="205")
            return self._answer(message, data, await self._refuse(actor, other, refused))
        if isinstance(prepared, Hl7Refused):
            return self._answer(message, data, await self._refuse(actor, held, prepared))
        if isinstance(prepared, BaseException):
            raise prepared
        await self._apply(prepared)
        async with asyncio.TaskGroup() as both:
            both.create_task(self._audit.record(_received(actor, held)))
            both.create_task(self._messages.accept(held))
        log.info("hl7.accepted", message_id=message_id, kind=kind)
        return self._answer(message, data, None)

    async def _prepare(self, message: Message) -> Sequence[tuple[Arrival, Identity | None]]:
        """What it says, and of whom; nothing is stored. Raises Hl7Refused."""
        now = self._clock.now()
        try:
            arrivals = await _aside(arrivals_of, message, self._hospital_id, now)
        except (ValueError, LookupError, TypeError, ArithmeticError, RecursionError) as error:
            log.exception("hl7.unreadable")
            raise Hl7Refused("message.unreadable") from error
        return [(arrival, await self._identity(arrival)) for arrival in arrivals]

    async def _apply(self, prepared: Sequence[tuple[Arrival, Identity | None]]) -> None:
        """Hold everything that it says, or nothing is said to be held: all of it can be done again."""
        for arrival, identity in prepared:
            if identity is not None:
                await self._hold(arrival, identity)

    async def _identity(self, arrival: Arrival) -> Identity | None:
        """Who it is: by the document's number, or by the hospital's own where an earlier message said whose that is. None: a
        person without results whom we cannot name. Raises Hl7Refused."""
        person = arrival.person
        known = await self._records.find_cards(self._hospital_id, person.cards)
        if person.identity is None:
            if len(known) == 1:
                return next(iter(known))
            if known:
                raise Hl7Refused("patient.two_identities", "PID^1^3", condition="204")
            if arrival.records or arrival.withdrawn_ids or arrival.merged_cards:
                raise Hl7Refused("patient.unknown", "PID^1^3", condition="204")
            return None
        if arrival.records and any(found != person.identity for found in known):
            raise Hl7Refused("patient.mismatch", "PID^1^3", condition="204")
        return person.identity

    async def _hold(self, arrival: Arrival, identity: Identity) -> None:
        person = replace(arrival.person, identity=identity)
        cards = (*person.cards, *arrival.merged_cards)
        async with asyncio.TaskGroup() as both:
            both.create_task(self._records.give_cards(self._hospital_id, identity, cards, arrival.sent_at))
            both.create_task(self._put(arrival, identity, person))
        if arrival.withdrawn_ids:
            version = Version(arrival.sent_at, Standing.WITHDRAWN, arrival.sent_at)
            await self._records.withdraw(self._hospital_id, arrival.withdrawn_ids, version)

    async def _put(self, arrival: Arrival, identity: Identity, person: PersonFacts) -> None:
        for arrived in arrival.records:
            held, version = HeldRecord(arrived.record, person), arrived.version
            is_newest = await self._records.put(self._hospital_id, identity, held, version, withdrawn=arrived.is_withdrawn)
            if self._critical is not None:
                form = StoredForm(held, version.text, arrived.is_withdrawn)
                await self._settle(self._critical, form if is_newest else None, arrived.record.id)

    async def _settle(self, critical: Critical, form: StoredForm | None, record_id: str) -> None:
        """Have what is held considered. `form`: what was held a moment ago; None: something newer than what came.

        A newer form may be stored while an older one is considered, and be considered before the older one's alarm is stored.
        So whoever raised or withdrew anything looks once more: whatever the order of their writes, the last word is on the
        newest form.
        """
        for _ in range(_MOST_FORMS):
            form = form or await self._records.find_form(self._hospital_id, record_id)
            if form is None or (identity := form.held.person.identity) is None:
                return
            person, record = form.held.person, form.held.record
            if not await critical.consider(self._hospital_id, identity, person, record, withdrawn=form.is_withdrawn):
                return
            found = await self._records.find_form(self._hospital_id, record_id)
            if found is None or found.version == form.version:
                return
            form = found
        raise Unavailable  # it is sent again

    # Refusals

    async def _refuse(self, actor: Actor, held: HeldMessage, refused: Hl7Refused) -> Hl7Refused:
        """Keep it for repair and leave a row; what is answered."""
        row = audit_row(actor, REFUSED, subject=held.id, at=held.received_at, outcome=Outcome.DENIED)
        await self._audit.record(row)
        log.warning("hl7.refused", message_id=held.id, kind=held.kind, reason=refused.code, where=refused.where)
        if refused.reject:
            return refused
        if await self._messages.fail(replace(held, reason=refused.code, where=refused.where)):
            return refused
        log.error("hl7.no_room_for_repair")
        return _NO_ROOM

    def _held(self, data: bytes, kind: str, *, control_id: str, message_id: str) -> HeldMessage:
        return HeldMessage(
            id=message_id,
            hospital_id=self._hospital_id,
            kind=kind,
            control_id=control_id,
            status=MessageStatus.FAILED,
            reason="",
            where="",
            received_at=self._clock.now(),
            tries=0,
            digest=_digest(data),
            data=data,
        )

    def _answer(self, message: Message | None, data: bytes, refused: Hl7Refused | None) -> bytes:
        header = message.header if message is not None else header_of(data)
        charset = message.charset if message is not None else "utf-8"
        code = "AA" if refused is None else "AR" if refused.reject else "AE"
        return acknowledge(header, code, own_id=new_id(), at=self._clock.now(), charset=charset, refused=refused)


def _received(actor: Actor, held: HeldMessage) -> AuditRow:
    """One a message, however often it comes."""
    return audit_row(actor, RECEIVED, subject=held.id, at=held.received_at, audit_id=derived_id("hl7.audit", held.id))


def header_kind(data: bytes) -> str:
    """`ORU^R01`, as far as the header says so in letters that it may; else empty."""
    header = header_of(data)
    kind = "^".join(filter(None, (header.get(9), header.get(9, 2)))) if header is not None else ""
    return kind if _KIND.fullmatch(kind) else ""


def _digest(data: bytes) -> bytes:
    """Of all but the header, whose time changes when a message is sent again."""
    return sha256(re.split(rb"[\r\n]", data.lstrip(), maxsplit=1)[-1]).digest()


def _id_of_bytes(hospital_id: str, data: bytes) -> str:
    """The id of a message that has none of its own: the same bytes are the same message."""
    return derived_id("hl7.bytes", hospital_id, sha256(data).hexdigest())


async def _aside(function: Callable[..., _T], *arguments: Any) -> _T:
    """Call it; for a long message in a thread, so that nothing else waits."""
    data = next((a for a in arguments if isinstance(a, bytes)), b"")
    segments = next((len(a.segments) for a in arguments if isinstance(a, Message)), 0)
    if len(data) > _BIG_BYTES or segments > _BIG_SEGMENTS or any(len(b) > _BIG_BYTES for b in _bodies(arguments)):
        return await asyncio.to_thread(function, *arguments)
    return function(*arguments)


def _bodies(arguments: Sequence[Any]) -> Iterator[str]:
    return (f for a in arguments if isinstance(a, Message) for s in a.segments if s.name == "OBX" for f in s.fields)
