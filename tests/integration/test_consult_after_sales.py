"""After-sales on the real log: asked once, decided once, paid once, whoever dies in between."""

import asyncio
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest

from consult.domain.after_sales import ASKED_WITHIN, AfterSalesState
from consult.domain.order import Order
from consult.domain.status import CloseReason, OrderStatus
from consult.domain.tasks import TaskKind, TaskState
from consult.errors import AfterSalesNotFound, AfterSalesTransitionRefused, OrderNotFound, OrderTransitionRefused
from consult.service.proofs import DeadlineProof
from im.reading import LogReader
from server.kernel.actor import DEFAULT_HOSPITAL, Actor, Role, StaffRole
from server.kernel.crypto import Keyring, MasterKey
from server.kernel.errors import Forbidden, RequestInvalid
from server.kernel.ids import new_id
from tests.support.clock import ManualClock
from tests.support.consult import Case, World, open_world


def staff(*roles: StaffRole, hospital_id: str = DEFAULT_HOSPITAL) -> Actor:
    return Actor(new_id(), Role.STAFF, hospital_id, new_id(), staff_roles=frozenset(roles))


ADMIN = staff(StaffRole.MEDICAL_ADMIN)
FINANCE = staff(StaffRole.FINANCE)
AGENT = staff(StaffRole.AGENT)
ELSEWHERE = staff(StaffRole.MEDICAL_ADMIN, hospital_id="other")


@pytest.fixture
async def world(database, clock):
    async with open_world(database, clock) as made:
        yield made


async def answered(world: World) -> Case:
    case = await world.paid()
    await case.say(case.doctor)
    return case


async def completed(world: World) -> Case:
    """Finished by its doctor, and the fee is the hospital's."""
    case = await answered(world)
    await world.consult.consults.finish_order(case.doctor, case.id, new_id())
    await world.follow()
    world.clock.advance(world.settings.recall_window)
    assert await world.consult.deadlines.sweep() == 1
    await world.follow()
    return case


async def ask(world: World, case: Case, **changes: Any) -> Order:
    asked: dict[str, Any] = {"reason": "答非所问", "text": "医生没有看我的问题", "image_ids": ()} | changes
    return await world.consult.after_sales.ask(case.patient, case.id, **asked)


async def decide(world: World, case: Case, *, who: Actor = ADMIN, granted: bool = True, amount_fen: int | None = None) -> Order:
    return await world.consult.after_sales.decide(who, case.id, granted=granted, amount_fen=amount_fen, answer="已核实")


async def entries(world: World, case: Case) -> list[str]:
    page = await world.log.read_entries(case.order.conversation_id, after_seq=0)
    return [entry.draft.kind.value for entry in page.entries]


async def test_a_part_that_is_granted_goes_back_once_and_the_order_stays_completed(world: World) -> None:
    case = await completed(world)
    asked = await ask(world, case)
    assert (asked.status, asked.after_sales and asked.after_sales.state) == (OrderStatus.COMPLETED, AfterSalesState.REQUESTED)
    decided = await decide(world, case, amount_fen=1_500)
    await world.follow()
    await world.follow()
    assert (decided.status, decided.close_reason) == (OrderStatus.COMPLETED, CloseReason.FINISHED)
    assert world.payments.amounts == {(case.payment_id, "after_sales"): 1_500}
    await case.refunded(new_id(), case.payment_id, 1_500)
    order = await case.now()
    assert (order.status, order.refunded_fen) == (OrderStatus.COMPLETED, 1_500)
    assert await entries(world, case) == ["opened", "message", "closed", "settled", "settled"]


async def test_the_whole_fee_goes_back_when_no_part_is_named_and_the_order_says_why(world: World) -> None:
    case = await completed(world)
    await ask(world, case)
    decided = await decide(world, case)
    assert (decided.status, decided.close_reason) == (OrderStatus.REFUNDING, CloseReason.AFTER_SALES)
    await world.follow()
    assert world.payments.amounts == {(case.payment_id, "after_sales"): 5_000}
    await case.refunded(new_id(), case.payment_id)
    assert (await case.now()).status is OrderStatus.REFUNDED
    assert (await case.stored())["status"] == "refunded"


