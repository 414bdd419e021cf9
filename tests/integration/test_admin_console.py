import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from admin_console.domain.access import ALLOWED, View
from admin_console.domain.audit import AuditFilter, Place, ShownRow
from admin_console.domain.orders import MoneyTotals, OrderFilter
from admin_console.mongo import MongoLedger
from billing.mongo import POSTINGS
from consult.domain.status import OrderStatus
from consult.errors import OrderNotFound
from im.domain import RecallMessage
from server.kernel.actor import PLATFORM, Actor, Role, StaffRole, system_actor
from server.kernel.audit import AUDIT, Outcome, audit_row
from server.kernel.errors import Forbidden
from server.kernel.ids import new_id
from server.kernel.mongo import Database
from tests.support.clock import ManualClock
from tests.support.supervision import DOCTOR, PATIENT, Supervision, staff, supervision

AUDITOR = staff(StaffRole.AUDITOR)
ADMIN = staff(StaffRole.MEDICAL_ADMIN)
HERE = AuditFilter("default")


@pytest.fixture
async def world(database: Database, clock: ManualClock, tmp_path: Path) -> AsyncIterator[Supervision]:
    made = await supervision(database, clock, tmp_path)
    yield made
    await made.close()


async def _record(world: Supervision, action: str, *, account: str = PATIENT, hospital_id: str = "default") -> str:
    actor = Actor(account, Role.PATIENT, hospital_id, new_id())
    row = audit_row(actor, action, subject="s", at=world.clock.now())
    await world.audit.record(row)
    return row.audit_id


async def _all(world: Supervision, wanted: AuditFilter, limit: int, *, newest_first: bool = True) -> list[ShownRow]:
    """Every page of a list, one after the other."""
    rows: list[ShownRow] = []
    place: Place | None = None
    while True:
        page = await world.query.list_rows(wanted, limit=limit, after=place, newest_first=newest_first)
        rows += page.rows
        if (place := page.next) is None:
            return rows
        assert len(page.rows) == limit


async def test_rows_come_newest_first_and_pages_neither_miss_nor_repeat_while_others_write(
    world: Supervision, clock: ManualClock
) -> None:
    ids = []
    for n in range(25):
        ids.append(await _record(world, "a.done"))
        if n % 4 == 0:
            clock.advance(timedelta(milliseconds=1))
    seen: list[str] = []
    place: Place | None = None
    while True:
        page = await world.query.search(AUDITOR, AuditFilter("default", action="a.done"), limit=4, after=place)
        seen += [row.audit_id for row in page.rows]
        clock.advance(timedelta(milliseconds=1))
        await _record(world, "a.done")
        if (place := page.next) is None:
            break
    assert len(seen) == 25
    assert set(seen) == set(ids)
    stored = {d["audit_id"]: d["at"] async for d in world.database[AUDIT].find({"action": "a.done"})}
    keys = [(stored[audit_id], audit_id) for audit_id in seen]
    assert keys == sorted(keys, reverse=True)


async def test_filters_narrow_by_actor_subject_action_and_time(world: Supervision, clock: ManualClock) -> None:
    first = await _record(world, "a.one")
    clock.advance(timedelta(seconds=1))
    second_at = clock.now()
    second = await _record(world, "a.two", account=DOCTOR)
    clock.advance(timedelta(seconds=1))
    third = await _record(world, "a.one", account=DOCTOR)

    async def found(**wanted: object) -> list[str]:
        return [row.audit_id for row in await _all(world, AuditFilter("default", **wanted), 10)]  # type: ignore[arg-type]

    assert await found() == [third, second, first]
    assert await found(actor=DOCTOR) == [third, second]
    assert await found(action="a.one") == [third, first]
    assert await found(action="a.one", actor=DOCTOR) == [third]
    assert await found(subject="other") == []
    assert await found(since=second_at) == [third, second]
    assert await found(until=second_at) == [first]
    assert await found(since=second_at, until=second_at + timedelta(milliseconds=1)) == [second]


