"""After-sales: asked by the patient, decided by a medical administrator; the log says what goes back, and billing pays it."""

from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import Final

from consult.domain.after_sales import (
    CAUSE,
    AfterSales,
    AfterSalesState,
    decide_case,
    require_askable,
)
from consult.domain.decisions import AlreadyDone, decide_after_sales, decide_after_sales_close
from consult.domain.notices import NoticeKind, notice_of
from consult.domain.order import ORDERS, Order
from consult.domain.tasks import TaskKind, new_task, task_id_of
from consult.errors import AfterSalesNotFound, AfterSalesTransitionRefused, OrderTransitionRefused
from consult.ports import Decide, Log, OrderMedia, OrderRepository, Outboxes, Payments
from consult.service.access import OrderAccess
from consult.service.announcer import OrderAnnouncer
from consult.service.notices import NoticeService
from consult.service.pages import cut_page, place_after
from consult.service.tasks import TaskService
from server.kernel.actor import Actor, Role, StaffRole
from server.kernel.audit import Audit, Outcome, audit_row
from server.kernel.clock import Clock
from server.kernel.errors import Forbidden, Unavailable
from server.kernel.ids import derived_id, is_id
from server.kernel.outbox import Event, event_of

ASKED: Final = "consult.after_sales_asked"
DECIDED: Final = "consult.after_sales_decided"
VIEWED: Final = "consult.after_sales_viewed"
LISTED: Final = "consult.after_sales_listed"
_TRIES: Final = 5
_DUE: Final = timedelta(hours=24)
_READERS: Final = frozenset({StaffRole.MEDICAL_ADMIN, StaffRole.FINANCE})
_DECIDERS: Final = frozenset({StaffRole.MEDICAL_ADMIN})


