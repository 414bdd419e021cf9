"""Whom an order lets look at records: decided on its document and its freshly read log, each time."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import date, timedelta

import pytest

from accounts.domain.doctors import Doctor
from consult.errors import OrderNotFound
from consult.service.records import OfflineVisits, OrderRecordAccess
from ehr_view.domain.access import ChatView, Grant, PatientView, Refused, Viewer
from ehr_view.domain.records import PatientRef
from ehr_view.errors import RecordAccessDenied, RecordIdentityMismatch, RecordSourceUnavailable
from server.kernel.actor import Actor, Role, StaffRole
from server.kernel.errors import Unavailable
from server.kernel.ids import derived_id, new_id
from server.kernel.mongo import Database
from tests.support.clock import ManualClock
from tests.support.consult import Case, FakeDoctors, FakePatients, World, make_world, open_world


class Phones:
    """Implements `DoctorPhones`."""

    def __init__(self, doctors: FakeDoctors) -> None:
        self._doctors = doctors

    async def get_doctor(self, doctor_id: str) -> Doctor:
        return await self._doctors.get_doctor(doctor_id)

    async def get_phone_tail(self, doctor: Doctor) -> str:
        return "5678"


@pytest.fixture
async def world(database: Database, clock: ManualClock) -> AsyncIterator[World]:
    async with open_world(database, clock) as made:
        yield made


def access_of(world: World) -> OrderRecordAccess:
    return OrderRecordAccess(
        world.consult.parts.orders, world.log, Phones(world.doctors), world.clock, lambda: world.clock_is_ok
    )


async def refusal(world: World, actor: Actor, order_id: str) -> type[Exception]:
    verdict = await access_of(world).check(actor, order_id)
    assert isinstance(verdict, Refused)
    return type(verdict.error)


async def test_a_grant_names_the_patient_by_document_and_the_doctor_as_the_mark_does(world: World) -> None:
    case = await world.paid()
    grant = await access_of(world).check(case.doctor, case.id)
    doctor = await world.doctors.get_doctor(case.doctor.account_id)
    assert grant == Grant(
        order_id=case.id,
        order_number=case.order.number,
        hospital_id="default",
        patient=PatientRef("resident", "11010519491231002X", "王小明", date(1990, 1, 6), "male"),
        patient_account=case.patient.account_id,
        viewer=Viewer(doctor.id, "李医生", doctor.staff_number, "5678"),
        closes_at=world.clock.now() + timedelta(hours=48),
    )


async def test_staff_numbers_are_short_steady_and_differ() -> None:
    doctors = FakeDoctors()
    made = [doctors.add() for _ in range(200)]
    numbers = {doctor.staff_number for doctor in made}
    assert len(numbers) == 200
    assert {(len(number), number[0]) for number in numbers} == {(7, "D")}
    assert replace(made[0], name="另一名").staff_number == made[0].staff_number


async def test_whoever_may_not_see_the_order_is_told_that_there_is_none(world: World) -> None:
    case, other = await world.paid(), await world.paid()
    staff = Actor(new_id(), Role.STAFF, "default", "r", staff_roles=frozenset(StaffRole))
    elsewhere = replace(case.doctor, hospital_id="another")
    as_doctor = replace(case.patient, role=Role.DOCTOR)
    for actor in (other.doctor, other.patient, staff, elsewhere, as_doctor):
        assert await refusal(world, actor, case.id) is OrderNotFound
    for order_id in (new_id(), "x"):
        assert await refusal(world, case.doctor, order_id) is OrderNotFound


async def _denied(world: World, case: Case) -> bool:
    return await refusal(world, case.doctor, case.id) is RecordAccessDenied


async def test_unpaid_without_consent_and_closed_orders_and_the_patient_get_nothing(world: World) -> None:
    unpaid, case = await world.order(), await world.paid()
    assert await _denied(world, unpaid)
    assert await refusal(world, case.patient, case.id) is RecordAccessDenied
    await world.consult.consults.set_record_access(case.patient, case.id, False)
    assert await _denied(world, case)
    await world.consult.consults.set_record_access(case.patient, case.id, True)
    assert isinstance(await access_of(world).check(case.doctor, case.id), Grant)
    for _ in range(3):
        await case.say(case.doctor)
    assert await _denied(world, case)


async def test_the_last_instant_is_too_late_though_nothing_has_swept(world: World) -> None:
    case = await world.paid()
    world.clock.advance(timedelta(hours=48, milliseconds=-1))
    assert isinstance(await access_of(world).check(case.doctor, case.id), Grant)
    world.clock.advance(timedelta(milliseconds=1))
    assert await _denied(world, case)


async def test_a_close_by_another_process_ends_it_at_once(world: World, database: Database, clock: ManualClock) -> None:
    case = await world.paid()
    assert isinstance(await access_of(world).check(case.doctor, case.id), Grant)
    other = await make_world(database, clock, beside=world)
    await other.consult.consults.decline_order(case.doctor, case.id, "请线下就诊", new_id())
    assert await _denied(world, case)
    await other.close()


async def test_a_clock_that_is_not_to_be_trusted_opens_nothing(world: World) -> None:
    case = await world.paid()
    world.clock_is_ok = False
    with pytest.raises(Unavailable):
        await access_of(world).check(case.doctor, case.id)


async def test_a_doctor_who_was_taken_off_the_list_sees_nothing(world: World) -> None:
    case = await world.paid()
    doctor_id = case.doctor.account_id
    world.doctors.doctors[doctor_id] = replace(world.doctors.doctors[doctor_id], active=False)
    assert await _denied(world, case)


async def test_an_order_made_before_documents_were_kept_shows_no_records(world: World) -> None:
    case = await world.paid()
    found = await world.consult.parts.orders.find(case.id)
    assert found is not None
    keys = await world.consult.parts.orders._keyring.hospital("default")  # as an older version stored it
    old = keys.seal_bytes(b'{"name":"A","sex":"male","birth_date":null}', field="orders.patient", owner=case.id)
    await world.database["orders"].update_one({"_id": case.id, "hospital_id": "default"}, {"$set": {"patient": old}})
    assert await _denied(world, case)


async def test_the_patient_sees_who_looked_and_the_doctor_marks_the_chat_open_or_not(world: World) -> None:
    case = await world.paid()
    await world.consult.consults.decline_order(case.doctor, case.id, "请线下就诊", new_id())
    access = access_of(world)
    assert await access.check_patient(case.patient, case.id) == PatientView(case.id, "default")
    chat = await access.check_chat(case.doctor, case.id)
    assert isinstance(chat, ChatView)
    assert (chat.order_number, chat.viewer.phone_tail) == (case.order.number, "5678")
    for verdict in (await access.check_patient(case.doctor, case.id), await access.check_chat(case.patient, case.id)):
        assert isinstance(verdict, Refused)
        assert isinstance(verdict.error, RecordAccessDenied)


class Hospital:
    """Implements `HospitalVisits`."""

    def __init__(self, answer: bool | Exception) -> None:
        self._answer = answer
        self.asked: list[PatientRef] = []

    async def has_visit(self, patient: PatientRef) -> bool:
        self.asked.append(patient)
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


@pytest.mark.parametrize(("answer", "visited"), [(True, True), (False, False), (RecordIdentityMismatch(), False)])
async def test_only_the_persons_own_visit_confirms_a_revisit(answer: bool | Exception, visited: bool) -> None:
    account = Actor(new_id(), Role.PATIENT, "platform", "r")
    patient = await FakePatients().access_patient(account, derived_id("patient", account.account_id))
    hospital = Hospital(answer)
    assert await OfflineVisits(hospital).has_offline_visit(patient) is visited
    assert hospital.asked == [PatientRef("resident", "11010519491231002X", "王小明", date(1990, 1, 6), "male")]


async def test_a_hospital_that_does_not_answer_confirms_nothing_and_denies_nothing() -> None:
    account = Actor(new_id(), Role.PATIENT, "platform", "r")
    patient = await FakePatients().access_patient(account, derived_id("patient", account.account_id))
    with pytest.raises(RecordSourceUnavailable):
        await OfflineVisits(Hospital(RecordSourceUnavailable())).has_offline_visit(patient)