async def test_rows_of_another_hospital_are_not_there_and_those_of_patients_accounts_are(world: Supervision) -> None:
    await _record(world, "a.other", hospital_id="another")
    refused = await _record(world, "a.platform", hospital_id=PLATFORM)
    assert [row.audit_id for row in await _all(world, HERE, 10)] == [refused]


async def test_with_an_order_its_conversation_is_told_too(world: Supervision, clock: ManualClock) -> None:
    order = await world.order()
    clock.advance(timedelta(seconds=1))
    await world.say(order, PATIENT)
    clock.advance(timedelta(seconds=1))
    denied = Actor("c" * 32, Role.PATIENT, PLATFORM, new_id())
    row = audit_row(denied, "consult.order_viewed", subject=order.id, at=clock.now(), order_id=order.id, outcome=Outcome.DENIED)
    await world.audit.record(row)
    clock.advance(timedelta(seconds=1))
    seq = await world.say(order, DOCTOR)
    recall = RecallMessage(DOCTOR, new_id(), seq)
    await world.log.recall(Actor(DOCTOR, Role.DOCTOR, "default", new_id()), order.conversation_id, recall)
    rows = await _all(world, AuditFilter("default", order_id=order.id), 2)
    assert [(r.action, r.account_id, r.role, r.subject) for r in rows] == [
        ("im.recall", DOCTOR, "doctor", f"{order.conversation_id}:4"),
        ("im.message", DOCTOR, "doctor", f"{order.conversation_id}:3"),
        ("consult.order_viewed", "c" * 32, "patient", order.id),
        ("im.message", PATIENT, "patient", f"{order.conversation_id}:2"),
        ("im.opened", "system", "system", f"{order.conversation_id}:1"),
    ]
    assert {r.order_id for r in rows} == {order.id}
    assert [r.outcome for r in rows].count(Outcome.DENIED) == 1
    assert await _all(world, AuditFilter("default", order_id=order.id), 2, newest_first=False) == rows[::-1]
    by_doctor = await _all(world, AuditFilter("default", order_id=order.id, actor=DOCTOR), 1)
    assert [r.seq for r in by_doctor] == [4, 3]
    recalls = await _all(world, AuditFilter("default", order_id=order.id, action="im.recall"), 1)
    assert [r.seq for r in recalls] == [4]


async def test_a_long_conversation_pages_in_order_with_rows_between(world: Supervision, clock: ManualClock) -> None:
    order = await world.order()
    for n in range(60):
        await world.say(order, PATIENT)
        if n % 7 == 0:
            clock.advance(timedelta(milliseconds=1))
            row = audit_row(system_actor(), "a.b", subject="s", at=clock.now(), order_id=order.id)
            await world.audit.record(row)
    wanted = AuditFilter("default", order_id=order.id)
    for limit in (1, 7, 100):
        rows = await _all(world, wanted, limit)
        assert [r.seq for r in rows if r.seq is not None] == list(range(61, 0, -1))
        assert sum(r.action == "a.b" for r in rows) == 9
        assert await _all(world, wanted, limit, newest_first=False) == rows[::-1]


async def test_a_search_is_recorded_and_does_not_stand_in_its_own_answer(world: Supervision) -> None:
    first = await world.query.search(AUDITOR, HERE, limit=10, after=None)
    assert first.rows == ()
    (row,) = (await world.query.search(AUDITOR, HERE, limit=10, after=None)).rows
    assert (row.action, row.account_id, row.outcome, row.request_id) == (
        "admin.audit_searched",
        AUDITOR.account_id,
        Outcome.OK,
        AUDITOR.request_id,
    )


_OF_TWO = frozenset({View.REVEAL_ASKED, View.REVEAL_AGREED, View.REVEAL_REFUSED, View.REVEALED})
"""What takes two people: `test_admin_custody`."""


