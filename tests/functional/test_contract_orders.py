"""The wire contract of an order's life over HTTP: made, paid, talked about, ended; media and the doctor's desk."""

import asyncio
import uuid
from datetime import date, timedelta
from typing import Any

import pytest

from tests.support.contract import MESSAGE_FIELDS, ORDER_FIELDS, Pair, World, identity_number, instant, text
from tests.support.media_files import exif_of_a_phone, image_file, opened, voice_file


@pytest.fixture
async def pair(world: World) -> Pair:
    return await world.pair()


def _order_shape(order: Any) -> None:
    assert order.keys() == ORDER_FIELDS
    assert order["doctor"].keys() == {"id", "name", "title", "department"}
    assert order["patient"].keys() == {"id", "name", "sex", "age"}
    assert order["replies"].keys() == {"limit", "used", "gifted"}
    instant(order["created_at"])
    for name in ("paid_at", "deadline_at", "closed_at"):
        assert order[name] is None or instant(order[name])
    assert isinstance(order["version"], int)
    assert isinstance(order["number"], str) and order["number"]


# --- making and paying ---


async def test_a_new_order_waits_for_its_payment(pair: Pair) -> None:
    order = await pair.place(complaint="孩子发热三天\n最高39度")
    _order_shape(order)
    doctor = await pair.patient.get(f"/doctors/{pair.doctor_id}")
    assert {
        name: order[name]
        for name in ORDER_FIELDS - {"id", "number", "conversation_id", "created_at", "unpaid_until", "version"}
    } == {
        "status": "pending_payment",
        "kind": "consult",
        "doctor": {name: doctor[name] for name in ("id", "name", "title", "department")},
        "patient": {"id": pair.patient_id, "name": "陈小雨", "sex": order["patient"]["sex"], "age": order["patient"]["age"]},
        "complaint": "孩子发热三天\n最高39度",
        "image_ids": [],
        "fee_fen": doctor["fee_fen"],
        "refunded_fen": 0,
        "replies": {"limit": 3, "used": 0, "gifted": 0},
        "paid_at": None,
        "deadline_at": None,
        "closed_at": None,
        "close_reason": None,
        "rating": None,
        "record_access": True,
        "quick": None,
        "after_sales": None,
    }
    assert instant(order["unpaid_until"]) - instant(order["created_at"]) == timedelta(minutes=30)
    assert order["patient"]["sex"] in ("male", "female")
    assert order["patient"]["age"] in (35, 36, 37)
    assert await pair.patient.get(f"/orders/{order['id']}") == order


async def test_a_paid_order_awaits_the_doctor_for_48_hours(pair: Pair) -> None:
    order = await pair.place()
    for channel in ("wechat_jsapi", "wechat_h5"):
        payment = await pair.start_payment(order["id"], channel)
        assert payment.keys() == {"payment_id", "channel", "prepay_id", "params"}
        assert payment["channel"] == channel
        wallet = await pair.world.wallet(payment["prepay_id"])
        assert (wallet["amount_fen"], wallet["paid"], wallet["refunds"]) == (order["fee_fen"], False, [])
    assert f"prepay_id={payment['prepay_id']}" in payment["params"]["h5_url"]
    await pair.world.outside("POST", f"/wechatpay/wallet/{payment['prepay_id']}/pay")
    paid = await pair.until(order["id"], "awaiting_doctor")
    _order_shape(paid)
    assert instant(paid["deadline_at"]) - instant(paid["paid_at"]) == timedelta(hours=48)
    assert paid == {**order, **{name: paid[name] for name in ("status", "paid_at", "deadline_at", "version")}}
    assert await pair.doctor.get(f"/orders/{order['id']}") == paid
    assert (await pair.world.wallet(payment["prepay_id"]))["paid"] is True
    again = await pair.patient.ask("POST", f"/orders/{order['id']}/payments", {"channel": "wechat_h5"}, key=uuid.uuid4().hex)
    again.refused(409, "order.transition_refused")


async def test_jsapi_params_are_what_the_wallet_needs(pair: Pair) -> None:
    order = await pair.place()
    payment = await pair.start_payment(order["id"], "wechat_jsapi")
    assert {"appId", "timeStamp", "nonceStr", "package", "signType", "paySign"} <= payment["params"].keys()
    assert payment["params"]["package"] == f"prepay_id={payment['prepay_id']}"
    assert payment["params"]["signType"] == "RSA"


