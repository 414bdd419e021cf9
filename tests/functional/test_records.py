"""Hospital records in the running product, as a doctor, a patient and those who may not meet them."""

import asyncio
import base64
import time
import uuid
from collections.abc import AsyncIterator, Callable
from datetime import date
from typing import Any

import pytest

from tests.support.contract import Answer, Client, Pair, World, identity_number, instant
from tests.support.records import opened

KINDS = ("note", "lab", "exam", "imaging")


@pytest.fixture
async def pair(world: World) -> Pair:
    return await world.pair()


@pytest.fixture
async def faults(world: World) -> AsyncIterator[Any]:
    async def put(**settings: Any) -> None:
        await world.outside("PUT", "/hospital/faults", settings)

    yield put
    await put()


def _is_of(record: Any) -> Callable[[Any], bool]:
    return lambda view: bool(view["record_id"] == record["record_id"])


def _path(order: Any, record: Any, number: int = 1) -> str:
    return f"/orders/{order['id']}/records/{record['record_id']}/pages/{number}"


async def _listed(pair: Pair, order: Any) -> Any:
    return await pair.doctor.get(f"/orders/{order['id']}/records")


async def _refused_within_a_second(ask: Client, path: str, status: int, code: str) -> None:
    """What ended the permission was acknowledged just now."""
    since = time.monotonic()
    answer = await ask.ask("GET", path)
    assert time.monotonic() - since < 1
    answer.refused(status, code)


async def test_the_doctor_reads_pages_and_the_patient_sees_it_live_and_ends_it(pair: Pair) -> None:
    order = await pair.paid()
    patient_socket, doctor_socket = await pair.world.socket(pair.patient), await pair.world.socket(pair.doctor)
    listed = await _listed(pair, order)
    assert {item["kind"] for item in listed["items"]} == set(KINDS)
    assert (listed["missing"], listed["known"], listed["next_cursor"]) == ([], True, None)
    assert listed["reminder"]["zh"].startswith("患者隐私")
    shown = []
    for kind in KINDS:
        record = next(item for item in listed["items"] if item["kind"] == kind)
        page = await pair.doctor.ask("GET", f"{_path(order, record, record['pages'])}?format=png")
        at = time.monotonic()
        image = opened(page.ok())
        assert (image.format, image.size) == ("PNG", (1080, 1920))
        assert (page.headers["Cache-Control"], page.headers["X-Record-Pages"]) == ("no-store", str(record["pages"]))
        told = await patient_socket.wait_for("record.viewed", _is_of(record), 2)
        assert time.monotonic() - at < 2
        shown.append(told)
    views = (await pair.patient.get(f"/orders/{order['id']}/record-views"))["items"]
    assert views == shown[::-1]
    assert {(v["order_id"], v["doctor"]["id"]) for v in views} == {(order["id"], pair.doctor_id)}
    assert all(instant(v["viewed_at"]) for v in views)
    assert doctor_socket.all("record.viewed") == []
    ended = await pair.patient.post(f"/orders/{order['id']}/record-access", {"granted": False})
    await _refused_within_a_second(pair.doctor, _path(order, record), 403, "record.access_denied")
    assert (ended["status"], ended["record_access"]) == ("awaiting_doctor", False)
    assert (await pair.patient.get(f"/orders/{order['id']}/record-views"))["items"] == views


async def test_who_agrees_again_is_listed_again(pair: Pair) -> None:
    order = await pair.paid()
    record = (await _listed(pair, order))["items"][0]
    access = f"/orders/{order['id']}/record-access"
    await pair.patient.post(access, {"granted": False})
    (await pair.doctor.ask("GET", f"/orders/{order['id']}/records")).refused(403, "record.access_denied")
    await pair.patient.post(access, {"granted": True})
    assert (await _listed(pair, order))["items"][0]["record_id"] == record["record_id"]


async def test_the_third_reply_ends_the_records_with_the_order(pair: Pair) -> None:
    order = await pair.paid()
    record = (await _listed(pair, order))["items"][0]
    for _ in range(2):
        await pair.reply(order["conversation_id"])
    (await pair.doctor.ask("GET", _path(order, record))).ok()
    await pair.reply(order["conversation_id"])
    await _refused_within_a_second(pair.doctor, _path(order, record), 403, "record.access_denied")