@pytest.mark.parametrize("role", list(StaffRole))
@pytest.mark.parametrize("view", [view for view in View if view not in _OF_TWO])
async def test_each_view_is_for_its_roles_and_a_refusal_is_recorded(world: Supervision, view: View, role: StaffRole) -> None:
    order = await world.order()
    actor = staff(role)
    calls = {
        View.AUDIT: lambda: world.query.search(actor, HERE, limit=1, after=None),
        View.MESSAGES: lambda: world.search.search(actor, "头痛", order_id=None, patient_id=PATIENT, limit=1, cursor=None),
        View.ORDERS: lambda: world.desk.list_orders(actor, OrderFilter("default"), limit=1, after=None),
        View.ORDER: lambda: world.desk.view_order(actor, order.id),
        View.TIMELINE: lambda: world.desk.view_timeline(actor, order.id, limit=1, after=None),
        View.FIGURES: lambda: world.desk.view_figures(actor),
        View.EXPORT: lambda: world.export.for_staff(actor, order.id, inline=False),
        View.LEAK: lambda: world.tracing.trace(actor, b""),
        View.BOARD: lambda: world.board.view_board(actor),
        View.DOSSIER: lambda: world.dossiers.view(actor, order.id),
        View.PATIENT: lambda: world.dossiers.find_patient_account(actor, "13812341234"),
        View.VERIFICATION: lambda: world.proofs.list_newest(actor),
        View.REVEALS: lambda: world.custody.list_newest(actor),
        View.HL7: lambda: world.repairs.list_failed(actor),
    }
    allowed = role in ALLOWED[view]
    if allowed:
        await calls[view]()
    else:
        with pytest.raises(Forbidden):
            await calls[view]()
    (row,) = await world.database[AUDIT].find({"account_id": actor.account_id}).to_list()
    assert (row["action"], row["outcome"]) == (view.value, "ok" if allowed else "denied")


@pytest.mark.parametrize("role", [Role.PATIENT, Role.DOCTOR, Role.ANONYMOUS])
async def test_nobody_but_staff_may_search(world: Supervision, role: Role) -> None:
    actor = Actor(PATIENT, role, "default", new_id(), staff_roles=frozenset(StaffRole))
    with pytest.raises(Forbidden):
        await world.query.search(actor, HERE, limit=1, after=None)


async def test_orders_are_listed_newest_first_and_narrowed(world: Supervision, clock: ManualClock) -> None:
    orders = []
    for n in range(5):
        orders.append(await world.order(paid=n % 2 == 0))
        clock.advance(timedelta(seconds=1))
    await world.order(hospital_id="another")
    first, more = await world.desk.list_orders(ADMIN, OrderFilter("default"), limit=3, after=None)
    assert more
    last = first[-1]
    rest, more = await world.desk.list_orders(ADMIN, OrderFilter("default"), limit=3, after=(last.created_at, last.id))
    assert not more
    assert [order.id for order in first + rest] == [order.id for order in reversed(orders)]

    async def found(**wanted: object) -> list[str]:
        listed, _ = await world.desk.list_orders(
            ADMIN,
            OrderFilter("default", **wanted),
            limit=10,
            after=None,  # type: ignore[arg-type]
        )
        return [order.id for order in listed]

    assert await found(status=OrderStatus.PENDING_PAYMENT) == [orders[3].id, orders[1].id]
    assert await found(number=orders[2].number) == [orders[2].id]
    assert await found(doctor_id="e" * 32) == []
    assert await found(since=orders[1].created_at, until=orders[3].created_at) == [orders[2].id, orders[1].id]