async def test_orders_and_payments_need_a_key(pair: Pair) -> None:
    (await pair.patient.ask("POST", "/orders", await pair.order_body())).refused(422, "request.invalid")
    order = await pair.place()
    answer = await pair.patient.ask("POST", f"/orders/{order['id']}/payments", {"channel": "wechat_h5"})
    answer.refused(422, "request.invalid")
    key = uuid.uuid4().hex
    path = f"/orders/{order['id']}/payments"
    first, again = [await pair.patient.ask("POST", path, {"channel": "wechat_h5"}, key=key) for _ in range(2)]
    assert first.ok(201) == again.ok(201)
    (await pair.patient.ask("POST", path, {"channel": "wechat_jsapi"}, key=key)).refused(409, "idempotency.mismatch")


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "visit"},
        {"kind": None},
        {"complaint": ""},
        {"complaint": "   "},
        {"complaint": "a\u0000b"},
        {"complaint": "a\u202eb"},
        {"complaint": "x" * 100_000},
        {"complaint": 5},
        {"image_ids": None},
        {"image_ids": "x"},
        {"image_ids": [{}]},
        {"image_ids": ["0" * 32] * 200},
        {"doctor_id": ""},
        {"doctor_id": {"$ne": None}},
        {"patient_id": 7},
        {"consent": "yes"},
        {"consent": {"version": "1"}},
        {"more": 1},
        {"fee_fen": 1},
    ],
)
async def test_an_order_that_is_not_well_formed_is_refused_and_nothing_is_made(pair: Pair, change: dict[str, Any]) -> None:
    body = await pair.order_body(**change)
    (await pair.patient.ask("POST", "/orders", body, key=uuid.uuid4().hex)).refused(422, "request.invalid")
    assert (await pair.patient.get("/orders"))["items"] == []


async def test_no_order_without_the_consent_in_force(pair: Pair) -> None:
    given = (await pair.order_body())["consent"]
    for consent in ({**given, "sha256": "0" * 64}, {**given, "version": "1999-01"}, {**given, "version": ""}):
        body = await pair.order_body(consent=consent)
        (await pair.patient.ask("POST", "/orders", body, key=uuid.uuid4().hex)).refused(422, "order.consent_required")
    body = await pair.order_body()
    del body["consent"]
    (await pair.patient.ask("POST", "/orders", body, key=uuid.uuid4().hex)).refused(422, "order.consent_required")
    assert (await pair.patient.get("/orders"))["items"] == []


async def test_an_order_names_a_patient_of_ones_own_and_a_doctor_who_is_there(pair: Pair) -> None:
    stranger = await pair.world.pair()
    body = await pair.order_body(patient_id=stranger.patient_id)
    (await pair.patient.ask("POST", "/orders", body, key=uuid.uuid4().hex)).refused(404, "patient.not_found")
    body = await pair.order_body(doctor_id="0" * 32)
    answer = await pair.patient.ask("POST", "/orders", body, key=uuid.uuid4().hex)
    assert answer.body["code"] in ("doctor.not_found", "order.doctor_unavailable")
    body = await pair.order_body(image_ids=["0" * 32])
    (await pair.patient.ask("POST", "/orders", body, key=uuid.uuid4().hex)).refused(404, "media.not_found")
    assert (await pair.patient.get("/orders"))["items"] == []


async def test_a_patient_may_have_several_open_orders_with_one_doctor(pair: Pair) -> None:
    first, second = await pair.paid(), await pair.paid()
    assert first["id"] != second["id"] and first["conversation_id"] != second["conversation_id"]
    assert first["number"] != second["number"]


async def test_a_closed_switch_refuses_orders_and_payments(pair: Pair) -> None:
    order = await pair.place()
    settings = await pair.doctor.get("/desk/settings")
    (await pair.doctor.ask("PUT", "/desk/settings", {**settings, "accepting": False})).ok()
    for path, body in (
        ("/orders", await pair.order_body()),
        (f"/orders/{order['id']}/payments", {"channel": "wechat_h5"}),
    ):
        answer = await pair.patient.ask("POST", path, body, key=uuid.uuid4().hex)
        answer.refused(409, "order.doctor_unavailable")