async def test_a_consult_that_still_goes_on_ends_first_and_a_recall_then_only_masks(world: World) -> None:
    case = await answered(world)
    reply = await case.say(case.doctor)
    await ask(world, case)
    assert (await decide(world, case)).status is OrderStatus.REFUNDING
    await case.recall(case.doctor, reply.entry.seq)
    world.clock.advance(timedelta(days=3))
    assert await world.consult.deadlines.sweep() == 0
    await world.follow()
    assert world.payments.refunds == {(case.payment_id, "after_sales")}
    assert await entries(world, case) == ["opened", "message", "message", "closed", "settled", "recall"]


async def test_what_is_refused_moves_no_money_and_is_told(world: World) -> None:
    case = await completed(world)
    await ask(world, case)
    order = await decide(world, case, granted=False)
    await world.follow()
    assert (order.status, order.after_sales and order.after_sales.state) == (OrderStatus.COMPLETED, AfterSalesState.REFUSED)
    assert world.payments.refunds == set()
    told, _ = await world.consult.notices.list_notices(case.patient, 100, None)
    assert [n.data for n in told if n.kind.value == "after_sales_decided"] == [{"granted": False, "amount_fen": 0}]
    own = await world.consult.after_sales.view_own(case.patient, case.id)
    assert own.after_sales is not None
    assert own.after_sales.answer == "已核实"


async def test_it_is_asked_once_after_an_answer_until_seven_days_after_the_close(world: World) -> None:
    unanswered = await world.paid()
    with pytest.raises(OrderTransitionRefused):
        await ask(world, unanswered)
    case, late = await answered(world), await answered(world)
    for each in (case, late):
        await world.consult.consults.finish_order(each.doctor, each.id, new_id())
    world.clock.advance(ASKED_WITHIN - timedelta(milliseconds=1))
    await ask(world, case, image_ids=("a" * 32,))
    assert world.media.claimed[case.id] == ("a" * 32,)
    with pytest.raises(OrderTransitionRefused):
        await ask(world, case)
    world.clock.advance(timedelta(milliseconds=1))
    with pytest.raises(OrderTransitionRefused):
        await ask(world, late)
    assert (await late.stored()).get("after_sales") is None


async def test_only_its_patient_asks_and_only_a_medical_administrator_of_its_hospital_decides(world: World) -> None:
    case = await completed(world)
    service = world.consult.after_sales
    for who in (case.doctor, world.patient(), ADMIN):
        with pytest.raises(OrderNotFound):
            await service.ask(who, case.id, "退款", "", ())
    with pytest.raises(AfterSalesNotFound):
        await service.view_own(case.patient, case.id)
    await ask(world, case)
    for who, refusal in ((case.patient, Forbidden), (case.doctor, Forbidden), (AGENT, Forbidden), (FINANCE, Forbidden)):
        with pytest.raises(refusal):
            await decide(world, case, who=who)
    with pytest.raises(AfterSalesNotFound):
        await decide(world, case, who=ELSEWHERE)
    with pytest.raises(AfterSalesNotFound):
        await service.view_case(ADMIN, new_id())
    with pytest.raises(Forbidden):
        await service.list_cases(AGENT, None, 10, None)
    assert (await service.list_cases(ELSEWHERE, None, 10, None))[0] == []
    for amount_fen in (0, -1, 5_001):
        with pytest.raises(RequestInvalid):
            await decide(world, case, amount_fen=amount_fen)
    with pytest.raises(RequestInvalid):
        await decide(world, case, granted=False, amount_fen=1)
    (listed,), _ = await service.list_cases(FINANCE, AfterSalesState.REQUESTED, 10, None)
    assert listed.id == case.id
    assert world.payments.refunds == set()
    assert "答非所问" not in str(await case.stored())


