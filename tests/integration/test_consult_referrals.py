"""Referring an order on the real log: who sees what from which moment on, places, races."""

import asyncio
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest

from accounts.errors import DoctorNotFound
from consult.domain.log import ReferralAct
from consult.domain.notices import NoticeKind
from consult.domain.order import local_day
from consult.domain.status import OrderStatus
from consult.errors import OrderDailyMaximum, OrderNotFound, OrderTransitionRefused
from consult.service.records import OrderRecordAccess
from consult.service.referrals import ShownReferral
from ehr_view.domain.access import Refused
from im.errors import ConversationNotFound
from server.kernel.actor import Actor
from server.kernel.errors import DomainError
from server.kernel.ids import new_id
from tests.support.consult import Case, World, open_world

VALIDITY = timedelta(hours=48)


@pytest.fixture
async def world(database, clock):
    async with open_world(database, clock) as made:
        yield made


@dataclass
class Referring:
    """A paid order, its two, and the doctor whom it goes to."""

    case: Case
    new: Actor
    world: World

    async def propose(self) -> ShownReferral:
        referrals = self.world.consult.referrals
        return await referrals.propose(self.case.doctor, self.case.id, self.new.account_id, "头痛专科", new_id())

    async def step(self, who: Actor, referral_id: str, act: ReferralAct) -> ShownReferral:
        return await self.world.consult.referrals.step(who, self.case.id, referral_id, act, new_id())

    async def accepted(self) -> str:
        proposed = await self.propose()
        await self.step(self.new, proposed.id, ReferralAct.ACCEPT)
        return proposed.id

    async def agreed(self) -> None:
        await self.step(self.case.patient, await self.accepted(), ReferralAct.AGREE)

    async def places(self) -> list[str]:
        day = await self.world.database["doctor_days"].find_one({"doctor_id": self.new.account_id})
        return [] if day is None else day["order_ids"]


@pytest.fixture
async def referring(world: World) -> Referring:
    case = await world.paid()
    return Referring(case, world.doctor_actor(world.doctors.add("王医生")), world)


async def test_the_new_doctor_has_the_whole_conversation_and_the_old_one_nothing(world: World, referring: Referring) -> None:
    case, new = referring.case, referring.new
    talk = case.order.conversation_id
    await case.say(case.patient, "头痛三天")
    await referring.agreed()
    for old_look in (
        world.consult.orders.get_order(case.doctor, case.id),
        world.consult.consults.decline_order(case.doctor, case.id, "不行", new_id()),
        referring.propose(),
    ):
        with pytest.raises(OrderNotFound):
            await old_look
    with pytest.raises(ConversationNotFound):
        await world.log.access(case.doctor, talk)
    with pytest.raises(ConversationNotFound):
        await case.say(case.doctor)
    records = OrderRecordAccess(world.consult.parts.orders, world.log, world.doctors, world.clock, lambda: True)
    assert isinstance(await records.check(case.doctor, case.id), Refused)
    order = await world.consult.orders.get_order(new, case.id)
    assert (order.doctor.id, order.doctor.name, order.status) == (new.account_id, "王医生", OrderStatus.AWAITING_DOCTOR)
    assert (order.fee_fen, order.deadline_at) == (5000, case.order.created_at + VALIDITY)
    assert (await world.log.access(new, talk)).seq == 5
    kinds = [entry.draft.kind.value for entry in (await world.log.read_entries(talk, after_seq=0)).entries]
    assert kinds == ["opened", "message", "referred", "referred", "referred"]
    for _ in range(3):
        await case.say(new)
    assert (await case.now()).status is OrderStatus.COMPLETED


async def test_lists_follow_and_all_are_told_once(world: World, referring: Referring) -> None:
    case, new = referring.case, referring.new
    await referring.agreed()
    for _ in range(2):
        await world.follow()
    directory = world.consult.parts.directory
    talk = case.order.conversation_id
    listed = [await directory.list_open_conversations(who, 10) for who in (case.doctor, new, case.patient)]
    assert listed == [[], [talk], [talk]]
    told = await world.database["notices"].find({"kind": {"$regex": "refer"}}).to_list()
    assert sorted((each["kind"], each["account_id"]) for each in told) == sorted(
        [
            (NoticeKind.REFERRAL_OFFERED.value, new.account_id),
            (NoticeKind.REFERRAL_ACCEPTED.value, case.patient.account_id),
            (NoticeKind.ORDER_REFERRED.value, case.doctor.account_id),
            (NoticeKind.ORDER_REFERRED.value, new.account_id),
        ]
    )
    assert world.live.of("order.changed", new.account_id)[-1]["doctor"]["id"] == new.account_id
    world.clock.advance(timedelta(hours=47))
    await world.consult.reminders.sweep()
    await world.deliver()
    reminded = await world.database["notices"].find({"kind": NoticeKind.TIME_LEFT.value}).to_list()
    assert {each["account_id"] for each in reminded} == {new.account_id}
    world.clock.advance(timedelta(hours=1))
    await world.consult.deadlines.sweep()
    await world.follow()
    assert world.payments.refunds == {(case.payment_id, "expired")}


async def test_another_process_forgets_the_old_doctor_at_the_same_entry(world: World, referring: Referring) -> None:
    talk = referring.case.order.conversation_id
    async with open_world(world.database, world.clock, beside=world) as other:
        await other.log.access(referring.case.doctor, talk)
        await referring.agreed()
        with pytest.raises(ConversationNotFound):
            await other.log.access(referring.case.doctor, talk)
        with pytest.raises(OrderNotFound):
            await other.consult.orders.get_order(referring.case.doctor, referring.case.id)
        await other.log.access(referring.new, talk)


