"""The consult on the real log: replies, deadlines, money, notices and what is told live."""

import asyncio
from datetime import timedelta

import pytest

from consult.domain.status import CloseReason, OrderStatus, Outcome
from consult.errors import OrderTransitionRefused
from consult.service.orders import OrderSettings
from im.errors import ConversationClosed, ConversationQuotaExhausted
from server.kernel.clock import to_ms
from server.kernel.errors import DomainError
from server.kernel.ids import new_id
from tests.support.consult import World, open_world

VALIDITY = timedelta(hours=48)
TICK = timedelta(milliseconds=1)


@pytest.fixture
async def world(database, clock):
    async with open_world(database, clock) as made:
        yield made


async def test_a_hundred_concurrent_replies_of_two_processes_store_exactly_three(world: World) -> None:
    case = await world.paid()
    async with open_world(world.database, world.clock, beside=world) as other:
        elsewhere = type(case)(other, case.order, case.patient, case.doctor)
        outcomes = await asyncio.gather(
            *(each.say(case.doctor) for _ in range(50) for each in (case, elsewhere)), return_exceptions=True
        )
    refusals = [type(o) for o in outcomes if isinstance(o, BaseException)]
    assert refusals == [ConversationQuotaExhausted] * 97
    order = await case.now()
    assert (order.status, order.close_reason, order.facts.counted_replies if order.facts else 0) == (
        OrderStatus.COMPLETED,
        CloseReason.QUOTA,
        3,
    )


async def test_two_gifted_replies_allow_exactly_two_more_and_are_gifted_once_a_request(world: World) -> None:
    case = await world.paid()
    await case.say(case.doctor)
    request = new_id()
    for _ in range(3):
        order = await world.consult.consults.gift_replies(case.doctor, case.id, 2, request)
    assert order.facts is not None
    assert (order.facts.limit, order.facts.gifted) == (5, 2)
    outcomes = await asyncio.gather(*(case.say(case.doctor) for _ in range(20)), return_exceptions=True)
    assert sum(1 for o in outcomes if not isinstance(o, BaseException)) == 4
    with pytest.raises(OrderTransitionRefused):
        await world.consult.consults.gift_replies(case.doctor, case.id, 1, new_id())


async def test_no_reply_in_time_is_one_refund_however_often_it_is_swept_and_followed(world: World) -> None:
    case = await world.paid()
    await case.say(case.patient)
    world.clock.advance(VALIDITY - TICK)
    assert await world.consult.deadlines.sweep() == 0
    world.clock.advance(TICK)
    async with open_world(world.database, world.clock, beside=world) as other:
        await asyncio.gather(*(w.consult.deadlines.sweep() for w in (world, other) for _ in range(3)))
    kinds = [e.draft.kind.value for e in (await world.log.read_entries(case.order.conversation_id, after_seq=0)).entries]
    assert kinds == ["opened", "message", "closed", "settled"]
    for _ in range(2):
        await world.follow()
    assert world.payments.refunds == {(case.payment_id, "expired")}
    order = await case.now()
    assert (order.status, order.close_reason) == (OrderStatus.REFUNDING, CloseReason.EXPIRED)
    assert order.closed_at == world.clock.now()
    captured = order.captured_payment_id
    assert captured is not None
    for _ in range(3):
        await case.refunded("refund-1", captured)
    order = await case.now()
    assert (order.status, order.refunded_fen) == (OrderStatus.REFUNDED, 5000)
    assert (await case.stored())["status"] == "refunded"


async def test_the_proof_of_an_expiry_stands_in_its_entry(world: World) -> None:
    case = await world.paid()
    deadline_ms = to_ms(world.clock.now() + VALIDITY)
    world.clock.advance(VALIDITY + timedelta(seconds=5))
    await world.consult.deadlines.sweep()
    entries = (await world.log.read_entries(case.order.conversation_id, after_seq=1)).entries
    assert dict(entries[0].draft.data) == {
        "deadline_at_ms": deadline_ms,
        "now_ms": deadline_ms + 5000,
        "counted_replies": 0,
        "command_id": None,
        "limit": 3,
        "policy": {"validity_ms": 172_800_000, "replies": 3, "recall_window_ms": 120_000, "patient_burst": 100},
    }
    assert entries[1].draft.data["outcome"] == "refund"


