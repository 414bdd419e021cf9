"""Order, conversation and ledger together, over the gateway's own protocol: whatever people, the clock and the network do in
whatever order, money and log agree at the end."""

import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing.domain import Channel
from billing.mongo import OUTBOXES as BILLING_OUTBOXES
from consult.domain.status import CloseReason, OrderStatus, Outcome
from consult.service.billing import OrderPayments
from server.kernel.errors import DomainError
from server.kernel.ids import new_id
from server.kernel.mongo import Database
from simulators.keys import ensure_wechat_keys
from tests.support.billing import World as Money
from tests.support.billing import billing_world
from tests.support.clock import ManualClock
from tests.support.consult import Case, World, open_world

STEPS = (
    "start", "pay", "tell", "cancel", "reply", "ask", "recall", "gift", "finish", "decline", "refund",
    "seconds", "minutes", "half an hour", "a day", "sweep", "deliver",
)  # fmt: skip
PASSING = {
    "seconds": timedelta(seconds=20),
    "minutes": timedelta(minutes=3),
    "half an hour": timedelta(minutes=31),
    "a day": timedelta(hours=24),
}


class Story:
    """One order and all that happens to it."""

    def __init__(self, world: World, money: Money, case: Case) -> None:
        self.world, self.money, self.case = world, money, case
        self.prepaid: list[str] = []
        self.replies: list[int] = []

    async def step(self, name: str) -> None:
        """Refusals are part of life; anything else is a fault."""
        if name in PASSING:
            self.world.clock.advance(PASSING[name])
            return
        with contextlib.suppress(DomainError):
            await getattr(self, f"_{name}")()

    async def _start(self) -> None:
        started = await self.world.consult.payments.start_payment(self.case.patient, self.case.id, "wechat_h5", new_id())
        self.prepaid.append(started.prepay_id)

    async def _pay(self) -> None:
        """The wallet takes or refuses each as the gateway decides; nobody is told yet."""
        for prepay_id in self.prepaid:
            async with self.money.http.post(f"{self.money.base}/wechatpay/wallet/{prepay_id}/pay") as answer:
                await answer.read()

    async def _tell(self) -> None:
        """The gateway's callbacks, twice each."""
        gateway = self.money.payments.gateways[Channel.WECHAT_H5]
        for payment in await self.money.books.list_of_order(self.case.id, "default"):
            report = await gateway.query(payment.out_trade_no)
            for _ in range(2):
                await self.money.payments.report(report)

    async def _cancel(self) -> None:
        await self.world.consult.consults.cancel_order(self.case.patient, self.case.id, new_id())

    async def _reply(self) -> None:
        self.replies.append((await self.case.say(self.case.doctor)).entry.seq)

    async def _ask(self) -> None:
        await self.case.say(self.case.patient)

    async def _recall(self) -> None:
        if self.replies:
            await self.case.recall(self.case.doctor, self.replies[-1])

    async def _gift(self) -> None:
        await self.world.consult.consults.gift_replies(self.case.doctor, self.case.id, 1, new_id())

    async def _finish(self) -> None:
        await self.world.consult.consults.finish_order(self.case.doctor, self.case.id, new_id())

    async def _decline(self) -> None:
        await self.world.consult.consults.decline_order(self.case.doctor, self.case.id, "请挂专科", new_id())

    async def _refund(self) -> None:
        await self.money.refunds.submit_due_refunds()

    async def _sweep(self) -> None:
        await self.world.consult.deadlines.sweep()

    async def _deliver(self) -> None:
        await self.world.consult.projection.catch_up(self.case.order.conversation_id)
        await self.world.deliver()
        await self.money.relay.close()
        while await self.money.relay.sweep(self.world.clock.now() + timedelta(days=3650)):
            await self.money.relay.close()

    async def end(self) -> None:
        """Let everything that is due happen."""
        for _ in range(4):
            for name in ("tell", "deliver", "a day", "sweep", "deliver", "refund", "minutes", "refund", "deliver"):
                await self.step(name)

    async def check(self) -> None:
        await self.money.balanced()
        order = await self.case.now()
        payments = await self.money.books.list_of_order(self.case.id, "default")
        captured = [p for p in payments if p.captured_fen]
        assert all(p.held_fen == 0 for p in payments), "nothing is left undecided"
        if order.captured_payment_id is None:
            assert order.status is OrderStatus.CANCELLED
            assert all(p.refunded_fen == p.captured_fen for p in captured)
            return
        own = next(p for p in captured if p.id == order.captured_payment_id)
        assert all(p.refunded_fen == p.captured_fen for p in captured if p is not own), "a surplus goes back whole"
        assert order.facts is not None
        entries = (await self.world.log.read_entries(order.conversation_id, after_seq=0, limit=100)).entries
        assert [e.seq for e in entries] == list(range(1, len(entries) + 1))
        assert [e.draft.kind.value for e in entries].count("settled") == 1
        if order.facts.counted_replies:
            assert (order.facts.settled, order.status) == (Outcome.EARNED, OrderStatus.COMPLETED)
            assert (own.earned_fen, own.refund_reserved_fen) == (order.fee_fen, 0)
        else:
            assert (order.facts.settled, order.status) == (Outcome.REFUND, OrderStatus.REFUNDED)
            assert (own.earned_fen, own.refunded_fen) == (0, order.fee_fen)
            assert order.close_reason is not CloseReason.QUOTA


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("machine")
    ensure_wechat_keys(folder)
    return folder


@pytest.fixture
async def worlds(keys: Path, database: Database, clock: ManualClock) -> AsyncIterator[tuple[World, Money]]:
    async with billing_world(keys, clock, database) as money:
        await money.faults(callbacks="lost", count=1_000_000)
        billing = OrderPayments(money.payments, money.refunds)
        async with open_world(database, clock, billing=billing) as world:
            money.relay.watch(*BILLING_OUTBOXES)
            for action, consumer in world.consult.consumers.items():
                money.relay.on(action, consumer)
            yield world, money


@settings(max_examples=20, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(steps=st.lists(st.sampled_from(STEPS), min_size=3, max_size=25))
async def test_money_and_log_agree_whatever_happened(worlds: tuple[World, Money], steps: list[str]) -> None:
    world, money = worlds
    story = Story(world, money, await world.order())
    for name in ("start", "pay", *steps):
        await story.step(name)
    await story.end()
    await story.check()