@dataclass(slots=True)
class AfterSalesService:
    """The case's document says what was decided; entry and refund follow from it, each once, however often."""

    access: OrderAccess
    orders: OrderRepository
    log: Log
    payments: Payments
    media: OrderMedia
    notices: NoticeService
    tasks: TaskService
    announcer: OrderAnnouncer
    audit: Audit
    relay: Outboxes
    clock: Clock

    async def ask(self, actor: Actor, order_id: str, reason: str, text: str, image_ids: tuple[str, ...]) -> Order:
        """The patient's, once an order. Raises OrderNotFound, OrderTransitionRefused, media.not_found."""
        order = await self.access.fresh(await self.access.access_order_as_patient(actor, order_id, ASKED))
        now = self.clock.now()
        require_askable(order.standing, order.after_sales, now)
        if image_ids:
            await self.media.claim_for_order(actor, order.hospital_id, order.id, image_ids)
        case = AfterSales(reason, text, image_ids, now)
        event = event_of(actor, ASKED, subject=order.id, at=now, order_id=order.id, hospital_id=order.hospital_id)
        if not await self.orders.ask_after_sales(order, case, event):
            raise OrderTransitionRefused(status=order.status.value, reason="asked_before")
        return await self._changed(order)

    async def view_own(self, actor: Actor, order_id: str) -> Order:
        """The patient's own case, with the hospital's answer. Raises OrderNotFound, AfterSalesNotFound."""
        order = await self.access.access_order_as_patient(actor, order_id, VIEWED)
        if order.after_sales is None:
            raise AfterSalesNotFound
        return order

    async def list_cases(
        self, actor: Actor, state: AfterSalesState | None, limit: int, cursor: str | None
    ) -> tuple[list[Order], str | None]:
        """Orders of the hospital with a case, asked last first. Raises Forbidden."""
        await self._require_staff(actor, _READERS, LISTED, "after_sales")
        found = await self.orders.list_after_sales(actor.hospital_id, state, limit=limit + 1, after=place_after(cursor))
        await self._record(actor, LISTED, "after_sales", None, Outcome.OK)
        return cut_page(found, limit, lambda order: (_case_of(order).asked_at, order.id))

    async def view_case(self, actor: Actor, case_id: str) -> Order:
        """One case, for staff. Raises Forbidden, AfterSalesNotFound."""
        await self._require_staff(actor, _READERS, VIEWED, case_id)
        order = await self._find(actor, case_id, VIEWED)
        await self._record(actor, VIEWED, order.id, order.id, Outcome.OK)
        return order

    async def decide(self, actor: Actor, case_id: str, *, granted: bool, amount_fen: int | None, answer: str) -> Order:
        """Raises Forbidden, AfterSalesNotFound, AfterSalesTransitionRefused, OrderTransitionRefused, RequestInvalid."""
        await self._require_staff(actor, _DECIDERS, DECIDED, case_id)
        order = await self.access.fresh(await self._find(actor, case_id, DECIDED))
        now = self.clock.now()
        case = decide_case(
            _case_of(order),
            order.standing,
            granted=granted,
            amount_fen=amount_fen,
            answer=answer,
            decided_by=actor.account_id,
            now=now,
        )
        event = event_of(
            actor,
            DECIDED,
            subject=order.id,
            at=now,
            order_id=order.id,
            hospital_id=order.hospital_id,
            granted=granted,
            amount_fen=case.amount_fen,
        )
        if not await self.orders.decide_after_sales(order, case, event):
            raise AfterSalesTransitionRefused
        order = await self._changed(order)
        await self._carry_out(order)
        return await self.access.fresh(order)

    async def asked(self, event: Event) -> None:
        """`consult.after_sales_asked`: a person decides it within a day."""
        await self.tasks.open(
            new_task(
                TaskKind.AFTER_SALES,
                cause=event.subject,
                hospital_id=event.hospital_id,
                subject=event.subject,
                order_id=event.order_id,
                due_at=event.at + _DUE,
                at=event.at,
            )
        )

    async def decided(self, event: Event) -> None:
        """`consult.after_sales_decided`: carry it out, whatever became of who decided it; tell the patient."""
        order = await self.orders.find(event.subject)
        if order is None or order.after_sales is None:
            return
        await self._carry_out(order)
        await self.tasks.withdraw(order.hospital_id, task_id_of(TaskKind.AFTER_SALES, order.id), "decided")
        notice = notice_of(
            NoticeKind.AFTER_SALES_DECIDED,
            cause=event.id,
            account_id=order.patient_account,
            hospital_id=order.hospital_id,
            order_id=order.id,
            at=event.at,
            granted=event.data["granted"],
            amount_fen=event.data["amount_fen"] or 0,
        )
        await self.notices.tell([notice])

    async def _carry_out(self, order: Order) -> None:
        """Write what goes back into the log, and have it paid; close first what is open, also where a recall opened it again.
        Each step is taken once. Where no reply counts any more nothing is written: the whole fee goes back by itself."""
        case = _case_of(order)
        if case.state is not AfterSalesState.GRANTED or order.captured_payment_id is None:
            return
        assert case.amount_fen is not None, "what is granted has an amount"
        assert case.decided_by is not None, "somebody decided it"
        grant = partial(
            decide_after_sales,
            amount_fen=case.amount_fen,
            decided_by=case.decided_by,
            command_id=derived_id("after_sales.grant", order.id),
        )
        close = partial(decide_after_sales_close, command_id=derived_id("after_sales.close", order.id))
        for _ in range(_TRIES):
            if await self._append(order, grant):
                await self.payments.refund(order.captured_payment_id, order.hospital_id, CAUSE, case.amount_fen)
                return
            facts = (await self.access.fresh(order)).facts
            if facts is None or not facts.open:
                return
            await self._append(order, close)
        raise Unavailable

    async def _append(self, order: Order, decide: Decide) -> bool:
        """Whether it stands in the log."""
        try:
            await self.log.append(order.conversation_id, decide)
        except AlreadyDone:
            return True
        except OrderTransitionRefused:
            return False
        return True

    async def _find(self, actor: Actor, case_id: str, action: str) -> Order:
        order = await self.orders.find(case_id) if is_id(case_id) else None
        if order is None or order.hospital_id != actor.hospital_id or order.after_sales is None:
            await self._record(actor, action, _subject(case_id), None, Outcome.DENIED)
            raise AfterSalesNotFound
        return order

    async def _changed(self, order: Order) -> Order:
        self.relay.soon(ORDERS, order.id, order.hospital_id)
        stored = await self.orders.find(order.id)
        assert stored is not None, "orders are not deleted"
        changed = replace(stored, facts=order.facts or stored.facts)
        self.announcer.announce(changed)
        return changed

    async def _require_staff(self, actor: Actor, roles: frozenset[StaffRole], action: str, subject: str) -> None:
        if actor.role is Role.STAFF and actor.staff_roles & roles:
            return
        await self._record(actor, action, _subject(subject), None, Outcome.DENIED)
        raise Forbidden

    async def _record(self, actor: Actor, action: str, subject: str, order_id: str | None, outcome: Outcome) -> None:
        row = audit_row(actor, action, subject=subject, at=self.clock.now(), order_id=order_id, outcome=outcome)
        await self.audit.record(row)


def _subject(text: str) -> str:
    """What an audit row may name: an id, or the kind of thing."""
    return text if is_id(text) else "after_sales"


def _case_of(order: Order) -> AfterSales:
    assert order.after_sales is not None, "it was found by its case"
    return order.after_sales
