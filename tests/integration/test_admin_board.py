"""The console's own questions, on real databases: the board, figures by day, dossiers, verifications, repairs."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from accounts.domain.people import PatientAccount
from admin_console.board_wire import Hl7MessageOut, board_out, dossier_out, hl7_out, proof_out
from admin_console.domain.board import DayFigures
from admin_console.domain.orders import OrderFilter
from admin_console.domain.proofs import STALE, ProofState
from billing.domain import Channel, RefundStatus, captured_lines, earned_lines
from billing.mongo import POSTINGS, REFUNDS
from consult.domain.decisions import decide_expiry, decide_settlement
from consult.domain.status import OrderStatus
from consult.domain.tasks import TASKS, TaskState
from consult.errors import OrderNotFound
from ehr_view.hl7.domain import HeldMessage, MessageStatus
from im.domain import RecallMessage
from server.kernel.actor import Actor, Role, StaffRole
from server.kernel.audit import AUDIT
from server.kernel.ids import new_id
from server.kernel.mongo import Database
from tests.support.clock import ManualClock
from tests.support.supervision import DOCTOR, PATIENT, Supervision, staff, supervision

AUDITOR = staff(StaffRole.AUDITOR)
ADMIN = staff(StaffRole.MEDICAL_ADMIN)
OPERATOR = staff(StaffRole.OPERATOR)
PHONE = "13812341234"


@pytest.fixture
async def world(database: Database, clock: ManualClock, tmp_path: Path) -> AsyncIterator[Supervision]:
    made = await supervision(database, clock, tmp_path)
    yield made
    await made.close()


# --- the board ---


async def test_the_board_counts_what_is_open_and_names_what_is_due_first(world: Supervision, clock: ManualClock) -> None:
    await world.order(paid=False)
    await world.order(hospital_id="another")
    first = await world.order()
    clock.advance(timedelta(hours=43))
    second = await world.order()
    board = await world.board.view_board(ADMIN)
    counts = board.counts
    assert board.at == clock.now()
    assert (counts.open_orders[OrderStatus.PENDING_PAYMENT], counts.open_orders[OrderStatus.AWAITING_DOCTOR]) == (1, 2)
    assert counts.near == 1
    urgent, later = counts.urgent
    assert later.order_id == second.id
    assert (urgent.order_id, urgent.number, urgent.doctor_name, urgent.department) == (first.id, first.number, "李医生", "儿科")
    assert urgent.deadline_at - urgent.paid_at == timedelta(hours=48)
    assert "王小明" not in board_out(board).model_dump_json()


async def test_the_board_counts_refunds_and_tasks_by_what_they_need(world: Supervision, clock: ManualClock) -> None:
    here, now = {"hospital_id": "default"}, clock.now()
    states = (RefundStatus.NEEDS_PERSON, RefundStatus.REFUNDED, next(iter(RefundStatus)))
    await world.database[REFUNDS].insert_many([here | {"_id": new_id(), "status": state.value} for state in states])
    late, later = now - timedelta(seconds=1), now + timedelta(seconds=1)
    tasks = [(TaskState.OPEN, late), (TaskState.OPEN, later), (TaskState.CLAIMED, late), (TaskState.DONE, late)]
    await world.database[TASKS].insert_many(
        [here | {"_id": new_id(), "state": state.value, "due_at": due} for state, due in tasks]
    )
    counts = (await world.board.view_board(ADMIN)).counts
    assert (counts.refunds_under_way, counts.refunds_need_person) == (1, 1)
    assert (counts.tasks[TaskState.OPEN], counts.tasks[TaskState.CLAIMED], counts.tasks_overdue) == (2, 1, 2)


async def test_figures_come_for_every_local_day_and_for_departments(world: Supervision, clock: ManualClock) -> None:
    clock.advance(datetime(2026, 3, 1, 15, 59, tzinfo=UTC) - clock.now())  # 23:59 in the hospital
    await world.order(paid=False)
    clock.advance(timedelta(minutes=1))
    answered = await world.order()
    await world.order()
    await world.say(answered, DOCTOR)
    await world.database["orders"].update_one(
        {"_id": answered.id}, {"$set": {"log": {"counted_replies": 1}, "rating": {"stars": 4}}}
    )
    clock.advance(timedelta(days=1))
    series = await world.board.view_series(ADMIN, 3)
    assert series.days == (
        DayFigures("2026-03-01", orders=1),
        DayFigures("2026-03-02", orders=2, paid=2, answered=1, paid_fen=10_000),
        DayFigures("2026-03-03"),
    )
    (department,) = series.departments
    assert (department.department, department.orders, department.answered) == ("儿科", 2, 1)
    assert (department.paid_fen, department.stars) == (10_000, 4.0)
    assert (await world.board.view_board(ADMIN)).today == DayFigures("2026-03-03")


# --- dossiers ---


async def test_a_dossier_tells_what_was_said_but_not_what_was_taken_back(world: Supervision, clock: ManualClock) -> None:
    order = await world.order()
    await world.say(order, PATIENT, "孩子发热")
    seq = await world.say(order, DOCTOR, "说错了")
    recall = RecallMessage(DOCTOR, new_id(), seq)
    await world.log.recall(Actor(DOCTOR, Role.DOCTOR, "default", new_id()), order.conversation_id, recall)
    world.outside.names |= {PATIENT: "王小明", DOCTOR: "李医生"}
    told = dossier_out(await world.dossiers.view(AUDITOR, order.id))
    assert [(e.seq, e.kind, e.sender, list(e.parts), e.recalled, e.recalls) for e in told.entries] == [
        (1, "opened", None, [], False, None),
        (2, "message", PATIENT, [{"kind": "text", "text": "孩子发热"}], False, None),
        (3, "message", DOCTOR, [], True, None),
        (4, "recall", DOCTOR, [], False, 3),
    ]
    assert {person.account_id: person.name for person in told.people} == {PATIENT: "王小明", DOCTOR: "李医生"}
    assert "说错了" not in told.model_dump_json()


async def test_a_dossier_tells_every_movement_of_money_in_order(world: Supervision, clock: ManualClock) -> None:
    order = await world.order(paid=False)
    for entry, lines in (("earned", earned_lines(5000)), ("captured", captured_lines(Channel.WECHAT_H5, 5000))):
        at = clock.now() + timedelta(seconds=entry == "earned")
        row = {"_id": new_id(), "hospital_id": "default", "order_id": order.id, "payment_id": "p", "entry": entry}
        await world.database[POSTINGS].insert_one(row | {"at": at, "lines": lines})
    told = dossier_out(await world.dossiers.view(AUDITOR, order.id))
    assert [(each.entry, each.amount_fen) for each in told.postings] == [("captured", 5000), ("earned", 5000)]
    assert (told.entries, told.refunds, told.views) == ([], [], [])


async def test_a_dossier_proves_each_timed_decision_and_names_the_one_that_was_not_taken(
    world: Supervision, clock: ManualClock
) -> None:
    expired, forgotten = await world.order(), await world.order()
    waiting = dossier_out(await world.dossiers.view(AUDITOR, expired.id)).deadlines
    assert (waiting.holds, waiting.waiting, waiting.decisions) == (True, True, [])
    clock.advance(timedelta(hours=48, seconds=2))
    await world.log.append(expired.conversation_id, decide_expiry)
    clock.advance(timedelta(seconds=30))
    await world.log.append(expired.conversation_id, decide_settlement)
    clock.advance(timedelta(seconds=90))
    proved = dossier_out(await world.dossiers.view(AUDITOR, expired.id)).deadlines
    told = [(each.seq, each.kind, each.late_ms, each.inputs["counted_replies"]) for each in proved.decisions]
    assert (proved.holds, proved.waiting, told) == (True, False, [(2, "closed", 2_000, 0), (3, "settled", 30_000, 0)])
    assert proved.decisions[1].inputs["outcome"] == "refund"
    (finding,) = dossier_out(await world.dossiers.view(AUDITOR, forgotten.id)).deadlines.findings
    assert (finding.fault, finding.seq, finding.detail) == ("late", 0, "still open 122.000 s after its time")


async def test_the_dossier_of_another_hospitals_order_does_not_exist(world: Supervision) -> None:
    order = await world.order(hospital_id="another")
    with pytest.raises(OrderNotFound):
        await world.dossiers.view(AUDITOR, order.id)


async def test_a_phone_finds_its_account_only_where_it_has_ordered(world: Supervision) -> None:
    world.outside.accounts[PHONE] = PatientAccount(PATIENT, PHONE, None, None, 1)
    world.outside.names[PATIENT] = "王小明"
    await world.order(hospital_id="another")
    assert await world.dossiers.find_patient_account(ADMIN, PHONE) is None
    order = await world.order()
    assert await world.dossiers.find_patient_account(ADMIN, PHONE) == (PATIENT, "王小明")
    assert await world.dossiers.find_patient_account(ADMIN, "13900000000") is None
    found, _ = await world.desk.list_orders(ADMIN, OrderFilter("default", patient_account=PATIENT), limit=5, after=None)
    assert [each.id for each in found] == [order.id]
    rows = await world.database[AUDIT].find({"action": "admin.patient_looked_up"}, sort=[("_id", 1)]).to_list()
    assert [row["subject"] for row in rows] == ["patient", PATIENT, "patient"]
    assert PHONE not in str(rows)


# --- verifications ---


async def test_a_verification_is_done_once_by_a_worker_and_says_that_history_holds(world: Supervision) -> None:
    await world.order()
    asked = await world.proofs.request(AUDITOR)
    assert asked.state is ProofState.WAITING
    assert (await world.proofs.request(AUDITOR)).id == asked.id
    assert set(world.outside.requested) == {("admin.verify_history", asked.id)}
    await world.proofs.verify(asked.id)
    await world.proofs.verify(asked.id)
    (done,) = await world.proofs.list_newest(AUDITOR)
    assert (done.id, done.state, done.holds, done.broken) == (asked.id, ProofState.DONE, True, 0)
    assert done.items >= 2
    assert proof_out(done).verification_id == asked.id
    assert (await world.proofs.request(AUDITOR)).id != asked.id


async def test_a_verification_names_where_history_was_edited(world: Supervision) -> None:
    await world.proofs.list_newest(AUDITOR)
    await world.database[AUDIT].update_one({}, {"$set": {"subject": "another"}})
    asked = await world.proofs.request(AUDITOR)
    await world.proofs.verify_waiting()
    done = (await world.proofs.list_newest(AUDITOR))[0]
    assert (done.id, done.holds, done.broken) == (asked.id, False, len(done.findings))
    assert "edited" in done.findings[0]


async def test_a_verification_whose_worker_died_is_taken_by_another_after_an_hour(
    world: Supervision, clock: ManualClock
) -> None:
    asked = await world.proofs.request(AUDITOR)
    await world.database["verifications"].update_one(
        {"_id": asked.id}, {"$set": {"state": "running", "started_at": clock.now()}}
    )
    await world.proofs.verify_waiting()
    assert (await world.proofs.list_newest(AUDITOR))[0].state is ProofState.RUNNING
    clock.advance(STALE + timedelta(seconds=1))
    await world.proofs.verify_waiting()
    assert (await world.proofs.list_newest(AUDITOR))[0].state is ProofState.DONE


# --- repairs ---


async def test_failed_messages_are_told_without_words_and_taken_again_by_operators(
    world: Supervision, clock: ManualClock
) -> None:
    message = HeldMessage(
        new_id(), "default", "ORU^R01", "42", MessageStatus.FAILED, "value", "OBX-5", clock.now(), 2, b"", b"secret"
    )
    world.outside.failed[message.id] = message
    (listed,) = await world.repairs.list_failed(OPERATOR)
    assert hl7_out(listed) == Hl7MessageOut(
        message_id=message.id,
        kind="ORU^R01",
        control_id="42",
        reason="value",
        where="OBX-5",
        received_at=clock.now(),
        tries=2,
    )
    assert await world.repairs.list_failed(staff(StaffRole.OPERATOR, hospital_id="another")) == ()
    repair = await world.repairs.retry(OPERATOR, message.id)
    assert repair is not None and repair.is_accepted
    assert await world.repairs.retry(OPERATOR, message.id) is None