async def test_the_daily_maximum_holds_before_any_money_moves_and_a_cancelled_place_is_free_again(pair: Pair) -> None:
    settings = await pair.doctor.get("/desk/settings")
    (await pair.doctor.ask("PUT", "/desk/settings", {**settings, "daily_maximum": 2})).ok()
    orders = [await pair.place() for _ in range(5)]
    answers = await asyncio.gather(
        *(
            pair.patient.ask("POST", f"/orders/{order['id']}/payments", {"channel": "wechat_h5"}, key=uuid.uuid4().hex)
            for order in orders
        )
    )
    assert sorted(answer.status for answer in answers) == [201, 201, 409, 409, 409]
    refused = [order for order, answer in zip(orders, answers, strict=True) if answer.status == 409]
    for answer in answers:
        if answer.status == 409:
            answer.refused(409, "order.daily_maximum")
    placed = next(order for order in orders if order not in refused)
    await pair.start_payment(placed["id"])
    await pair.patient.post(f"/orders/{placed['id']}/cancel", {})
    await pair.start_payment(refused[0]["id"])
    path = f"/orders/{refused[1]['id']}/payments"
    answer = await pair.patient.ask("POST", path, {"channel": "wechat_h5"}, key=uuid.uuid4().hex)
    answer.refused(409, "order.daily_maximum")


# --- the commands of an order ---


async def test_an_unpaid_order_is_cancelled_and_cannot_be_paid(pair: Pair) -> None:
    order = await pair.place()
    payment = await pair.start_payment(order["id"])
    done = await pair.patient.post(f"/orders/{order['id']}/cancel", {})
    _order_shape(done)
    assert (done["status"], done["close_reason"], done["refunded_fen"]) == ("cancelled", "cancelled", 0)
    instant(done["closed_at"])
    answer = await pair.patient.ask("POST", f"/orders/{order['id']}/payments", {"channel": "wechat_h5"}, key=uuid.uuid4().hex)
    answer.refused(409, "order.transition_refused")
    (await pair.patient.ask("POST", f"/orders/{order['id']}/cancel", {})).refused(409, "order.transition_refused")
    url = f"{pair.world.product.simulators_url}/wechatpay/wallet/{payment['prepay_id']}/pay"
    async with pair.world.http.post(url) as wallet:
        assert wallet.status in (400, 409)
    (await pair.patient.ask("GET", f"/conversations/{order['conversation_id']}/messages")).refused(
        404, "conversation.not_found"
    )


@pytest.mark.parametrize("reason", ["cancelled", "declined"])
async def test_cancel_and_decline_refund_once_while_no_reply_counts(pair: Pair, reason: str) -> None:
    order = await pair.paid()
    if reason == "cancelled":
        done = await pair.patient.post(f"/orders/{order['id']}/cancel", {})
    else:
        done = await pair.doctor.post(f"/orders/{order['id']}/decline", {"reason": "不属于我的专科"})
    _order_shape(done)
    assert (done["status"] in ("refunding", "refunded"), done["close_reason"]) == (True, reason)
    done = await pair.until(order["id"], "refunded")
    assert (done["close_reason"], done["refunded_fen"]) == (reason, order["fee_fen"])
    assert [(r["amount_fen"], r["status"]) for r in (await pair.world.wallet(order["prepay_id"]))["refunds"]] == [
        (order["fee_fen"], "SUCCESS")
    ]
    log = await pair.log(order["conversation_id"])
    assert [(each["kind"], each["closes"]) for each in log] == [("opened", None), ("closed", reason), ("settled", None)]
    if reason == "declined":
        assert log[1]["parts"][0]["data"]["reason"] == "不属于我的专科"
    for path, body, client in (
        ("cancel", {}, pair.patient),
        ("decline", {"reason": "再次"}, pair.doctor),
        ("finish", {}, pair.doctor),
        ("gifts", {"count": 1}, pair.doctor),
        ("rating", {"stars": 5, "tags": [], "text": ""}, pair.patient),
    ):
        (await client.ask("POST", f"/orders/{order['id']}/{path}", body)).refused(409, "order.transition_refused")


async def test_after_a_reply_there_is_no_cancel_and_no_decline_but_a_finish(pair: Pair) -> None:
    order = await pair.paid()
    path = f"/orders/{order['id']}"
    (await pair.doctor.ask("POST", f"{path}/finish", {})).refused(409, "order.transition_refused")
    await pair.reply(order["conversation_id"])
    now = await pair.patient.get(path)
    assert (now["status"], now["replies"]) == ("in_session", {"limit": 3, "used": 1, "gifted": 0})
    (await pair.patient.ask("POST", f"{path}/cancel", {})).refused(409, "order.transition_refused")
    (await pair.doctor.ask("POST", f"{path}/decline", {"reason": "太晚"})).refused(409, "order.transition_refused")
    (await pair.patient.ask("POST", f"{path}/rating", {"stars": 5, "tags": [], "text": ""})).refused(
        409, "order.transition_refused"
    )
    done = await pair.doctor.post(f"{path}/finish", {})
    _order_shape(done)
    assert (done["status"], done["close_reason"], done["refunded_fen"]) == ("completed", "finished", 0)
    answer = await pair.patient.ask(
        "POST", f"/conversations/{order['conversation_id']}/messages", {"client_id": "after-the-end", "parts": [text("还有")]}
    )
    answer.refused(409, "conversation.closed")


