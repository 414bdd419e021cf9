"""Bills fetched, compared and kept; differences are told loudly."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final

import structlog

from billing.domain import Refund
from billing.ports import Outboxes
from billing.reconciliation.domain import (
    LOOKS_BACK,
    WECHATPAY,
    BillLine,
    EntryKind,
    Reconciliation,
    day_bounds,
    days_to_compare,
    local_date,
    reconcile,
)
from billing.reconciliation.domain import Books as BooksOfDay
from billing.reconciliation.errors import BillNotReady
from billing.reconciliation.ports import Bills, Books, Reconciliations
from server.kernel.actor import DEFAULT_HOSPITAL, Actor, StaffRole, system_actor
from server.kernel.audit import Audit, Outcome, audit_row
from server.kernel.clock import Clock
from server.kernel.errors import DomainError, Forbidden, RequestInvalid
from server.kernel.outbox import event_of
from server.kernel.wire import decode_cursor, encode_cursor

log = structlog.get_logger(__name__)

RECONCILIATIONS: Final = "reconciliations"
"""The collection, for the relay."""

COMPARED: Final = "billing.bill_compared"
LISTED: Final = "billing.reconciliations_listed"
_READERS: Final = frozenset({StaffRole.FINANCE, StaffRole.MEDICAL_ADMIN})


@dataclass(frozen=True, slots=True)
class ReconciliationService:
    """The merchant's contract is the default hospital's, and so are its bills."""

    bills: Bills
    books: Books
    kept: Reconciliations
    clock: Clock
    relay: Outboxes
    audit: Audit

    async def compare_due(self) -> None:
        """Every whole day of the last week that was not compared yet; oldest first, so that what goes over midnight is known.
        Run again and again by a worker. A day that cannot be had now holds up those behind it: they rest on it."""
        now = self.clock.now()
        final = await self.kept.list_final(DEFAULT_HOSPITAL, WECHATPAY, local_date(now) - LOOKS_BACK)
        for day in days_to_compare(now, final):
            try:
                await self._compare(system_actor(DEFAULT_HOSPITAL, name="billing"), day)
            except BillNotReady:
                return
            except DomainError as error:
                log.warning("billing.bill_not_compared", day=day.isoformat(), code=error.code)
                return

    async def compare(self, actor: Actor, day: date) -> Reconciliation:
        """A person wants a day compared, or compared again. For finance. Raises Forbidden, RequestInvalid, BillNotReady,
        GatewayUnknown, GatewayRefused."""
        if StaffRole.FINANCE not in actor.staff_roles:
            await self._deny(actor, COMPARED)
        if day > local_date(self.clock.now()):
            raise RequestInvalid(day="has not come yet")
        return await self._compare(actor, day)

    async def list_all(self, actor: Actor, limit: int, cursor: str | None) -> tuple[list[Reconciliation], str | None]:
        """Newest day first. For finance and medical administrators."""
        if not actor.staff_roles & _READERS:
            await self._deny(actor, LISTED)
        before = None
        if cursor is not None:
            day, place = decode_cursor(cursor, str, str)
            before = (day, place)
        found = list(await self.kept.list_of(actor.hospital_id, limit=limit + 1, before=before))
        await self.audit.record(audit_row(actor, LISTED, subject=actor.hospital_id, at=self.clock.now()))
        if len(found) <= limit:
            return found, None
        last = found[limit - 1]
        return found[:limit], encode_cursor(last.day.isoformat(), last.id)

    async def _compare(self, actor: Actor, day: date) -> Reconciliation:
        hospital_id = DEFAULT_HOSPITAL
        lines = await self.bills.fetch(day)
        now = self.clock.now()
        done = reconcile(hospital_id, WECHATPAY, day, lines, await self._books_of(hospital_id, day, lines), now)
        event = event_of(
            actor, COMPARED, subject=done.id, at=now, hospital_id=hospital_id, day=day.isoformat(), findings=done.finding_count
        )
        refunds = [line.number for line in lines if line.kind is EntryKind.REFUND]
        await self.kept.save(done, refunds, event)
        self.relay.soon(RECONCILIATIONS, done.id, hospital_id)
        if done.finding_count:
            log.error("billing.bill_differs", reconciliation_id=done.id, day=day.isoformat(), findings=done.finding_count)
        return done

    async def _books_of(self, hospital_id: str, day: date, lines: Sequence[BillLine]) -> BooksOfDay:
        numbers = {kind: [line.number for line in lines if line.kind is kind] for kind in EntryKind}
        start, end = day_bounds(day)
        payments = await self.books.find_payments(hospital_id, numbers[EntryKind.PAYMENT])
        refunds = await self.books.find_refunds(hospital_id, numbers[EntryKind.REFUND])
        due = await self._due_refunds(hospital_id, day, start, end)
        due_numbers = [number for refund in due for number in (refund.out_refund_no, *refund.former_numbers)]
        return BooksOfDay(
            payments={payment.out_trade_no: payment for payment in payments},
            refunds={number: r for r in refunds for number in (*r.former_numbers, r.out_refund_no)},
            due_payments=await self.books.list_paid(hospital_id, start, end),
            due_refunds=due,
            billed=await self.kept.find_billed(hospital_id, due_numbers, other_than=day),
        )

    async def _due_refunds(self, hospital_id: str, day: date, start: datetime, end: datetime) -> list[Refund]:
        """What was paid out in the day stands in its bill, or in that of a day before, on which the gateway began it: known
        only where all those were compared."""
        final = set(await self.kept.list_final(hospital_id, WECHATPAY, day - LOOKS_BACK))
        compared_from = day
        while compared_from - timedelta(days=1) in final:
            compared_from -= timedelta(days=1)
        since = day_bounds(compared_from)[0]
        return [each for each in await self.books.list_refunded(hospital_id, start, end) if each.created_at >= since]

    async def _deny(self, actor: Actor, action: str) -> None:
        row = audit_row(actor, action, subject=actor.hospital_id, at=self.clock.now(), outcome=Outcome.DENIED)
        await self.audit.record(row)
        raise Forbidden()