async def _known_pair(world: World) -> tuple[Pair, str]:
    """A pair, and the doctor's phone to sign in with elsewhere."""
    patient = await world.patient()
    doctor, doctor_id, phone = await world.new_doctor()
    return Pair(world, patient, (await world.new_patient(patient))["id"], doctor, doctor_id), phone


async def test_signing_out_and_losing_the_right_to_sign_in_end_the_records(world: World) -> None:
    pair, phone = await _known_pair(world)
    order = await pair.paid()
    record = (await _listed(pair, order))["items"][0]
    staff = await pair.world.staff()
    (await pair.doctor.ask("DELETE", "/auth/sessions/current")).ok(204)
    await _refused_within_a_second(pair.doctor, _path(order, record), 401, "auth.required")
    again = await pair.world.doctor(phone)
    (await again.ask("GET", _path(order, record))).refused(403, "record.access_denied")
    await again.get(f"/orders/{order['id']}/records")
    (await again.ask("GET", _path(order, record))).ok()
    (await staff.ask("DELETE", f"/admin/doctors/{pair.doctor_id}")).ok(204)
    await _refused_within_a_second(again, _path(order, record), 401, "auth.required")


async def _denied(auditor: Client, order: Any) -> list[Any]:
    pages = await auditor.pages(f"/admin/audit?order_id={order['id']}", 100)
    return [row for page in pages for row in page if row["outcome"] == "denied" and row["action"].startswith("record.")]


async def test_an_order_without_consent_unpaid_or_closed_shows_its_doctor_nothing(pair: Pair) -> None:
    consent = (await pair.order_body())["consent"] | {"record_access": False}
    for order in (await pair.paid(consent=consent), await pair.place()):
        for path in ("records", f"records/{'0' * 32}/pages/1"):
            (await pair.doctor.ask("GET", f"/orders/{order['id']}/{path}")).refused(403, "record.access_denied")
    done = await pair.paid()
    await _listed(pair, done)
    await pair.doctor.post(f"/orders/{done['id']}/decline", {"reason": "请线下就诊"})
    (await pair.doctor.ask("GET", f"/orders/{done['id']}/records")).refused(403, "record.access_denied")


async def test_the_chat_carries_the_doctors_mark(pair: Pair) -> None:
    order = await pair.paid()
    mark = await pair.doctor.get(f"/orders/{order['id']}/chat-mark")
    image = opened(base64.b64decode(mark["tile"]))
    assert (image.format, image.mode, image.size) == ("PNG", "LA", (mark["width"], mark["height"]))
    assert mark["reminder"].keys() == {"zh", "en"}


async def test_a_revisit_is_taken_for_whom_the_hospital_has_seen(pair: Pair, faults: Any) -> None:
    order = await pair.paid(kind="revisit")
    assert (order["kind"], order["status"]) == ("revisit", "awaiting_doctor")
    body = await pair.order_body(kind="revisit")
    await faults(requests="other_patient", resources=["Patient"])
    stranger = await pair.patient.ask("POST", "/orders", body, key=uuid.uuid4().hex)
    stranger.refused(409, "order.revisit_unavailable")
    assert await _status_of_revisit(pair, body, faults) == (503, "record.source_unavailable")


async def _status_of_revisit(pair: Pair, body: Any, faults: Any) -> tuple[int, str]:
    """While the hospital is down."""
    await faults(requests="down")
    headers = {"Authorization": f"Bearer {pair.patient.token}", "Idempotency-Key": uuid.uuid4().hex}
    url = f"{pair.world.base_url}/api/v1/orders"
    async with pair.world.http.post(url, json=body, headers=headers) as answer:
        return answer.status, (await answer.json())["code"]


# What can be wrong with the hospital


async def _ask_records(pair: Pair, order: Any) -> tuple[int, Any, float]:
    since = time.monotonic()
    headers = {"Authorization": f"Bearer {pair.doctor.token}"}
    async with pair.world.http.get(f"{pair.world.base_url}/api/v1/orders/{order['id']}/records", headers=headers) as answer:
        return answer.status, await answer.json(), time.monotonic() - since