async def test_gifts_extend_the_quota_and_the_last_reply_closes(pair: Pair) -> None:
    order = await pair.paid()
    path, conversation = f"/orders/{order['id']}", order["conversation_id"]
    for count in (0, 11, -1, "2", 1.5, None):
        (await pair.doctor.ask("POST", f"{path}/gifts", {"count": count})).refused(422, "request.invalid")
    gifted = await pair.doctor.post(f"{path}/gifts", {"count": 2})
    assert gifted["replies"] == {"limit": 5, "used": 0, "gifted": 2}
    sent = [await pair.reply(conversation, f"{n}") for n in range(5)]
    assert [each["closes"] for each in sent] == [None] * 4 + ["quota"]
    done = await pair.patient.get(path)
    assert (done["status"], done["close_reason"]) == ("completed", "quota")
    assert done["replies"] == {"limit": 5, "used": 5, "gifted": 2}
    assert instant(done["closed_at"]) == instant(sent[-1]["sent_at"])
    body = {"client_id": "one-too-many", "parts": [text("六")]}
    (await pair.doctor.ask("POST", f"/conversations/{conversation}/messages", body)).refused(
        409, "conversation.quota_exhausted"
    )
    (await pair.doctor.ask("POST", f"{path}/gifts", {"count": 1})).refused(409, "order.transition_refused")
    log = await pair.log(conversation)
    assert [each["kind"] for each in log[:7]] == ["opened", "gift", *["message"] * 5]


async def test_a_completed_order_is_rated_once(pair: Pair) -> None:
    order = await pair.paid()
    for n in range(3):
        await pair.reply(order["conversation_id"], f"{n}")
    path = f"/orders/{order['id']}/rating"
    for change in ({"stars": 0}, {"stars": 6}, {"stars": "5"}, {"tags": "好"}, {"text": "x" * 100_000}, {"more": 1}):
        body = {"stars": 5, "tags": [], "text": ""} | change
        (await pair.patient.ask("POST", path, body)).refused(422, "request.invalid")
    body = {"stars": 4, "tags": ["耐心", "专业"], "text": "谢谢医生"}
    rated = await pair.patient.post(path, body)
    _order_shape(rated)
    assert {name: rated["rating"][name] for name in ("stars", "tags", "text")} == body
    (await pair.patient.ask("POST", path, body)).refused(409, "order.transition_refused")
    figures = await pair.doctor.get("/desk/figures")
    assert (figures["orders"], figures["completed"], figures["stars"], figures["ratings"]) == (1, 1, 4.0, 1)
    assert (await pair.patient.get(f"/doctors/{pair.doctor_id}"))["stars"] == 4.0
    assert (await pair.patient.get(f"/doctors/{pair.doctor_id}"))["replied_rate"] == 1.0


# --- who sees what ---


async def test_what_is_not_yours_is_not_there(pair: Pair) -> None:
    order = await pair.paid()
    conversation = order["conversation_id"]
    stranger = await pair.world.pair()
    message = {"client_id": "a-stranger", "parts": [text("您好")]}
    for client in (stranger.patient, stranger.doctor):
        for order_id, conversation_id in ((order["id"], conversation), ("0" * 32, "0" * 32), ("nonsense", "nonsense")):
            (await client.ask("GET", f"/orders/{order_id}")).refused(404, "order.not_found")
            answer = await client.ask("GET", f"/conversations/{conversation_id}/messages")
            answer.refused(404, "conversation.not_found")
            answer = await client.ask("POST", f"/conversations/{conversation_id}/messages", message)
            answer.refused(404, "conversation.not_found")
            for path, body in (
                ("cancel", {}),
                ("decline", {"reason": "不"}),
                ("finish", {}),
                ("gifts", {"count": 1}),
                ("rating", {"stars": 1, "tags": [], "text": ""}),
                ("record-access", {"granted": False}),
                ("payments", {"channel": "wechat_h5"}),
            ):
                answer = await client.ask("POST", f"/orders/{order_id}/{path}", body, key=uuid.uuid4().hex)
                answer.refused(404, "order.not_found")
    assert len(await pair.log(conversation)) == 1
    assert await pair.patient.get(f"/orders/{order['id']}") == {n: v for n, v in order.items() if n != "prepay_id"}