async def test_an_order_is_shown_as_its_log_stands_and_elsewhere_it_does_not_exist(world: Supervision) -> None:
    order = await world.order()
    assert (await world.desk.view_order(ADMIN, order.id)).status is OrderStatus.AWAITING_DOCTOR
    await world.say(order, DOCTOR)
    assert (await world.desk.view_order(ADMIN, order.id)).status is OrderStatus.IN_SESSION
    unpaid = await world.order(paid=False)
    assert (await world.desk.view_order(ADMIN, unpaid.id)).status is OrderStatus.PENDING_PAYMENT
    for order_id in (order.id, new_id(), "nothing"):
        elsewhere = staff(StaffRole.MEDICAL_ADMIN, hospital_id="another")
        with pytest.raises(OrderNotFound):
            await world.desk.view_order(elsewhere, order_id)
        with pytest.raises(OrderNotFound):
            await world.desk.view_timeline(elsewhere, order_id, limit=1, after=None)
    denied = {"hospital_id": "another", "order_id": order.id, "outcome": "denied"}
    assert sorted(await world.database[AUDIT].distinct("action", denied)) == [View.ORDER, View.TIMELINE]


async def test_figures_count_orders_and_sum_the_ledger(world: Supervision) -> None:
    await world.order()
    await world.order(paid=False)
    for lines in (
        {"clearing:wechat_h5": 5000, "held": -5000},
        {"clearing:wechat_h5": 3000, "held": -3000},
        {"held": 5000, "income": -5000},
        {"held": 3000, "refunds_payable": -3000},
        {"refunds_payable": 1000, "clearing:wechat_h5": -1000},
    ):
        await _post(world, lines)
    await _post(world, {"held": -7}, hospital_id="another")
    figures = await world.desk.view_figures(staff(StaffRole.FINANCE))
    assert figures.money == MoneyTotals(paid_fen=8000, held_fen=0, earned_fen=5000, refunded_fen=3000)
    assert figures.counts.by_status[OrderStatus.AWAITING_DOCTOR] == 1
    assert figures.counts.by_status[OrderStatus.PENDING_PAYMENT] == 1
    assert sum(figures.counts.by_status.values()) == 2
    assert figures.counts.replied_rate is None


async def _post(world: Supervision, lines: dict[str, int], *, hospital_id: str = "default", at: datetime | None = None) -> None:
    posting = {"_id": new_id(), "hospital_id": hospital_id, "at": at or world.clock.now(), "lines": lines}
    await world.database[POSTINGS].insert_one(posting)


async def test_days_that_are_over_are_summed_once_and_never_read_again(world: Supervision) -> None:
    """Also where several ask at once, and a day's last postings are told an hour after it."""
    ledger, paid = MongoLedger(world.database), {"clearing:wechat_h5": 100, "held": -100}
    start, posted = world.clock.now(), 0
    for day in range(3):
        for number in range(100):
            await _post(world, paid, at=start + timedelta(days=day, seconds=number))
            posted += 100
        now = start + timedelta(days=day, hours=2)
        answers = await asyncio.gather(*(ledger.totals("default", now) for _ in range(4)))
        assert answers == [MoneyTotals(paid_fen=posted, held_fen=posted, earned_fen=0, refunded_fen=0)] * 4
    await world.database[POSTINGS].delete_many({"at": {"$lt": start + timedelta(days=1)}})
    midnight = (start + timedelta(days=3)).replace(hour=0, minute=0, second=0, microsecond=0)
    late = midnight - timedelta(milliseconds=1)
    for now in (midnight + timedelta(minutes=30), midnight + timedelta(hours=1)):
        await _post(world, paid, at=late)
        posted += 100
        assert (await ledger.totals("default", now)).paid_fen == posted
    assert (await ledger.totals("another", midnight)).paid_fen == 0


async def test_what_has_not_the_form_of_an_id_is_not_written_down(world: Supervision) -> None:
    for order_id in ("13800000001", "f" * 32):
        with pytest.raises(Forbidden):
            await world.desk.view_order(staff(StaffRole.FINANCE), order_id)
    rows = await world.database[AUDIT].find({"action": View.ORDER, "outcome": "denied"}).to_list()
    assert sorted((row["subject"], row["order_id"]) for row in rows if row["order_id"]) == [("f" * 32, "f" * 32)]
    assert [row["subject"] for row in rows if not row["order_id"]] == ["order"]