async def test_what_the_hospital_cannot_give_is_named_and_the_rest_is_shown(pair: Pair, faults: Any) -> None:
    order = await pair.paid()
    await faults(requests="down", resources=["Composition", "MedicationRequest"])
    status, listed, _ = await _ask_records(pair, order)
    assert (status, {(m["part"], m["reason"]) for m in listed["missing"]}) == (
        200,
        {("notes", "unavailable"), ("prescriptions", "unavailable")},
    )
    assert {item["kind"] for item in listed["items"]} == set(KINDS)
    await faults(requests="slow", resources=["ImagingStudy"], late_seconds=30)
    pair.patient_id = (await pair.world.new_patient(pair.patient))["id"]  # a chart is kept for a minute
    order = await pair.paid()
    status, listed, seconds = await _ask_records(pair, order)
    assert (status, [(m["part"], m["reason"]) for m in listed["missing"]]) == (200, [("imaging", "timed_out")])
    assert seconds < 6


@pytest.mark.parametrize("fault", ["down", "nonsense", "slow"])
async def test_a_hospital_that_gives_nothing_is_said_to_and_nothing_hangs(pair: Pair, faults: Any, fault: str) -> None:
    order = await pair.paid()
    await faults(requests=fault, late_seconds=30)
    status, problem, seconds = await _ask_records(pair, order)
    assert (status, problem["code"]) == (503, "record.source_unavailable")
    assert seconds < 6
    assert (await pair.doctor.get(f"/orders/{order['id']}"))["status"] == "awaiting_doctor"


async def test_another_persons_data_is_refused_and_reported(pair: Pair, faults: Any) -> None:
    order = await pair.paid()
    await faults(requests="other_patient", resources=["Patient"])
    status, problem, _ = await _ask_records(pair, order)
    assert (status, problem["code"]) == (409, "record.identity_mismatch")
    await faults(requests="other_patient", resources=["Observation", "Composition"])
    status, listed, _ = await _ask_records(pair, order)
    assert status == 200
    assert {m["part"] for m in listed["missing"] if m["reason"] == "identity_mismatch"} == {"notes", "labs"}
    rows = await _denied(await pair.world.staff(), order)
    assert [row["action"] for row in rows] == ["record.identity_mismatch"] * 2


async def test_a_note_of_ten_megabytes_and_five_thousand_rows_are_paged(pair: Pair, faults: Any) -> None:
    order = await pair.paid()
    await faults(huge_note=True, huge_lab=True)
    status, listed, _ = await _ask_records(pair, order)
    assert status == 200
    longest = max(listed["items"], key=lambda item: int(item["pages"]))
    assert 50 < longest["pages"] <= 400
    (await pair.doctor.ask("GET", _path(order, longest, longest["pages"]))).ok()


async def test_many_doctors_look_at_once_and_each_look_is_seen(world: World) -> None:
    pairs = [await world.pair() for _ in range(3)]
    orders = [await pair.paid() for pair in pairs]
    lists = await asyncio.gather(*(_listed(p, o) for p, o in zip(pairs, orders, strict=True)))

    async def look(pair: Pair, order: Any, listed: Any, number: int) -> Answer:
        answer: Answer = await pair.doctor.ask("GET", _path(order, listed["items"][number]))
        return answer

    looks = [look(p, o, found, n) for p, o, found in zip(pairs, orders, lists, strict=True) for n in range(4)]
    for answer in await asyncio.gather(*looks):
        assert opened(answer.ok()).width == 1080
    for pair, order in zip(pairs, orders, strict=True):
        assert len((await pair.patient.get(f"/orders/{order['id']}/record-views"))["items"]) == 4


async def test_a_patient_known_only_by_a_rare_name_is_found(world: World) -> None:
    pair = await world.pair()
    number = identity_number(date(1966, 2, 15), 2)
    pair.patient_id = (await world.new_patient(pair.patient, name="㛃𬱖䶮", id_number=number))["id"]
    await world.outside("POST", "/hospital/patients", {"number": number, "name": "㛃𬱖䶮"})
    order = await pair.paid()
    record = next(item for item in (await _listed(pair, order))["items"] if item["kind"] == "lab")
    assert opened((await pair.doctor.ask("GET", _path(order, record))).ok()).size == (1080, 1920)
