"""HL7 v2 over real MLLP connections into a real database."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import pytest

from ehr_view.domain.records import Chart, Form, LabReport, Missing, MissingReason, Note, Part, PatientRef, Section
from ehr_view.errors import RecordSourceUnavailable
from ehr_view.hl7.domain import Identity
from ehr_view.hl7.mllp import MllpLimits, frame
from ehr_view.joined import JoinedHospital
from server.kernel.mongo import Database
from tests.support.clock import ManualClock
from tests.support.hl7 import (
    NUMBER,
    OBR,
    PID,
    POTASSIUM,
    SODIUM,
    Hl7World,
    connected,
    header,
    intake_world,
    message,
    result,
    verdict,
)
from tests.support.records import PERSON, hospital_server

NOW = datetime(2026, 11, 22, 2, 0, tzinfo=UTC)
TANG = Identity("resident", NUMBER)
LI = Identity("resident", "440524198001010013")
TXA = "TXA|1|CN^病程||||||||||D1"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


@pytest.fixture
async def world(database: Database, clock: ManualClock) -> AsyncIterator[Hl7World]:
    async with intake_world(database, clock) as made:
        yield made


async def values(world: Hl7World, identity: Identity = TANG) -> list[str]:
    found = await world.records.list_of("default", identity)
    return [i.value for each in found if isinstance(each.record.content, LabReport) for i in each.record.content.items]


async def statuses(world: Hl7World) -> list[tuple[str, str, int]]:
    found = world.database["hl7_messages"].find({"hospital_id": "default"}, sort=[("received_at", 1), ("_id", 1)])
    return [(d["status"], d["reason"], d["tries"]) async for d in found]


async def test_results_are_held_sealed_and_acknowledged(world: Hl7World) -> None:
    async with connected(world.port) as sender:
        assert verdict(await sender.send(result())) == ("AA", "MSG00001")
    assert await values(world) == ["6.8", "140.0"]
    for collection in ("hl7_messages", "held_records", "hl7_cards"):
        async for document in world.database[collection].find({"hospital_id": "default"}):
            text = repr(document)
            assert NUMBER not in text
            assert "唐玉兰" not in text
            assert "M00012345" not in text
    rows = [r async for r in world.database["audit"].find({"hospital_id": "default"})]
    assert [(r["action"], r["address"]) for r in rows] == [("hl7.message_accepted", "127.0.0.1")]


async def test_several_messages_in_both_charsets_are_answered_in_order_on_one_connection(world: Hl7World) -> None:
    chinese = message(header(control="B", charset="GB18030"), PID, OBR, POTASSIUM, charset="gb18030")
    async with connected(world.port) as sender:
        sender.writer.write(frame(result(control="A")) + frame(chinese) + frame(b"nonsense") + frame(result(control="C")))
        answers = [verdict(await sender.answer()) for _ in range(4)]
    assert answers == [("AA", "A"), ("AA", "B"), ("AE", "", "message.no_header"), ("AA", "C")]


async def test_a_repeated_message_is_answered_as_before_and_changes_nothing(world: Hl7World) -> None:
    async with connected(world.port) as sender:
        for at in ("20261122090000", "20261122090500"):
            assert verdict(await sender.send(result(at=at))) == ("AA", "MSG00001")
    assert len(await values(world)) == 2
    assert await statuses(world) == [("accepted", "", 1)]


async def test_a_control_id_used_again_for_something_else_is_refused_and_kept(world: Hl7World) -> None:
    async with connected(world.port) as sender:
        await sender.send(result())
        answer = await sender.send(result(lines=[SODIUM.replace("140.0", "99.0")]))
    assert verdict(answer) == ("AE", "MSG00001", "message.control_id_reused")
    assert await values(world) == ["6.8", "140.0"]
    assert ("failed", "message.control_id_reused", 1) in await statuses(world)


async def test_a_correction_replaces_and_an_older_message_does_not(world: Hl7World) -> None:
    async with connected(world.port) as sender:
        await sender.send(result(control="1", at="20261122090000"))
        await sender.send(result(control="3", at="20261122092000", lines=[POTASSIUM.replace("6.8", "4.8").replace("HH", "N")]))
        assert verdict(await sender.send(result(control="2", at="20261122091000"))) == ("AA", "2")
    assert await values(world) == ["4.8"]


async def test_a_cancelled_report_and_document_are_not_shown(world: Hl7World) -> None:
    cancelled = OBR.replace("|LAB|F", "|LAB|X")
    async with connected(world.port) as sender:
        await sender.send(result(control="1", at="20261122090000"))
        await sender.send(message(header("MDM^T02", control="2"), PID, TXA, "OBX|1|TX|a^b||文字"))
        assert len(await world.records.list_of("default", TANG)) == 2
        await sender.send(message(header(control="3", at="20261122093000"), PID, cancelled))
        await sender.send(message(header("MDM^T11", control="4", at="20261122093000"), PID, TXA))
    assert await world.records.list_of("default", TANG) == []


async def test_a_malformed_message_is_kept_and_can_be_repaired(world: Hl7World) -> None:
    """A result under the hospital's own number waits until the hospital says whose that is."""
    unknown = message(header(), "PID|1||M00012345^^^HIS^MR||唐^玉兰", OBR, POTASSIUM)
    async with connected(world.port) as sender:
        answer = await sender.send(unknown)
        assert verdict(answer) == ("AE", "MSG00001", "patient.unknown")
        assert answer[2][2:5] == ["PID^1^3", "204^Unknown key identifier^HL70357", "E"]
        (failed,) = await world.intake.list_failed(10)
        assert (failed.kind, failed.reason, failed.control_id, failed.data) == ("ORU^R01", "patient.unknown", "MSG00001", b"")
        repair = await world.intake.retry(failed.id)
        assert repair is not None
        assert (repair.is_accepted, repair.reason) == (False, "patient.unknown PID^1^3")
        assert verdict(await sender.send(message(header("ADT^A04", control="A1"), PID))) == ("AA", "A1")
        repair = await world.intake.retry(failed.id)
        assert repair is not None
        assert repair.is_accepted
    assert await values(world) == ["6.8"]
    assert await world.intake.list_failed(10) == []
    assert await world.intake.retry(failed.id) is None
    actions = [r["action"] async for r in world.database["audit"].find({"hospital_id": "default"})]
    assert actions.count("hl7.message_retried") == 2
    assert "hl7.message_refused" in actions


