"""The process dies before or after any of its writes and any of its calls to the gateway; what is started again converges."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from billing.domain import Channel, Payable, PaymentStatus, RefundStatus
from billing.mongo import POSTINGS
from billing.service.payments import PaymentService
from billing.service.refunds import RefundService
from server.kernel.audit import AUDIT
from server.kernel.ids import new_id
from server.kernel.mongo import Database
from tests.support.billing import FEE, PATIENT, World, billing_world
from tests.support.clock import ManualClock

H5 = Channel.WECHAT_H5
CALLS = 23
"""How many calls of the database and the gateway the journey makes; each is the last one once."""


class Died(Exception):
    """The process is gone."""


class Fuse:
    """Burns at the given call: before it is done, or after it was done and before anybody learns of it."""

    def __init__(self, call: int, *, after: bool) -> None:
        self.left = call
        self.after = after

    def protect(self, thing: Any) -> Any:
        return _Fused(thing, self)


class _Fused:
    def __init__(self, thing: Any, fuse: Fuse) -> None:
        self._thing = thing
        self._fuse = fuse

    def __getattr__(self, name: str) -> Any:
        method, fuse = getattr(self._thing, name), self._fuse

        async def call(*arguments: Any, **named: Any) -> Any:
            fuse.left -= 1
            if fuse.left == 0 and not fuse.after:
                raise Died
            answer = await method(*arguments, **named)
            if fuse.left == 0:
                raise Died
            return answer

        return call


@pytest.fixture
async def world(tmp_path_factory: pytest.TempPathFactory, clock: ManualClock, database: Database) -> AsyncIterator[World]:
    folder = tmp_path_factory.getbasetemp() / "billing"
    folder.mkdir(exist_ok=True)
    async with billing_world(folder, clock, database) as world:
        yield world


async def journey(world: World, payments: PaymentService, refunds: RefundService, payable: Payable, payment_id: str) -> None:
    """All that money can go through, as whoever is started again does it: every step once more, from the first."""
    started = await payments.start(PATIENT, payable, H5, payment_id)
    if not (await world.wallet(started))["paid"]:
        await world.pay(started)
    await payments.report(await world.payments.gateways[H5].query(payment_id))
    refund = await refunds.refund(payment_id, "default", "part", 2_000)
    await payments.settle_earned(payable.order_id, "default", payment_id)
    for _ in range(3):
        await refunds.submit_refund(refund.id)
        world.clock.advance(timedelta(seconds=40))


@pytest.mark.parametrize("after", [False, True])
async def test_whatever_call_is_the_last_the_next_run_brings_it_to_the_same_end(world: World, after: bool) -> None:
    deaths = 0
    while True:
        fuse = Fuse(deaths + 1, after=after)
        books, gateways = fuse.protect(world.books), {H5: fuse.protect(world.payments.gateways[H5])}
        payable, payment_id = world.payable(), new_id()
        try:
            await journey(
                world,
                replace(world.payments, payments=books, gateways=gateways),
                replace(world.refunds, payments=books, gateways=gateways),
                payable,
                payment_id,
            )
        except Died:
            deaths += 1
        world.clock.advance(timedelta(seconds=40))
        await journey(world, world.payments, world.refunds, payable, payment_id)
        payment = await world.payment(payment_id)
        sums = (payment.captured_fen, payment.earned_fen, payment.refund_reserved_fen, payment.refunded_fen, payment.held_fen)
        assert (payment.status, sums) == (PaymentStatus.CAPTURED, (FEE, 3_000, 2_000, 2_000, 0))
        refunds = await world.books.list_refunds_of_order(payable.order_id, "default")
        assert [refund.status for refund in refunds] == [RefundStatus.REFUNDED]
        assert await world.database[POSTINGS].count_documents({"payment_id": payment_id}) == 4
        started = await world.start(payable, payment_id)
        wallet = await world.wallet(started)
        assert [(r["amount_fen"], r["status"]) for r in wallet["refunds"]] == [(2_000, "SUCCESS")]
        if fuse.left > 0:
            break
    await world.balanced()
    await world.relay.close()
    world.relay.watch("payments", "refunds")
    await world.relay.sweep(world.clock.now())  # what the dead had written and not told
    for action in ("billing.payment_captured", "billing.refund_reserved", "billing.refund_succeeded"):
        assert await world.database[AUDIT].count_documents({"action": action}) == deaths + 1
    assert deaths == CALLS


async def test_an_event_that_was_written_with_its_money_is_told_after_the_death_of_who_wrote_it(world: World) -> None:
    class Silent:
        def soon(self, collection: str, key: Any, hospital_id: str) -> None: ...

    payments = replace(world.payments, relay=Silent())
    started = await payments.start(PATIENT, world.payable(), H5, new_id())
    await world.pay(started)
    await payments.report(await world.payments.gateways[H5].query(started.payment_id))
    told: list[Any] = []

    async def take(event: Any) -> None:
        told.append((event.data["payment_id"], event.data["amount_fen"]))

    world.relay.watch("payments", "refunds")
    world.relay.on("billing.payment_captured", take)
    await world.relay.sweep(world.clock.now() + timedelta(seconds=1))
    assert told == [(started.payment_id, FEE)]