async def test_some_replies_at_the_deadline_complete_and_are_earned_once_nothing_can_be_recalled(world: World) -> None:
    case = await world.paid()
    world.clock.advance(VALIDITY - TICK)
    await case.say(case.doctor)
    world.clock.advance(TICK)
    with pytest.raises(ConversationClosed):
        await case.say(case.doctor)
    assert await world.consult.deadlines.sweep() == 1
    assert (await case.now()).status is OrderStatus.COMPLETED
    world.clock.advance(timedelta(minutes=2) - TICK)
    assert await world.consult.deadlines.sweep() == 0
    world.clock.advance(TICK)
    assert await world.consult.deadlines.sweep() == 1
    await world.follow()
    assert (world.payments.earned, world.payments.refunds) == ({case.id}, set())


async def test_a_reply_and_the_deadline_have_one_winner(world: World) -> None:
    """Two clocks: one process is at the last millisecond, the other at the deadline."""
    clock = type(world.clock)(world.clock.now())
    async with open_world(world.database, clock, beside=world) as late:
        for _ in range(15):
            case = await world.paid()
            world.clock.advance(VALIDITY - TICK)
            clock.advance(world.clock.now() + TICK - clock.now())
            replied, _ = await asyncio.gather(
                case.say(case.doctor), late.consult.deadlines.expire_due(), return_exceptions=True
            )
            await late.consult.deadlines.expire_due()
            order = await case.now()
            counted = order.facts.counted_replies if order.facts else -1
            assert isinstance(replied, ConversationClosed) is (counted == 0)
            assert order.status is (OrderStatus.COMPLETED if counted else OrderStatus.REFUNDING)


async def test_a_skewed_clock_decides_no_deadline(world: World) -> None:
    case = await world.paid()
    await world.order()
    world.clock.advance(VALIDITY)
    world.clock_is_ok = False
    assert await world.consult.deadlines.sweep() == 0
    assert (await case.now()).status is OrderStatus.AWAITING_DOCTOR
    world.clock_is_ok = True
    assert await world.consult.deadlines.sweep() == 2


async def test_the_patient_cancels_free_until_the_first_reply_counts_and_again_when_it_is_recalled(world: World) -> None:
    case = await world.paid()
    reply = await case.say(case.doctor)
    with pytest.raises(OrderTransitionRefused):
        await world.consult.consults.cancel_order(case.patient, case.id, new_id())
    await case.recall(case.doctor, reply.entry.seq)
    request = new_id()
    order = await world.consult.consults.cancel_order(case.patient, case.id, request)
    again = await world.consult.consults.cancel_order(case.patient, case.id, request)
    assert (order.status, again.status) == (OrderStatus.REFUNDING, OrderStatus.REFUNDING)
    assert order.facts is not None
    assert order.facts.settled is Outcome.REFUND
    await world.follow()
    assert world.payments.refunds == {(case.payment_id, "cancelled")}


async def test_declining_gives_the_reason_to_the_patient_and_the_fee_back(world: World) -> None:
    case = await world.paid()
    order = await world.consult.consults.decline_order(case.doctor, case.id, "请到急诊就诊", new_id())
    assert order.close_reason is CloseReason.DECLINED
    entries = (await world.log.read_entries(case.order.conversation_id, after_seq=1)).entries
    assert entries[0].draft.parts == ({"kind": "system", "event": "closed", "data": {"reason": "请到急诊就诊"}},)
    await world.follow()
    assert world.payments.refunds == {(case.payment_id, "declined")}


async def test_finishing_needs_a_reply_and_earns(world: World) -> None:
    case = await world.paid()
    with pytest.raises(OrderTransitionRefused):
        await world.consult.consults.finish_order(case.doctor, case.id, new_id())
    await case.say(case.doctor)
    world.clock.advance(timedelta(minutes=2))
    order = await world.consult.consults.finish_order(case.doctor, case.id, new_id())
    assert (order.status, order.close_reason) == (OrderStatus.COMPLETED, CloseReason.FINISHED)
    await world.follow()
    assert world.payments.earned == {case.id}


async def test_recalling_the_third_reply_opens_the_order_again_in_every_view(world: World) -> None:
    case = await world.paid()
    for _ in range(3):
        last = await case.say(case.doctor)
    await case.recall(case.doctor, last.entry.seq)
    await world.follow()
    assert (await case.now()).status is OrderStatus.IN_SESSION
    stored = await case.stored()
    assert (stored["status"], stored["settle_at"], stored["expire_at"]) == (
        "in_session",
        None,
        case.order.created_at + VALIDITY,
    )
    assert await world.consult.parts.directory.list_open_conversations(case.doctor, 10) == [case.order.conversation_id]


async def test_commands_on_an_unpaid_order_are_refused(world: World) -> None:
    case = await world.order()
    for attempt in (
        world.consult.consults.decline_order(case.doctor, case.id, "x", new_id()),
        world.consult.consults.finish_order(case.doctor, case.id, new_id()),
        world.consult.consults.gift_replies(case.doctor, case.id, 1, new_id()),
        world.consult.consults.rate_order(case.patient, case.id, 5, (), ""),
    ):
        with pytest.raises(OrderTransitionRefused):
            await attempt