async def test_a_failed_message_can_be_dropped_and_then_its_words_are_gone(world: Hl7World) -> None:
    async with connected(world.port) as sender:
        for _ in range(2):
            await sender.send(b"MSH|^~\\&|LIS|H|||20261122||ORU^R01||P|2.4\rPID|1||secret\r")
    assert await statuses(world) == [("failed", "message.no_control_id", 2)]
    (failed,) = await world.intake.list_failed(10)
    assert await world.intake.drop(failed.id)
    assert not await world.intake.drop(failed.id)
    document = await world.database["hl7_messages"].find_one({"_id": failed.id, "hospital_id": "default"})
    assert document is not None
    assert "data" not in document


async def test_what_waits_for_repair_is_bounded(database: Database, clock: ManualClock) -> None:
    async with intake_world(database, clock, most_failed=1) as world, connected(world.port) as sender:
        assert verdict(await sender.send(b"one"))[-1] == "message.no_header"
        assert verdict(await sender.send(b"one"))[-1] == "message.no_header"
        assert verdict(await sender.send(b"two"))[-1] == "repair.no_room"
    assert await statuses(world) == [("failed", "message.no_header", 2)]


async def test_two_cards_that_are_merged_become_one_person(world: Hl7World) -> None:
    wrong = f"PID|1||M9^^^HIS^MR~{LI.id_number}^^^^NI||李^四"
    async with connected(world.port) as sender:
        await sender.send(message(header(control="1", at="20261122080000"), wrong, OBR, POTASSIUM))
        assert await values(world, LI) == ["6.8"]
        merge = message(header("ADT^A40", control="2", at="20261122090000"), PID, "MRG|M9^^^HIS")
        assert verdict(await sender.send(merge)) == ("AA", "2")
    assert await values(world, LI) == []
    assert await values(world) == ["6.8"]
    assert await world.records.find_cards("default", ["HIS|M9"]) == {TANG}