async def test_the_other_side_of_an_order_may_not_do_what_is_not_theirs(pair: Pair) -> None:
    order = await pair.paid()
    for client, path, body in (
        (pair.doctor, "cancel", {}),
        (pair.doctor, "rating", {"stars": 5, "tags": [], "text": ""}),
        (pair.doctor, "payments", {"channel": "wechat_h5"}),
        (pair.patient, "decline", {"reason": "不"}),
        (pair.patient, "finish", {}),
        (pair.patient, "gifts", {"count": 1}),
    ):
        answer = await client.ask("POST", f"/orders/{order['id']}/{path}", body, key=uuid.uuid4().hex)
        answer.refused(403, "request.forbidden")
    staff = await pair.world.staff()
    assert (await staff.ask("GET", f"/orders/{order['id']}")).status in (403, 404)
    assert (await staff.ask("GET", f"/conversations/{order['conversation_id']}/messages")).status in (403, 404)
    for client in (pair.patient, staff):
        (await client.ask("GET", "/desk/settings")).refused(403, "request.forbidden")
    for client in (pair.patient, pair.doctor):
        (await client.ask("GET", "/admin/orders")).refused(403, "request.forbidden")


# --- lists ---


async def test_lists_filter_by_status_and_page_stably_while_orders_come(pair: Pair) -> None:
    made = [await pair.place() for _ in range(7)]
    await pair.patient.post(f"/orders/{made[2]['id']}/cancel", {})
    page = await pair.patient.get("/orders?limit=3")
    assert [each["id"] for each in page["items"]] == [each["id"] for each in made[:3:-1]]
    newer = await pair.place()
    rest, cursor = [], page["next_cursor"]
    while cursor is not None:
        more = await pair.patient.get(f"/orders?limit=3&cursor={cursor}")
        rest += [each["id"] for each in more["items"]]
        cursor = more["next_cursor"]
    assert rest == [each["id"] for each in made[3::-1]]
    cancelled = await pair.patient.get("/orders?status=cancelled")
    assert [(each["id"], each["status"]) for each in cancelled["items"]] == [(made[2]["id"], "cancelled")]
    unpaid = [each["id"] for page in await pair.patient.pages("/orders?status=pending_payment", 2) for each in page]
    assert unpaid == [newer["id"], *(each["id"] for each in made[::-1] if each is not made[2])]
    (await pair.patient.ask("GET", "/orders?status=lost")).refused(422, "request.invalid")
    for order in page["items"]:
        _order_shape(order)


async def test_the_doctor_lists_paid_orders_by_status(pair: Pair) -> None:
    order, other = await pair.paid(), await pair.paid()
    await pair.reply(order["conversation_id"])
    async with asyncio.timeout(5):
        while True:
            listed = {
                status: [each["id"] for each in (await pair.doctor.get(f"/orders?status={status}"))["items"]]
                for status in ("awaiting_doctor", "in_session")
            }
            if listed == {"awaiting_doctor": [other["id"]], "in_session": [order["id"]]}:
                break
            await asyncio.sleep(0.1)


# --- messages over HTTP ---


