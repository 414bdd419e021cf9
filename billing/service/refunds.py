"""Refunds: reserved in our books first, then asked for under one number until the gateway says how it ended."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

import structlog

from billing.domain import (
    MOST_REFUSALS,
    MOST_TRIES,
    SURPLUS,
    Payment,
    Refund,
    RefundEvent,
    RefundReport,
    RefundState,
    RefundStatus,
    decide_payout,
    decide_reservation,
    next_refund_status,
    pause_after,
)
from billing.errors import (
    GatewayRefused,
    GatewayUnknown,
    PaymentMismatch,
    PaymentNotFound,
    RefundNotFound,
    RefundStillAlive,
)
from billing.ports import Gateway, Gateways, Outboxes, PaymentRepository
from billing.service.batches import for_each
from server.kernel.actor import Actor, StaffRole, system_actor
from server.kernel.audit import Audit, Outcome, audit_row
from server.kernel.clock import Clock, to_ms
from server.kernel.errors import DomainError, Forbidden, Unavailable
from server.kernel.ids import derived_id, is_id, new_id
from server.kernel.jobs import JobQueue
from server.kernel.outbox import Event, event_of
from server.kernel.wire import cursor_instant, decode_cursor, encode_cursor

log = structlog.get_logger(__name__)

REFUNDS: Final = "refunds"
SUBMIT: Final = "billing.submit_refund"
SUCCEEDED: Final = "billing.refund_succeeded"
NEEDS_PERSON: Final = "billing.refund_needs_person"
_TRIES: Final = 10
_A_RUN: Final = 200
_CLAIM: Final = timedelta(seconds=30)
_READERS: Final = frozenset({StaffRole.FINANCE, StaffRole.MEDICAL_ADMIN})


@dataclass(frozen=True, slots=True)
class RefundPage:
    items: list[Refund]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class RefundService:
    payments: PaymentRepository
    gateways: Gateways
    clock: Clock
    relay: Outboxes
    audit: Audit
    jobs: JobQueue

    async def refund(self, payment_id: str, hospital_id: str, cause: str, amount_fen: int | None = None) -> Refund:
        """Owe this much (all that is left, if None) of a payment to its payer, for this cause. The same cause again is the
        same refund. Raises RefundRefused when that much is not there."""
        refund_id = derived_id("refund", payment_id, cause)
        for _ in range(_TRIES):
            # In this order: a payment that shows this refund's reservation was read after the refund was there to be found.
            payment = await self.payments.find(payment_id)
            if payment is None or payment.hospital_id != hospital_id:
                raise PaymentNotFound()
            if (known := await self.payments.find_refund(refund_id)) is not None:
                return known
            if (refund := await self._reserve(payment, refund_id, cause, amount_fen)) is not None:
                self.relay.soon(REFUNDS, refund.id, hospital_id)
                self.jobs.request(SUBMIT, refund.id)
                return refund
        raise Unavailable()

    async def refund_surplus(self, payment_id: str, hospital_id: str) -> Refund:
        """A payment for nothing (late, or the second of an order) goes back whole."""
        return await self.refund(payment_id, hospital_id, SURPLUS)

    async def refunds_of(self, order_id: str, hospital_id: str) -> list[Refund]:
        return await self.payments.list_refunds_of_order(order_id, hospital_id)

    async def list_refunds(self, actor: Actor, *, status: str | None, limit: int, cursor: str | None) -> RefundPage:
        """The hospital's refunds, newest first. For finance and medical administrators."""
        await self._require_reader(actor, "billing.refunds_listed")
        after = None
        if cursor is not None:
            at_ms, refund_id = decode_cursor(cursor, int, str)
            after = (cursor_instant(at_ms), refund_id)
        found = await self.payments.list_refunds(actor.hospital_id, status=status, limit=limit + 1, after=after)
        more = len(found) > limit
        items = found[:limit]
        await self.audit.record(audit_row(actor, "billing.refunds_listed", subject=actor.hospital_id, at=self.clock.now()))
        return RefundPage(items, _cursor(items[-1]) if more else None)

    async def submit_refund(self, refund_id: str) -> None:
        """One try, if it is due and nobody else is at it: ask the gateway under the refund's number, or how it went."""
        refund = await self.payments.find_refund(refund_id)
        if refund is None:
            raise RefundNotFound()
        now = self.clock.now()
        if refund.next_try_at is None or refund.next_try_at > now:
            return
        if await self.payments.claim_refund(refund, now + _CLAIM):
            claimed = replace(refund, next_try_at=now + _CLAIM, tries=refund.tries + 1, version=refund.version + 1)
            await self._try(claimed)

    async def submit_due_refunds(self) -> None:
        """Every refund whose next try is due, asked for or under way. Run again and again by a worker: what a lost hint or a
        lost callback left is found here."""
        await for_each(await self.payments.list_due_refunds(self.clock.now(), _A_RUN), self._submit_one)

    async def _submit_one(self, refund: Refund) -> None:
        """One of many: what is wrong with it must not stop the others."""
        try:
            await self.submit_refund(refund.id)
        except DomainError as error:
            log.warning("billing.refund_try_failed", refund_id=refund.id, code=error.code)

    async def report(self, report: RefundReport) -> None:
        """Book what the gateway said of a refund. Repeated, late and reordered reports converge. Of a former number only a
        success counts: that is money which moved."""
        refund = await self.payments.find_refund_by_number(report.out_refund_no)
        if refund is None:
            raise RefundNotFound()
        if report.amount_fen is not None and report.amount_fen != refund.amount_fen:
            await self._audit_denied(refund)
            raise PaymentMismatch(amount="is not what was asked for")
        if report.out_refund_no == refund.out_refund_no:
            await self._book(refund, report)
        elif report.state is RefundState.SUCCEEDED:
            if refund.status is RefundStatus.REFUNDED:
                log.error("billing.refund_paid_by_two_numbers", refund_id=refund.id, order_id=refund.order_id)
                await self._audit_denied(refund)
            await self._book(refund, report)

    async def restart_refund(self, actor: Actor, refund_id: str) -> Refund:
        """A person lets a failed refund begin again under a new number, which is safe only because the gateway is asked first
        and must say that the old one is dead."""
        if StaffRole.FINANCE not in actor.staff_roles:
            await self._deny(actor, "billing.refund_restarted", refund_id if is_id(refund_id) else REFUNDS)
        refund = await self.payments.find_refund(refund_id)
        if refund is None or refund.hospital_id != actor.hospital_id:
            raise RefundNotFound()
        status = next_refund_status(refund.status, RefundEvent.RESTARTED)
        report = await (await self._gateway_of(refund)).query_refund(refund.out_refund_no)
        if report.state in (RefundState.SUCCEEDED, RefundState.PROCESSING):
            await self._revive(refund, report)
            raise RefundStillAlive()
        again = replace(
            refund,
            status=status,
            out_refund_no=new_id(),
            former_numbers=(*refund.former_numbers, refund.out_refund_no),
            tries=0,
            refusals=0,
            next_try_at=self.clock.now(),
            problem=None,
        )
        if not await self.payments.save_refund(again, self._event(actor, refund, "billing.refund_restarted")):
            raise Unavailable()
        self.relay.soon(REFUNDS, refund.id, refund.hospital_id)
        self.jobs.request(SUBMIT, refund.id)
        return replace(again, version=again.version + 1)

    async def _revive(self, refund: Refund, report: RefundReport) -> None:
        """The old number lives: book what it did, or go on asking for it."""
        if report.state is RefundState.SUCCEEDED:
            await self._book(refund, report)
            return
        status = next_refund_status(refund.status, RefundEvent.RESUMED)
        await self.payments.save_refund(replace(refund, status=status, tries=1, next_try_at=self.clock.now()), None)

    # --- one try ---

    async def _try(self, refund: Refund) -> None:
        try:
            report = await self._ask(refund)
        except GatewayUnknown:
            await self._put_off(refund, "no_answer")
        except GatewayRefused as refusal:
            reason = str(refusal.fields.get("reason", "refused"))
            await self._put_off(replace(refund, refusals=refund.refusals + 1), reason)
        else:
            if report.amount_fen is not None and report.amount_fen != refund.amount_fen:
                await self._audit_denied(refund)
                await self._fail(refund, "another_amount")
            else:
                await self._book(refund, report)

    async def _ask(self, refund: Refund) -> RefundReport:
        """Only the first try sends unasked: whatever may have been sent before is queried before it is sent again."""
        gateway = await self._gateway_of(refund)
        if refund.tries > 1:
            report = await gateway.query_refund(refund.out_refund_no)
            if report.state is not RefundState.UNKNOWN_THERE:
                return report
        return await gateway.refund(refund, await self._payment_of(refund))

    async def _put_off(self, refund: Refund, problem: str) -> None:
        if refund.tries >= MOST_TRIES or refund.refusals >= MOST_REFUSALS:
            await self._fail(refund, problem)
            return
        later = replace(refund, problem=problem, next_try_at=self.clock.now() + pause_after(refund.tries))
        await self.payments.save_refund(later, None)
        log.warning("billing.refund_put_off", refund_id=refund.id, problem=problem, tries=refund.tries)

    async def _fail(self, refund: Refund, problem: str) -> bool:
        """Hand it to a person. False when somebody else changed it meanwhile."""
        if refund.status is RefundStatus.NEEDS_PERSON:
            return True
        status = next_refund_status(refund.status, RefundEvent.FAILED)
        failed = replace(refund, status=status, problem=problem, next_try_at=None)
        event = self._event(
            system_actor(refund.hospital_id, name="billing"), refund, NEEDS_PERSON, refund_id=refund.id, problem=problem
        )
        stored = await self.payments.save_refund(failed, event)
        if stored:
            self.relay.soon(REFUNDS, refund.id, refund.hospital_id)
            log.error("billing.refund_needs_person", refund_id=refund.id, problem=problem)
        return stored

    async def _book(self, refund: Refund, report: RefundReport) -> None:
        """Each outcome is saved under the refund's version; who loses that race looks again and finds it done."""
        for _ in range(_TRIES):
            if refund.status is RefundStatus.REFUNDED or await self._book_once(refund, report):
                self.relay.soon(REFUNDS, refund.id, refund.hospital_id)
                return
            found = await self.payments.find_refund(refund.id)
            if found is None:
                raise RefundNotFound()
            refund = found
        raise Unavailable()

    async def _book_once(self, refund: Refund, report: RefundReport) -> bool:
        now = self.clock.now()
        if report.state is RefundState.SUCCEEDED:
            return await self._pay_out(refund, report, now)
        if report.state in (RefundState.ABNORMAL, RefundState.CLOSED):
            return await self._fail(refund, report.state.value)
        if refund.status is RefundStatus.NEEDS_PERSON:
            return True
        status = next_refund_status(refund.status, RefundEvent.ACCEPTED)
        accepted = replace(
            refund,
            status=status,
            problem=None,
            gateway_refund_id=report.gateway_refund_id,
            next_try_at=now + pause_after(refund.tries),
        )
        return await self.payments.save_refund(accepted, None)

    async def _pay_out(self, refund: Refund, report: RefundReport, now: datetime) -> bool:
        payment = await self._payment_of(refund)
        done, movement = decide_payout(payment, refund, report.gateway_refund_id, now)
        event = event_of(
            system_actor(refund.hospital_id, name="gateway"),
            SUCCEEDED,
            subject=refund.id,
            at=now,
            order_id=refund.order_id,
            event_id=derived_id(SUCCEEDED, refund.id),
            refund_id=refund.id,
            payment_id=refund.payment_id,
            cause=refund.cause,
            amount_fen=refund.amount_fen,
        )
        return await self.payments.pay_out(movement, done, event)

    async def _reserve(self, payment: Payment, refund_id: str, cause: str, wanted_fen: int | None) -> Refund | None:
        """None when somebody else moved money of this payment meanwhile."""
        refund, movement = decide_reservation(payment, refund_id, cause, wanted_fen, self.clock.now())
        actor = system_actor(payment.hospital_id, name="billing")
        event = self._event(
            actor,
            refund,
            "billing.refund_reserved",
            refund_id=refund_id,
            payment_id=payment.id,
            cause=cause,
            amount_fen=refund.amount_fen,
        )
        return refund if await self.payments.reserve(movement, refund, event) else None

    # --- who and where ---

    async def _payment_of(self, refund: Refund) -> Payment:
        payment = await self.payments.find(refund.payment_id)
        if payment is None:
            raise PaymentNotFound()
        return payment

    async def _gateway_of(self, refund: Refund) -> Gateway:
        return self.gateways[(await self._payment_of(refund)).channel]

    async def _require_reader(self, actor: Actor, action: str) -> None:
        if not actor.staff_roles & _READERS:
            await self._deny(actor, action, actor.hospital_id)

    async def _deny(self, actor: Actor, action: str, subject: str) -> None:
        await self.audit.record(audit_row(actor, action, subject=subject, at=self.clock.now(), outcome=Outcome.DENIED))
        raise Forbidden()

    async def _audit_denied(self, refund: Refund) -> None:
        actor = system_actor(refund.hospital_id, name="gateway")
        await self.audit.record(
            audit_row(
                actor, SUCCEEDED, subject=refund.id, at=self.clock.now(), order_id=refund.order_id, outcome=Outcome.DENIED
            )
        )

    def _event(self, actor: Actor, refund: Refund, action: str, **data: Any) -> Event:
        return event_of(
            actor,
            action,
            subject=refund.id,
            at=self.clock.now(),
            order_id=refund.order_id,
            hospital_id=refund.hospital_id,
            **data,
        )


def _cursor(refund: Refund) -> str:
    return encode_cursor(to_ms(refund.created_at), refund.id)