async def test_a_card_of_somebody_else_is_a_mismatch(world: Hl7World) -> None:
    mixed = PID.replace(NUMBER, LI.id_number).replace("19660215|F", "19800101|M")
    async with connected(world.port) as sender:
        await sender.send(message(header("ADT^A01", control="1"), PID))
        answer = await sender.send(message(header(control="2"), mixed, OBR, POTASSIUM))
    assert verdict(answer) == ("AE", "2", "patient.mismatch")
    assert await values(world, LI) == []


async def test_an_adt_without_any_known_person_and_a_message_without_content_are_taken(world: Hl7World) -> None:
    async with connected(world.port) as sender:
        assert verdict(await sender.send(message(header("ADT^A08", control="1"), "PID|1||M7^^^HIS"))) == ("AA", "1")
        assert verdict(await sender.send(message(header("MDM^T01", control="2"), PID, TXA))) == ("AA", "2")
        assert verdict(await sender.send(message(header("ORM^O01", control="3"), PID))) == (
            "AR",
            "3",
            "message.type_unsupported",
        )
    assert [s for s, _, _ in await statuses(world)] == ["accepted", "accepted"]


# Connections


async def test_a_message_too_long_is_rejected_and_ends_the_connection(database: Database, clock: ManualClock) -> None:
    async with intake_world(database, clock, limits=MllpLimits(most_bytes=600)) as world, connected(world.port) as sender:
        answer = await sender.send(result(lines=[POTASSIUM] * 20))
        assert verdict(answer) == ("AR", "MSG00001", "message.too_large")
        assert await sender.at_end()
    assert await statuses(world) == []


async def test_idle_and_unfinished_connections_are_ended(database: Database, clock: ManualClock) -> None:
    limits = MllpLimits(idle_seconds=0.3, frame_seconds=0.2)
    async with intake_world(database, clock, limits=limits) as world:
        async with connected(world.port) as idle:
            assert await idle.at_end()
        async with connected(world.port) as slow:
            slow.writer.write(b"\x0bMSH|")
            assert await slow.at_end()
        async with connected(world.port) as noisy:
            noisy.writer.write(b"GET / HTTP/1.1\r\n" * 400)
            assert await noisy.at_end()


async def test_only_so_many_connections_and_only_allowed_addresses_are_served(database: Database, clock: ManualClock) -> None:
    async with intake_world(database, clock, limits=MllpLimits(connections=1)) as world, connected(world.port) as first:
        assert verdict(await first.send(result(control="1"))) == ("AA", "1")
        async with connected(world.port) as second:
            assert await second.at_end()
        assert verdict(await first.send(result(control="2"))) == ("AA", "2")
    async with intake_world(database, clock, allowed="10.0.0.0/8") as world, connected(world.port) as stranger:
        assert await stranger.at_end()


async def test_one_sender_that_hangs_does_not_keep_the_others_out(database: Database, clock: ManualClock) -> None:
    async with intake_world(database, clock, limits=MllpLimits(connections=4)) as world, AsyncExitStack() as hanging:
        for _ in range(2):
            (await hanging.enter_async_context(connected(world.port))).writer.write(b"\x0bMSH|")
        async with connected(world.port) as third:
            assert await third.at_end()
        async with connected(world.port, "127.0.0.2") as other:
            assert verdict(await other.send(result())) == ("AA", "MSG00001")