async def test_messages_have_all_their_fields_and_page_both_ways(pair: Pair) -> None:
    order = await pair.paid()
    path = f"/conversations/{order['conversation_id']}/messages"
    for n in range(12):
        body = {"client_id": f"message-{n:04}", "parts": [text(f"第{n}句")]}
        sent = await pair.patient.post(path, body, 201)
        assert sent.keys() == MESSAGE_FIELDS
        assert {name: sent[name] for name in MESSAGE_FIELDS - {"sent_at", "sender"}} == {
            "conversation_id": order["conversation_id"],
            "seq": n + 2,
            "kind": "message",
            "client_id": f"message-{n:04}",
            "parts": [text(f"第{n}句")],
            "recalled": False,
            "recalls": None,
            "corrects": None,
            "closes": None,
        }
        assert sent["sender"].keys() == {"account_id", "role", "name"}
        assert (sent["sender"]["account_id"], sent["sender"]["role"]) == (pair.patient.account_id, "patient")
        instant(sent["sent_at"])
    log = await pair.log(order["conversation_id"])
    assert [each["seq"] for each in log] == list(range(1, 14))
    assert all(each.keys() == MESSAGE_FIELDS for each in log)
    assert [e for page in await pair.doctor.pages(f"{path}?after_seq=0", 5) for e in page] == log
    after = await pair.doctor.get(f"{path}?after_seq=4&limit=3")
    assert ([each["seq"] for each in after["items"]], after["next_cursor"] is None) == ([5, 6, 7], False)
    before = await pair.doctor.get(f"{path}?before_seq=8&limit=3")
    assert ([each["seq"] for each in before["items"]], before["next_cursor"] is None) == ([5, 6, 7], False)
    first = await pair.doctor.get(f"{path}?before_seq=3&limit=3")
    assert ([each["seq"] for each in first["items"]], first["next_cursor"]) == ([1, 2], None)
    assert (await pair.doctor.get(f"{path}?after_seq=13"))["items"] == []
    assert (await pair.doctor.get(f"{path}?after_seq=99999"))["items"] == []
    for query in ("after_seq=-1", "after_seq=x", "before_seq=0", "after_seq=1&before_seq=5", "limit=101", "limit=0", "other=1"):
        (await pair.doctor.ask("GET", f"{path}?{query}")).refused(422, "request.invalid")


async def test_a_repeated_client_id_is_the_same_message(pair: Pair) -> None:
    order = await pair.paid()
    path = f"/conversations/{order['conversation_id']}/messages"
    body = {"client_id": "the-same-one", "parts": [text("在吗")]}
    answers = await asyncio.gather(*(pair.patient.ask("POST", path, body) for _ in range(10)))
    assert [answer.ok(201) for answer in answers] == [answers[0].body] * 10
    (await pair.patient.ask("POST", path, {**body, "parts": [text("在？")]})).refused(409, "idempotency.mismatch")
    assert (await pair.doctor.post(path, body, 201))["seq"] == 3


@pytest.mark.parametrize(
    "change",
    [
        {"client_id": "short"},
        {"client_id": "x" * 65},
        {"client_id": None},
        {"parts": []},
        {"parts": [text("x")] * 10},
        {"parts": [text("")]},
        {"parts": [text("x" * 4001)]},
        {"parts": [text("a\u0000")]},
        {"parts": [{"kind": "text", "text": "x", "more": 1}]},
        {"parts": [{"kind": "film", "media_id": "0" * 32}]},
        {"parts": [{"kind": "system", "event": "closed", "data": {}}]},
        {"parts": [{"kind": "image"}]},
        {"parts": "x"},
        {"corrects": 0},
        {"more": 1},
    ],
)
async def test_a_message_that_is_not_well_formed_is_refused(pair: Pair, change: dict[str, Any]) -> None:
    order = await pair.paid()
    body = {"client_id": uuid.uuid4().hex, "parts": [text("您好")]} | change
    answer = await pair.patient.ask("POST", f"/conversations/{order['conversation_id']}/messages", body)
    answer.refused(422, "request.invalid")
    assert len(await pair.log(order["conversation_id"])) == 1


# --- media ---


async def test_pictures_and_voice_go_up_and_come_down_by_a_link_of_ones_own(pair: Pair) -> None:
    order = await pair.paid()
    photo = image_file("jpeg", size=(640, 480), exif=exif_of_a_phone())
    image = (await pair.patient.upload(photo, "a.jpg")).ok(201)
    assert image.keys() == {"media_id", "kind", "mime", "bytes", "width", "height"}
    assert (image["kind"], image["mime"], image["width"], image["height"]) == ("image", "image/jpeg", 640, 480)
    voice = (await pair.patient.upload(voice_file("m4a", 2.0), "a.m4a")).ok(201)
    assert voice.keys() == {"media_id", "kind", "mime", "bytes", "duration_ms"}
    assert (voice["kind"], abs(voice["duration_ms"] - 2000) <= 50) == ("voice", True)
    parts = [
        text("请看"),
        {"kind": "image", "media_id": image["media_id"]},
        {"kind": "voice", "media_id": voice["media_id"]},
    ]
    path = f"/conversations/{order['conversation_id']}/messages"
    sent = await pair.patient.post(path, {"client_id": "with-pictures", "parts": parts}, 201)
    assert sent["parts"] == parts
    for client in (pair.patient, pair.doctor):
        link = await client.post(f"/media/{image['media_id']}/links", {})
        assert link.keys() == {"url", "expires_in_seconds"}
        assert 0 < link["expires_in_seconds"] <= 60
        fetched = (await client.ask("GET", f"{pair.world.base_url}{link['url']}")).ok()
        assert opened(fetched).size == (640, 480)
        assert dict(opened(fetched).getexif()) == {}
        assert b"PhoneMaker" not in fetched
    await _only_the_account_fetches(pair, link["url"])