async def test_an_offer_shows_no_name_and_nothing_of_the_conversation_until_the_patient_agreed(
    world: World, referring: Referring
) -> None:
    proposed = await referring.propose()
    await world.follow()
    (offer,) = await world.consult.referrals.list_offers(referring.new)
    assert (offer.referral, offer.deadline_at) == (proposed, referring.case.order.created_at + VALIDITY)
    assert await world.consult.referrals.find(referring.case.patient, referring.case.id) == proposed
    with pytest.raises(OrderNotFound):
        await world.consult.orders.get_order(referring.new, referring.case.id)
    with pytest.raises(ConversationNotFound):
        await world.log.access(referring.new, referring.case.order.conversation_id)
    await referring.step(referring.new, proposed.id, ReferralAct.REFUSE)
    assert await world.consult.referrals.list_offers(referring.new) == []
    assert await world.consult.referrals.find(referring.case.patient, referring.case.id) is None


async def test_strangers_find_no_order_and_each_try_is_a_row(world: World, referring: Referring) -> None:
    proposed = await referring.propose()
    other = await world.paid()
    elsewhere = replace(referring.new, hospital_id="elsewhere")
    for stranger in (other.doctor, other.patient, elsewhere):
        for act in (ReferralAct.ACCEPT, ReferralAct.AGREE, ReferralAct.REFUSE, ReferralAct.WITHDRAW):
            with pytest.raises(OrderNotFound):
                await referring.step(stranger, proposed.id, act)
    denied = await world.database["audit"].count_documents({"outcome": "denied", "order_id": referring.case.id})
    assert denied == 12
    with pytest.raises(OrderTransitionRefused):
        await referring.step(referring.case.patient, proposed.id, ReferralAct.AGREE)


async def test_only_doctors_of_the_hospital_are_referred_to(world: World, referring: Referring) -> None:
    gone = world.doctors.add("离职", active=False)
    elsewhere = replace(world.doctors.add("外院"), hospital_id="elsewhere")
    world.doctors.doctors[elsewhere.id] = elsewhere
    for doctor_id in (gone.id, elsewhere.id, new_id()):
        with pytest.raises(DoctorNotFound):
            await world.consult.referrals.propose(referring.case.doctor, referring.case.id, doctor_id, "转", new_id())


async def test_accepting_takes_a_place_of_the_new_doctors_day_and_what_comes_to_nothing_gives_it_back(
    world: World, referring: Referring
) -> None:
    referral_id = await referring.accepted()
    assert await referring.places() == [referring.case.id]
    await referring.step(referring.case.patient, referral_id, ReferralAct.REFUSE)
    for _ in range(2):
        await world.follow()
    assert await referring.places() == []
    await referring.agreed()
    await world.follow()
    assert await referring.places() == [referring.case.id]


async def test_a_full_day_takes_no_referral(world: World, referring: Referring) -> None:
    day = local_day(world.clock.now())
    full = {"hospital_id": "default", "doctor_id": referring.new.account_id, "day": day, "limit": 0, "settings_version": 1}
    await world.database["doctor_days"].insert_one(full | {"order_ids": []})
    proposed = await referring.propose()
    with pytest.raises(OrderDailyMaximum):
        await referring.step(referring.new, proposed.id, ReferralAct.ACCEPT)
    found = await world.consult.referrals.find(referring.case.patient, referring.case.id)
    assert found is not None
    assert found.state is ReferralAct.PROPOSE


async def test_two_accepts_a_reply_and_an_agreement_have_one_winner_each(world: World, referring: Referring) -> None:
    case, new = referring.case, referring.new
    proposed = await referring.propose()
    async with open_world(world.database, world.clock, beside=world) as other:
        elsewhere = Referring(Case(other, case.order, case.patient, case.doctor), new, other)
        accepts = await asyncio.gather(
            *(each.step(new, proposed.id, ReferralAct.ACCEPT) for each in (referring, elsewhere, referring)),
            return_exceptions=True,
        )
        assert sum(isinstance(each, ShownReferral) for each in accepts) == 1
        assert await referring.places() == [case.id]
        outcomes = await asyncio.gather(
            elsewhere.case.say(case.doctor),
            referring.step(case.patient, proposed.id, ReferralAct.AGREE),
            return_exceptions=True,
        )
    replied, agreed = (not isinstance(each, BaseException) for each in outcomes)
    assert replied != agreed
    assert all(isinstance(each, DomainError) for each in outcomes if isinstance(each, BaseException))
    order = await case.now()
    assert order.doctor.id == (new.account_id if agreed else case.doctor.account_id)
    await world.follow()
    assert await referring.places() == ([case.id] if agreed else [])


async def test_at_the_deadline_an_acceptance_or_an_agreement_comes_too_late_and_gives_the_place_back(
    world: World, referring: Referring
) -> None:
    proposed = await referring.propose()
    world.clock.advance(VALIDITY)
    outcomes = await asyncio.gather(
        world.consult.deadlines.sweep(), referring.step(referring.new, proposed.id, ReferralAct.ACCEPT), return_exceptions=True
    )
    assert outcomes[0] == 1
    assert isinstance(outcomes[1], DomainError)
    assert await referring.places() == []
    assert (await referring.case.now()).status is OrderStatus.REFUNDING