async def test_what_cannot_be_stored_is_not_answered(world: Hl7World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fails(*_: object) -> None:
        raise OSError("no database")

    monkeypatch.setattr(world.messages, "accept", fails)
    async with connected(world.port) as sender:
        sender.writer.write(frame(result()))
        assert await sender.at_end()
    monkeypatch.undo()
    async with connected(world.port) as sender:
        assert verdict(await sender.send(result())) == ("AA", "MSG00001")
    assert await values(world) == ["6.8", "140.0"]
    assert await world.database["audit"].count_documents({"hospital_id": "default"}) == 1


async def test_the_same_message_on_many_connections_at_once_is_one(world: Hl7World) -> None:
    async def send() -> tuple[str, ...]:
        async with connected(world.port) as sender:
            return verdict(await sender.send(result()))

    assert set(await asyncio.gather(*(send() for _ in range(8)))) == {("AA", "MSG00001")}
    assert len(await world.records.list_of("default", TANG)) == 1
    assert await world.database["audit"].count_documents({"hospital_id": "default"}) == 1


# From the simulated hospital


async def test_the_simulated_hospital_sends_what_it_is_asked_to(world: Hl7World, clock: ManualClock, tmp_path: Path) -> None:
    async with hospital_server(tmp_path, clock) as base, aiohttp.ClientSession() as session:

        async def send(**body: object) -> tuple[str, str]:
            wanted = {"number": NUMBER, "name": "唐玉兰", "port": world.port, **body}
            async with session.post(f"{base}/hospital/hl7", json=wanted) as answer:
                told = await answer.json()
                return told["code"], told["reason"]

        assert await send(values={"K": 6.9}, charset="gb18030", fault="twice") == ("AA", "")
        assert await send(kind="document", text="【主诉】胸闷\n3天|^~") == ("AA", "")
        for kind in ("admit", "register", "update"):
            assert await send(kind=kind) == ("AA", "")
        assert await send(kind="merge", old_number="M1") == ("AA", "")
        assert await send(panel="cbc", fault="wrong_charset") == ("AA", "")
        assert await send(fault="no_header") == ("AE", "message.no_header")
        assert await send(fault="wrong_separators") == ("AE", "message.bad_separators")
        assert await send(fault="no_identity") == ("AE", "patient.unknown")
        assert await send(fault="other_birth_date") == ("AE", "patient.contradiction")
        assert await send(fault="unknown_type") == ("AR", "message.type_unsupported")
        assert await send(fault="torn") == ("", "")
    found = {r.record.title: r.record for r in await world.records.list_of("default", TANG)}
    assert sorted(found) == ["会诊记录", "肾功能四项+电解质", "血常规（五分类）+超敏C反应蛋白"]
    assert found["肾功能四项+电解质"].critical
    assert found["会诊记录"].content == Note((Section("主诉", "胸闷\n3天|^~"),))
    blood = found["血常规（五分类）+超敏C反应蛋白"].content
    assert isinstance(blood, LabReport)
    assert {item.name: item.unit for item in blood.items}["白细胞计数"] == "10*9/L"


# Beside what the hospital shows when it is asked


class Asked:
    """A hospital that shows a chart, or does not answer."""

    def __init__(self, chart: Chart | None) -> None:
        self.chart = chart

    async def fetch_chart(self, hospital_id: str, patient: PatientRef) -> Chart:
        if self.chart is None:
            raise RecordSourceUnavailable
        return self.chart

    async def fetch_pictures(self, *_: object) -> list[None]:
        return [None]

    async def stamp(self, *_: object) -> str:
        return ""


async def test_what_was_sent_stands_beside_what_is_shown_and_once(world: Hl7World) -> None:
    async with connected(world.port) as sender:
        await sender.send(result(control="1"))
    (held,) = await world.records.list_of("default", TANG)
    joined = JoinedHospital(Asked(Chart((held.record,))), world.records)
    assert (await joined.fetch_chart("default", PERSON)).records == (held.record,)
    other = JoinedHospital(Asked(Chart(())), world.records)
    (record,) = (await other.fetch_chart("default", PERSON)).records
    assert (record.form, record.source, record.critical) == (Form.LAB, "LIS", True)


async def test_what_was_sent_is_there_when_the_hospital_does_not_answer(world: Hl7World) -> None:
    joined = JoinedHospital(Asked(None), world.records)
    with pytest.raises(RecordSourceUnavailable):
        await joined.fetch_chart("default", PERSON)
    before = await joined.stamp("default", PERSON)
    async with connected(world.port) as sender:
        await sender.send(result())
    assert await joined.stamp("default", PERSON) != before
    chart = await joined.fetch_chart("default", PERSON)
    assert len(chart.records) == 1
    assert Missing(Part.LABS, MissingReason.UNAVAILABLE) in chart.missing


async def test_records_under_the_number_that_say_somebody_else_are_counted_not_shown(world: Hl7World) -> None:
    async with connected(world.port) as sender:
        await sender.send(message(header(), PID.replace("唐^玉兰", "王^五"), OBR, POTASSIUM))
    chart = await JoinedHospital(Asked(Chart(())), world.records).fetch_chart("default", PERSON)
    assert chart.records == ()
    assert chart.missing == (Missing(Part.LABS, MissingReason.IDENTITY_MISMATCH, 1),)