async def _only_the_account_fetches(pair: Pair, url: str) -> None:
    """The doctor's link is the doctor's: by token, or by the cookie that the session set."""
    stranger = await pair.world.pair()
    for client in (pair.patient, stranger.patient, stranger.doctor, await pair.world.staff(), pair.world.nobody):
        assert (await client.ask("GET", f"{pair.world.base_url}{url}")).status in (401, 403, 404)
    assert (await pair.world.nobody.ask("GET", url.partition("?")[0])).status in (401, 403, 404, 422)


async def test_the_cookie_of_a_session_fetches_media_and_nothing_else(world: World) -> None:
    phone = (await world.new_doctor())[2]
    signed_in = await world.sign_in("doctor", phone)
    (cookie,) = signed_in.cookies.values()
    assert cookie["httponly"] and cookie["samesite"]
    doctor = world.client(signed_in.ok(201))
    media = (await doctor.upload(image_file(), "a.jpg")).ok(201)
    link = await doctor.post(f"/media/{media['media_id']}/links", {})
    headers = {"Cookie": f"{cookie.key}={cookie.value}"}
    assert (await world.nobody.ask("GET", f"{world.base_url}{link['url']}", headers=headers)).status == 200
    (await world.nobody.ask("GET", "/me", headers=headers)).refused(401, "auth.required")
    other = (await world.sign_in("patient", "17" + phone[2:])).cookies
    for wrong in (next(iter(other.values())).value, "nonsense"):
        headers = {"Cookie": f"{cookie.key}={wrong}"}
        assert (await world.nobody.ask("GET", f"{world.base_url}{link['url']}", headers=headers)).status in (401, 403, 404)
    (await doctor.ask("DELETE", "/auth/sessions/current")).ok(204)
    headers = {"Cookie": f"{cookie.key}={cookie.value}"}
    async with asyncio.timeout(2):
        while (await world.nobody.ask("GET", f"{world.base_url}{link['url']}", headers=headers)).status == 200:
            await asyncio.sleep(0.1)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "media.damaged"),
        (b"just words", "media.unsupported"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'><script/></svg>", "media.unsupported"),
        (b"%PDF-1.4\n", "media.unsupported"),
        (b"GIF89a\x01\x00\x01\x00\x00\x00\x00;", "media.unsupported"),
        (image_file("jpeg", size=(400, 300))[:700], "media.damaged"),
        (image_file("png", size=(400, 300))[:200], "media.damaged"),
        (voice_file("m4a", 1.5)[:300], "media.damaged"),
        (image_file("png", size=(8001, 8001)), "media.too_large"),
        (b"\xff\xd8\xff\xe0" + b"\x00" * (20 * 1024 * 1024 + 1), "media.too_large"),
    ],
    ids=["empty", "words", "svg", "pdf", "gif", "half a jpeg", "half a png", "half a clip", "a bomb", "too many bytes"],
)
async def test_files_that_are_not_taken_are_refused(world: World, data: bytes, code: str) -> None:
    patient = await world.patient()
    answer = await patient.upload(data, "photo.jpg")
    assert answer.status in (413, 415, 422)
    answer.refused(answer.status, code)


async def test_an_upload_is_a_form_of_a_purpose_and_a_file(world: World) -> None:
    patient = await world.patient()
    (await patient.upload(image_file(), "a.jpg", "other")).refused(422, "request.invalid")
    (await patient.ask("POST", "/media", {"file": "x"})).refused(422, "request.invalid")
    key = uuid.uuid4().hex
    first, again = [(await patient.upload(image_file(), "a.jpg", key=key)).ok(201) for _ in range(2)]
    assert first == again
    (await patient.upload(image_file(size=(80, 60)), "a.jpg", key=key)).refused(409, "idempotency.mismatch")


