"""A day's bill of the simulated gateway against real books."""

from collections.abc import AsyncIterator
from datetime import date, timedelta
from typing import Any

import pytest

from billing.errors import GatewayUnknown
from billing.reconciliation import mongo as kept
from billing.reconciliation.domain import Difference, EntryKind, Reconciliation
from billing.reconciliation.errors import BillNotReady
from billing.reconciliation.mongo import MongoBooks, MongoReconciliations
from billing.reconciliation.service import ReconciliationService
from billing.reconciliation.wechatpay import WechatBills
from server.kernel.actor import Actor, Role, StaffRole
from server.kernel.errors import Forbidden, RequestInvalid
from server.kernel.mongo import Database
from tests.support.billing import FINANCE, PATIENT, World, billing_world
from tests.support.clock import ManualClock
from tests.support.indexes import make_indexes

DAY = date(2026, 1, 5)
ADMIN = Actor("c" * 32, Role.STAFF, "default", "r" * 32, staff_roles=frozenset({StaffRole.MEDICAL_ADMIN}))
AGENT = Actor("d" * 32, Role.STAFF, "default", "r" * 32, staff_roles=frozenset({StaffRole.AGENT}))


@pytest.fixture
async def world(tmp_path_factory: pytest.TempPathFactory, clock: ManualClock, database: Database) -> AsyncIterator[World]:
    folder = tmp_path_factory.getbasetemp() / "reconciliation"
    folder.mkdir(exist_ok=True)
    async with billing_world(folder, clock, database) as world:
        await make_indexes(database, kept.INDEXES)
        world.relay.watch(*kept.OUTBOXES)
        yield world


def service_of(world: World) -> ReconciliationService:
    books, kept_days = MongoBooks(world.database), MongoReconciliations(world.database)
    return ReconciliationService(WechatBills(world.wechat), books, kept_days, world.clock, world.relay, world.audit)


async def refunded(world: World, payment_id: str, amount_fen: int | None = None) -> str:
    refund = await world.refunds.refund(payment_id, "default", "declined", amount_fen)
    await world.refunds.submit_refund(refund.id)
    world.clock.advance(timedelta(minutes=1))
    await world.refunds.submit_refund(refund.id)
    return refund.out_refund_no


async def all_of(service: ReconciliationService) -> list[Reconciliation]:
    found, cursor = await service.list_all(FINANCE, 100, None)
    assert cursor is None
    return found


async def test_a_day_of_payments_and_refunds_agrees_and_is_compared_once(world: World) -> None:
    first, second = await world.paid(), await world.paid()
    await world.start(world.payable())
    await refunded(world, first.payment_id)
    await refunded(world, second.payment_id, 1_250)
    service = service_of(world)
    await service.compare_due()
    assert [each.day for each in await all_of(service)] == [DAY - timedelta(days=back) for back in range(1, 8)]
    world.clock.advance(timedelta(days=1))
    for _ in range(2):
        await service_of(world).compare_due()
    day = (await all_of(service))[0]
    assert (day.day, day.final, day.findings) == (DAY, True, ())
    assert (day.payments.count, day.payments.amount_fen) == (2, 10_000)
    assert (day.refunds.count, day.refunds.amount_fen) == (2, 6_250)
    assert await world.database["reconciliations"].count_documents({"day": DAY.isoformat()}) == 1


async def test_what_was_changed_behind_our_back_is_named(world: World) -> None:
    payments = [(await world.paid()).payment_id for _ in range(4)]
    number = await refunded(world, payments[0])
    collections: Any = (world.database["payments"], world.database["refunds"])
    await collections[0].update_one({"_id": payments[1]}, {"$set": {"captured_fen": 4_999}})
    await collections[0].delete_one({"_id": payments[2]})
    await collections[0].update_one({"_id": payments[3]}, {"$set": {"status": "closed"}})
    await collections[1].update_one({"out_refund_no": number}, {"$set": {"status": "processing"}})
    await collections[0].insert_one(
        await collections[0].find_one({"_id": payments[0]}) | {"_id": "e" * 32, "out_trade_no": "invented"}
    )
    world.clock.advance(timedelta(days=1))
    done = await service_of(world).compare(FINANCE, DAY)
    assert {(each.difference, each.entry, each.number) for each in done.findings} == {
        (Difference.AMOUNT_DIFFERS, EntryKind.PAYMENT, payments[1]),
        (Difference.UNKNOWN_HERE, EntryKind.PAYMENT, payments[2]),
        (Difference.STATE_DIFFERS, EntryKind.PAYMENT, payments[3]),
        (Difference.STATE_DIFFERS, EntryKind.REFUND, number),
        (Difference.MISSING_THERE, EntryKind.PAYMENT, "invented"),
    }