async def test_a_completed_order_is_rated_once_also_before_it_is_settled(world: World) -> None:
    case = await world.paid()
    with pytest.raises(OrderTransitionRefused):
        await world.consult.consults.rate_order(case.patient, case.id, 5, (), "")
    for _ in range(3):
        await case.say(case.doctor)
    outcomes = await asyncio.gather(
        *(world.consult.consults.rate_order(case.patient, case.id, n, ("耐心",), "很好") for n in (1, 2, 3, 4, 5)),
        return_exceptions=True,
    )
    assert [isinstance(o, OrderTransitionRefused) for o in outcomes].count(True) == 4
    rating = (await case.now()).rating
    assert rating is not None
    assert (rating.tags, rating.text) == (("耐心",), "很好")
    assert "很好" not in str(await case.stored())
    await world.deliver()
    told, _ = await world.consult.notices.list_notices(case.doctor, 100, None)
    assert [n.kind.value for n in told if n.kind.value == "rated"] == ["rated"]


async def test_each_notice_appears_once_and_is_told_live_once(world: World) -> None:
    case = await world.paid()
    await case.say(case.patient)
    await case.say(case.doctor)
    await world.consult.consults.gift_replies(case.doctor, case.id, 1, new_id())
    for _ in range(3):
        await case.say(case.doctor)
    async with open_world(world.database, world.clock, beside=world) as other:
        for each in (world, other, world):
            await each.follow()
        for actor, kinds in (
            (case.patient, ["order_closed", "replied", "replied", "replied", "replied", "replies_gifted"]),
            (case.doctor, ["order_closed", "order_paid"]),
        ):
            stored, cursor = await world.consult.notices.list_notices(actor, 100, None)
            assert (sorted(n.kind.value for n in stored), cursor) == (kinds, None)
            live = [
                *world.live.of("notice", actor.account_id),
                *other.live.of("notice", actor.account_id),
            ]
            assert sorted(str(n["kind"]) for n in live) == kinds
    assert set(live[0]) == {"notice_id", "kind", "title", "text", "order_id", "created_at", "data", "read_at"}


async def test_notices_are_paged(world: World) -> None:
    case = await world.paid()
    for _ in range(3):
        await case.say(case.doctor)
    await world.follow()
    seen, cursor = [], None
    while True:
        page, cursor = await world.consult.notices.list_notices(case.patient, 1, cursor)
        seen += [n.id for n in page]
        if cursor is None:
            break
    assert len(set(seen)) == len(seen) == 4


async def test_both_are_told_how_the_order_stands_and_messages_of_the_patient_cost_nothing(world: World) -> None:
    case = await world.paid()
    await world.consult.parts.announcer.close()
    told = world.live.of("order.changed", case.doctor.account_id)
    assert [e["status"] for e in told] == ["awaiting_doctor"]
    for _ in range(20):
        await case.say(case.patient)
    await world.consult.parts.announcer.close()
    assert len(world.live.of("order.changed", case.doctor.account_id)) == 1
    for _ in range(3):
        await case.say(case.doctor)
    await asyncio.sleep(0)
    await world.consult.parts.announcer.close()
    for account in (case.doctor.account_id, case.patient.account_id):
        last = world.live.of("order.changed", account)[-1]
        assert (last["status"], last["replies"]) == ("completed", {"limit": 3, "used": 3, "gifted": 0})
    assert (await case.stored())["status"] == "completed"


async def test_replies_that_only_count_are_told_in_one_go_and_written_by_the_follower(world: World) -> None:
    cases = [await world.paid() for _ in range(3)]
    for case in cases:
        await case.say(case.doctor)
    await world.consult.parts.announcer.close()
    for case in cases:
        await case.say(case.doctor)
    await world.consult.parts.announcer.close()
    for case in cases:
        used = [event["replies"]["used"] for event in world.live.of("order.changed", case.patient.account_id)]
        assert used[-2:] == [1, 2]
        assert (await case.stored())["log"]["counted_replies"] == 1
    await world.follow()
    assert [(await case.stored())["log"]["counted_replies"] for case in cases] == [2, 2, 2]


