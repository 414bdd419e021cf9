"""Hospital records in the running product, as a doctor and a patient meet them."""

import time
from datetime import timedelta
from typing import Any

import pytest

from tests.support.contract import Pair, World, instant
from tests.support.records import opened

ONE_SECOND = timedelta(seconds=1)


@pytest.fixture
async def pair(world: World) -> Pair:
    return await world.pair()


async def _page(pair: Pair, order: Any, record: Any, number: int = 1, wish: str = "") -> Any:
    return await pair.doctor.ask("GET", f"/orders/{order['id']}/records/{record['record_id']}/pages/{number}{wish}")


async def _refused_within_a_second(pair: Pair, order: Any, record: Any, since: float) -> None:
    refused = await _page(pair, order, record)
    assert time.monotonic() - since < ONE_SECOND.total_seconds()
    refused.refused(403, "record.access_denied")


async def test_the_doctor_reads_pages_and_the_patient_sees_it_live_and_ends_it(pair: Pair) -> None:
    order = await pair.paid()
    patient_socket, doctor_socket = await pair.world.socket(pair.patient), await pair.world.socket(pair.doctor)
    listed = await pair.doctor.get(f"/orders/{order['id']}/records")
    assert {item["kind"] for item in listed["items"]} == {"note", "lab", "exam", "imaging"}
    assert (listed["missing"], listed["known"], listed["next_cursor"]) == ([], True, None)
    shown = []
    for kind in ("note", "lab", "exam"):
        record = next(item for item in listed["items"] if item["kind"] == kind)
        page = await _page(pair, order, record, record["pages"], "?format=png")
        at = time.monotonic()
        image = opened(page.ok())
        assert (image.format, image.size) == ("PNG", (1080, 1920))
        assert page.headers["Cache-Control"] == "no-store"
        told = await patient_socket.wait_for("record.viewed", lambda v, r=record: v["record_id"] == r["record_id"], 2)
        assert time.monotonic() - at < 2
        shown.append(told)
    listed_views = (await pair.patient.get(f"/orders/{order['id']}/record-views"))["items"]
    assert listed_views == shown[::-1]
    assert {(v["order_id"], v["doctor"]["id"]) for v in listed_views} == {(order["id"], pair.doctor_id)}
    assert all(instant(v["viewed_at"]) for v in listed_views)
    assert doctor_socket.all("record.viewed") == []
    ended = await pair.patient.post(f"/orders/{order['id']}/record-access", {"granted": False})
    assert ended["status"] == "awaiting_doctor"
    await _refused_within_a_second(pair, order, record, time.monotonic())


async def test_the_third_reply_ends_the_records_with_the_order(pair: Pair) -> None:
    order = await pair.paid()
    record = (await pair.doctor.get(f"/orders/{order['id']}/records"))["items"][0]
    for _ in range(2):
        await pair.reply(order["conversation_id"])
    (await _page(pair, order, record)).ok()
    await pair.reply(order["conversation_id"])
    await _refused_within_a_second(pair, order, record, time.monotonic())


async def test_a_revisit_is_taken_for_whom_the_hospital_has_seen(pair: Pair) -> None:
    order = await pair.paid(kind="revisit")
    assert (order["kind"], order["status"]) == ("revisit", "awaiting_doctor")