async def test_only_the_uploader_attaches_and_only_members_see(pair: Pair) -> None:
    image = (await pair.patient.upload(image_file(), "a.jpg", "complaint")).ok(201)["media_id"]
    stranger = await pair.world.pair()
    body = await stranger.order_body(image_ids=[image])
    (await stranger.patient.ask("POST", "/orders", body, key=uuid.uuid4().hex)).refused(404, "media.not_found")
    (await stranger.patient.ask("POST", f"/media/{image}/links", {})).refused(404, "media.not_found")
    (await pair.doctor.ask("POST", f"/media/{image}/links", {})).refused(404, "media.not_found")
    order = await pair.paid(image_ids=[image])
    assert order["image_ids"] == [image]
    (await pair.doctor.ask("POST", f"/media/{image}/links", {})).ok()
    (await stranger.doctor.ask("POST", f"/media/{image}/links", {})).refused(404, "media.not_found")
    theirs = (await stranger.patient.upload(image_file(), "b.jpg")).ok(201)["media_id"]
    answer = await pair.patient.ask(
        "POST",
        f"/conversations/{order['conversation_id']}/messages",
        {"client_id": "not-my-picture", "parts": [{"kind": "image", "media_id": theirs}]},
    )
    answer.refused(404, "media.not_found")


# --- the desk ---


async def test_desk_settings_answer_exactly_what_put_takes(world: World) -> None:
    doctor, _, _ = await world.new_doctor()
    settings = await doctor.get("/desk/settings")
    assert settings.keys() == {"accepting", "daily_maximum", "schedule"}
    assert settings["accepting"] is True and settings["daily_maximum"] is None
    assert (await doctor.ask("PUT", "/desk/settings", settings)).ok() == settings
    changed = {**settings, "daily_maximum": 7}
    assert (await doctor.ask("PUT", "/desk/settings", changed)).ok() == changed
    assert await doctor.get("/desk/settings") == changed
    for bad in ({"accepting": "yes"}, {"daily_maximum": -1}, {"daily_maximum": "7"}, {"schedule": "always"}, {"more": 1}):
        (await doctor.ask("PUT", "/desk/settings", {**settings, **bad})).refused(422, "request.invalid")
    for missing in settings:
        body = {name: value for name, value in settings.items() if name != missing}
        (await doctor.ask("PUT", "/desk/settings", body)).refused(422, "request.invalid")
    assert await doctor.get("/desk/settings") == changed


async def test_quick_replies_are_ones_own(world: World) -> None:
    doctor, other = (await world.new_doctor())[0], (await world.new_doctor())[0]
    made = [await doctor.post("/desk/quick-replies", {"text": words}, 201) for words in ("多喝水", "按时服药，{patient}")]
    assert [(each["text"], each["scope"]) for each in made] == [("多喝水", "own"), ("按时服药，{patient}", "own")]
    assert (await doctor.get("/desk/quick-replies"))["items"] == made
    changed = (await doctor.ask("PATCH", f"/desk/quick-replies/{made[0]['id']}", {"text": "多休息"})).ok()
    assert changed == {**made[0], "text": "多休息"}
    for method, body in (("PATCH", {"text": "别人的"}), ("DELETE", None)):
        answer = await other.ask(method, f"/desk/quick-replies/{made[0]['id']}", body)
        answer.refused(404, "desk.quick_reply_not_found")
    for bad in ({"text": ""}, {"text": None}, {}, {"text": "x", "more": 1}, {"text": "x" * 100_000}):
        (await doctor.ask("POST", "/desk/quick-replies", bad)).refused(422, "request.invalid")
    (await doctor.ask("DELETE", f"/desk/quick-replies/{made[1]['id']}")).ok(204)
    assert (await doctor.get("/desk/quick-replies"))["items"] == [changed]
    assert (await other.get("/desk/quick-replies"))["items"] == []


async def test_a_new_doctors_figures_are_empty_and_a_child_can_be_asked_about(world: World) -> None:
    pair = await world.pair()
    figures = await pair.doctor.get("/desk/figures")
    assert (figures["orders"], figures["completed"], figures["income_fen"]) == (0, 0, 0)
    assert (figures["replied_rate"], figures["median_reply_minutes"], figures["stars"]) == (None, None, None)
    (await pair.patient.ask("GET", "/desk/figures")).refused(403, "request.forbidden")
    guardian = {"name": "陈大", "id_number": identity_number(date(1985, 11, 2), 15)}
    child = await world.new_patient(pair.patient, id_number=identity_number(date(2023, 5, 4), 12), guardian=guardian)
    order = await pair.paid(patient_id=child["id"])
    assert (order["patient"]["age"] in (3, 4), order["patient"]["sex"]) == (True, "female")