async def test_the_projection_takes_entries_twice_in_gaps_and_from_the_middle(world: World) -> None:
    case = await world.paid()
    for n in range(5):
        await case.say(case.patient if n % 2 else case.doctor)
    await world.follow()
    world.clock.advance(timedelta(minutes=2))
    await world.consult.deadlines.sweep()
    await world.follow()
    conversation_id = case.order.conversation_id
    entries = (await world.log.read_entries(conversation_id, after_seq=0)).entries
    truth = await case.stored()
    async with open_world(world.database, world.clock, beside=world) as other:
        await world.database["orders"].update_one(
            {"_id": case.id}, {"$set": {"log_seq": 0, "shown_seq": 0, "log": None, "status": "awaiting_doctor"}}
        )
        projection = other.consult.projection
        await projection.consume({conversation_id: entries[3:5]})
        assert (await case.stored())["log_seq"] == 5
        await projection.consume({conversation_id: entries[:2]})
        assert (await case.stored())["log_seq"] == 5
        await projection.consume({conversation_id: entries[-1:]})
        await world.deliver()
    again = await case.stored()
    assert {k: again[k] for k in ("log_seq", "shown_seq", "log", "status")} == {
        k: truth[k] for k in ("log_seq", "shown_seq", "log", "status")
    }
    assert world.payments.earned == {case.id}


async def test_media_of_an_order_and_a_conversation_are_shown_to_its_members_until_recalled(world: World) -> None:
    patient, doctor, picture = world.patient(), world.doctors.add(), new_id()
    order = await world.consult.orders.create_order(patient, new_id(), world.request(patient, doctor, image_ids=(picture,)))
    assert world.media.claimed == {order.id: (picture,)}
    owners = world.consult.media_owners
    stranger = world.patient()
    for actor, media_id, seen in (
        (patient, picture, True),
        (world.doctor_actor(doctor), picture, True),
        (stranger, picture, False),
        (patient, new_id(), False),
    ):
        assert await owners.may_see(actor, "order", order.id, media_id) is seen
    case = await world.paid()
    command = _with_picture(case.patient.account_id, picture)
    sent = await world.log.send(case.patient, case.order.conversation_id, command)
    conversation_id = case.order.conversation_id
    assert await owners.may_see(case.doctor, "conversation", conversation_id, picture) is True
    assert await owners.may_see(stranger, "conversation", conversation_id, picture) is False
    assert await owners.may_see(case.doctor, "conversation", new_id(), picture) is False
    assert await owners.names("conversation", new_id(), picture) is False
    await case.recall(case.patient, sent.entry.seq)
    assert await owners.may_see(case.doctor, "conversation", conversation_id, picture) is False
    assert await owners.names("conversation", conversation_id, picture) is True  # recalled, and in the log for good


def _with_picture(account_id: str, media_id: str):
    from im.domain import SendMessage

    return SendMessage(account_id, new_id(), ({"kind": "image", "media_id": media_id},))


async def test_random_walks_of_two_processes_keep_order_log_and_money_in_step(database, clock) -> None:
    import random

    settings = OrderSettings(replies=2, recall_window=timedelta(seconds=30), validity=timedelta(minutes=10))
    rng = random.Random(7)
    async with open_world(database, clock, settings) as world, open_world(database, clock, beside=world) as other:
        cases = [await world.paid() for _ in range(6)]
        for _ in range(60):
            steps = []
            for case in rng.sample(cases, 4):
                place = rng.choice([world, other])
                here = type(case)(place, case.order, case.patient, case.doctor)
                seq = rng.randint(1, 8)
                steps.append(
                    rng.choice(
                        [
                            lambda h=here: h.say(h.doctor),
                            lambda h=here: h.say(h.patient),
                            lambda h=here, s=seq: h.recall(h.doctor, s),
                            lambda h=here: h.world.consult.consults.cancel_order(h.patient, h.id, new_id()),
                            lambda h=here: h.world.consult.consults.finish_order(h.doctor, h.id, new_id()),
                            lambda h=here: h.world.consult.consults.gift_replies(h.doctor, h.id, 1, new_id()),
                            lambda h=here: h.world.consult.deadlines.sweep(),
                        ]
                    )()
                )
            outcomes = await asyncio.gather(*steps, return_exceptions=True)
            assert [o for o in outcomes if isinstance(o, BaseException) and not isinstance(o, DomainError)] == []
            clock.advance(timedelta(seconds=rng.choice([0, 1, 10, 30])))
        clock.advance(timedelta(minutes=11))
        for _ in range(2):
            await world.consult.deadlines.sweep()
            clock.advance(timedelta(minutes=1))
        await asyncio.gather(world.follow(), other.follow())
        for case in cases:
            order = await case.now()
            assert order.facts is not None
            refunds = [cause for payment_id, cause in world.payments.refunds if payment_id == case.payment_id]
            assert len(refunds) + (case.id in world.payments.earned) == 1
            assert (order.status is OrderStatus.COMPLETED) is (case.id in world.payments.earned)
            assert (await case.stored())["status"] == order.status.value