async def test_of_two_who_decide_at_once_one_does(world: World) -> None:
    case = await completed(world)
    await ask(world, case)
    async with open_world(world.database, world.clock, beside=world) as other:
        outcomes = await asyncio.gather(
            decide(world, case, amount_fen=1_000),
            decide(other, case, amount_fen=2_000),
            decide(other, case, granted=False),
            return_exceptions=True,
        )
        await other.follow()
    await world.follow()
    assert Counter(type(each).__name__ for each in outcomes) == {"Order": 1, "AfterSalesTransitionRefused": 2}
    order = await case.now()
    assert order.after_sales is not None
    assert list(world.payments.amounts.values()) == (
        [] if order.after_sales.amount_fen is None else [order.after_sales.amount_fen]
    )
    with pytest.raises(AfterSalesTransitionRefused):
        await decide(world, case)


async def decided_only(world: World, case: Case, monkeypatch: pytest.MonkeyPatch, **decision: Any) -> None:
    """Whoever decides dies before anything follows."""

    async def dies(*_: Any) -> None:
        raise ConnectionError

    with monkeypatch.context() as patch:
        patch.setattr(type(world.consult.after_sales), "_carry_out", dies)
        with pytest.raises(ConnectionError):
            await decide(world, case, **decision)


async def test_a_reply_recalled_after_the_decision_opens_nothing_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    case = await world.paid()
    replies = [await case.say(case.doctor) for _ in range(3)]
    await ask(world, case)
    await decided_only(world, case, monkeypatch, amount_fen=900)
    await case.recall(case.doctor, replies[-1].entry.seq)
    assert (await case.now()).status is OrderStatus.IN_SESSION
    await world.follow()
    order = await case.now()
    assert (order.status, order.close_reason) == (OrderStatus.COMPLETED, CloseReason.AFTER_SALES)
    assert world.payments.amounts == {(case.payment_id, "after_sales"): 900}


async def test_where_the_only_reply_is_recalled_after_the_decision_the_whole_fee_goes_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = await world.paid()
    reply = await case.say(case.doctor)
    await ask(world, case)
    await decided_only(world, case, monkeypatch, amount_fen=900)
    await case.recall(case.doctor, reply.entry.seq)
    for _ in range(2):
        await world.follow()
    assert (await case.now()).status is OrderStatus.REFUNDING
    await world.consult.deadlines.sweep()
    await world.follow()
    assert world.payments.amounts == {(case.payment_id, "after_sales"): None}
    assert await entries(world, case) == ["opened", "message", "recall", "closed", "settled"]


async def test_a_process_that_dies_after_the_decision_leaves_one_that_others_carry_out(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = await completed(world)
    await ask(world, case)
    await decided_only(world, case, monkeypatch, amount_fen=700)
    assert world.payments.amounts == {}
    async with open_world(world.database, world.clock, beside=world) as other:
        await other.follow()
    assert world.payments.amounts == {(case.payment_id, "after_sales"): 700}


async def test_a_task_waits_for_staff_until_the_case_is_decided(world: World) -> None:
    case = await completed(world)
    await ask(world, case)
    await world.follow()
    tasks = world.consult.tasks
    (task,), _ = await tasks.list_tasks(ADMIN, state=None, kind=TaskKind.AFTER_SALES, limit=10, cursor=None)
    assert (task.state, task.subject, task.order_id) == (TaskState.OPEN, case.id, case.id)
    await decide(world, case)
    await world.follow()
    (task,), _ = await tasks.list_tasks(ADMIN, state=None, kind=TaskKind.AFTER_SALES, limit=10, cursor=None)
    assert (task.state, task.outcome) == (TaskState.WITHDRAWN, "decided")


async def test_what_was_granted_is_proved_with_the_deadlines(world: World, clock: ManualClock) -> None:
    for amount_fen in (None, 1, 4_999):
        case = await completed(world)
        await ask(world, case)
        await decide(world, case, amount_fen=amount_fen)
    early = await answered(world)
    await ask(world, early)
    await decide(world, early)
    await world.follow()
    reader = LogReader(world.database, Keyring(MasterKey(bytes(32)), world.database))
    proof = DeadlineProof(reader, world.consult.parts.orders, clock)
    assert [str(finding) async for finding in proof.findings()] == []