async def test_a_refund_that_goes_over_midnight_is_missed_in_neither_day(world: World) -> None:
    paid = await world.paid()
    world.clock.advance(timedelta(hours=13, minutes=59, seconds=40))
    await refunded(world, paid.payment_id)
    world.clock.advance(timedelta(days=2))
    service = service_of(world)
    await service.compare_due()
    found = {each.day: each for each in await all_of(service)}
    next_day = DAY + timedelta(days=1)
    assert (found[DAY].refunds.count, found[next_day].refunds.count) == (1, 0)
    assert found[DAY].findings == found[next_day].findings == ()


async def test_a_bill_that_is_not_there_yet_is_asked_for_again(world: World) -> None:
    await world.paid()
    service = service_of(world)
    with pytest.raises(BillNotReady):
        await service.compare(FINANCE, DAY)
    await world.faults(bills="early")
    early = await service.compare(FINANCE, DAY)
    assert (early.final, early.payments.count) == (False, 1)
    world.clock.advance(timedelta(days=1))
    await world.faults(bills="creating")
    await service.compare_due()
    assert [each.final for each in await all_of(service) if each.day == DAY] == [False]
    await world.faults()
    await service.compare_due()
    assert [each.final for each in await all_of(service) if each.day == DAY] == [True]


async def test_a_bill_that_is_missing_names_what_was_paid(world: World) -> None:
    paid = await world.paid()
    world.clock.advance(timedelta(days=1))
    await world.faults(bills="missing")
    (finding,) = (await service_of(world).compare(FINANCE, DAY)).findings
    assert (finding.difference, finding.number, finding.ours_fen) == (Difference.MISSING_THERE, paid.payment_id, 5_000)


async def test_only_the_file_that_the_gateway_signed_for_is_believed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await world.paid()
    world.clock.advance(timedelta(days=1))
    service, real = service_of(world), world.wechat.download

    async def changed(url: str, most_bytes: int) -> bytes:
        return (await real(url, most_bytes)).replace(b"50.00", b"05.00")

    with monkeypatch.context() as patch:
        patch.setattr(world.wechat, "download", changed)
        with pytest.raises(GatewayUnknown):
            await service.compare(FINANCE, DAY)
    for elsewhere in ("http://203.0.113.9/bill", "file:///etc/passwd", ""):
        with pytest.raises(GatewayUnknown):
            await world.wechat.download(elsewhere, 1_000)
    with pytest.raises(GatewayUnknown):
        await world.wechat.download(f"{world.base}/wechatpay/faults", 10)


async def test_finance_compares_administrators_read_and_nobody_else_does(world: World) -> None:
    service = service_of(world)
    for who in (ADMIN, AGENT, PATIENT):
        with pytest.raises(Forbidden):
            await service.compare(who, DAY)
    for who in (AGENT, PATIENT):
        with pytest.raises(Forbidden):
            await service.list_all(who, 10, None)
    with pytest.raises(RequestInvalid):
        await service.compare(FINANCE, DAY + timedelta(days=1))
    world.clock.advance(timedelta(days=9))
    await service.compare_due()
    first, cursor = await service.list_all(ADMIN, 4, None)
    second, end = await service.list_all(ADMIN, 4, cursor)
    days = [each.day for each in (*first, *second)]
    assert (len(days), days, end) == (7, sorted(days, reverse=True), None)
