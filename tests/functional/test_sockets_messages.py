"""Messages, receipts, typing and sync through real clients."""

import asyncio
from typing import Any

import pytest

from server.kernel.audit import AUDIT
from server.kernel.ids import new_id
from server.kernel.mongo import Database
from tests.support.im_log import DOCTOR, PATIENT
from tests.support.socket_server import Edge

MESSAGE_FIELDS = [
    "conversation_id", "seq", "kind", "client_id", "sender", "parts", "sent_at", "recalled", "recalls", "corrects", "closes",
]  # fmt: skip


def refused(code: str, kind: str) -> dict[str, Any]:
    return {"ok": False, "error": {"code": code, "kind": kind, "fields": {}}}


async def test_a_message_reaches_every_socket_of_all_members_but_the_one_that_sent_it(database: Database) -> None:
    conversation = new_id()
    async with Edge(database, conversation) as edge:
        sender, second_device = await edge.client("patient"), await edge.client("patient-2")
        doctor, stranger = await edge.client("doctor"), await edge.client("stranger")

        ack = await sender.say(conversation, "咳嗽三天", "client-0001")

        assert list(ack["message"]) == MESSAGE_FIELDS
        assert ack["message"] == {
            "conversation_id": conversation,
            "seq": 2,
            "kind": "message",
            "client_id": "client-0001",
            "sender": {"account_id": PATIENT, "role": "patient", "name": "王小明"},
            "parts": [{"kind": "text", "text": "咳嗽三天"}],
            "sent_at": ack["message"]["sent_at"],
            "recalled": False,
            "recalls": None,
            "corrects": None,
            "closes": None,
        }
        assert await doctor.hear("message.new") == [ack["message"]]
        assert await second_device.hear("message.new") == [ack["message"]]
        assert (sender.heard, stranger.heard) == ([], [])


async def test_the_same_client_id_is_the_same_message_and_another_body_is_a_mismatch(database: Database) -> None:
    conversation = new_id()
    async with Edge(database, conversation) as edge:
        patient, doctor = await edge.client("patient"), await edge.client("doctor")
        first = await patient.say(conversation, "咳嗽三天", "client-0001")
        acks = await asyncio.gather(*(patient.say(conversation, "咳嗽三天", "client-0001") for _ in range(10)))
        assert acks == [first] * 10
        assert await patient.say(conversation, "咳嗽四天", "client-0001") == refused("idempotency.mismatch", "conflict")
        await patient.say(conversation, "还有发烧", "client-0002")
        assert [m["seq"] for m in await doctor.hear("message.new", 2)] == [2, 3]


async def test_one_clients_messages_keep_their_order(database: Database) -> None:
    conversation = new_id()
    async with Edge(database, conversation) as edge:
        patient, doctor = await edge.client("patient"), await edge.client("doctor")
        acks = await asyncio.gather(*(patient.say(conversation, str(n), f"client-{n:04d}") for n in range(200)))
        assert [a["message"]["seq"] for a in acks] == list(range(2, 202))
        heard = await doctor.hear("message.new", 200)
        assert [m["parts"][0]["text"] for m in heard] == [str(n) for n in range(200)]


async def test_a_clients_own_clock_decides_nothing(database: Database) -> None:
    """No instant of a client's is taken, and who sent later stands later, whatever the client ids or their clocks say."""
    conversation = new_id()
    async with Edge(database, conversation) as edge:
        patient, doctor = await edge.client("patient"), await edge.client("doctor")
        late = {"conversation_id": conversation, "client_id": "2099-01-01-late", "parts": [{"kind": "text", "text": "一"}]}
        assert await patient.call("message.send", {**late, "sent_at": "2099-01-01T00:00:00.000Z"}) == {
            "ok": False,
            "error": {"code": "request.invalid", "kind": "invalid", "fields": {"body": "holds an unknown field"}},
        }
        first = (await patient.call("message.send", late))["message"]
        second = (await doctor.say(conversation, "二", "1970-01-01-early"))["message"]
        assert (first["seq"], second["seq"]) == (2, 3)
        assert first["sent_at"] <= second["sent_at"] < "2099"


async def test_a_recall_is_an_entry_and_the_recalled_message_loses_its_content(database: Database) -> None:
    conversation = new_id()
    async with Edge(database, conversation) as edge:
        patient, doctor = await edge.client("patient"), await edge.client("doctor")
        await patient.say(conversation, "写错了", "client-0001")
        ack = await patient.call("message.recall", {"conversation_id": conversation, "client_id": "client-0002", "seq": 2})
        assert (ack["message"]["kind"], ack["message"]["recalls"], ack["message"]["parts"]) == ("recall", 2, [])
        assert (await doctor.hear("message.new", 2))[1] == ack["message"]
        synced = await doctor.call("conversation.sync", {"cursors": {conversation: 1}})
        shown = [(m["seq"], m["recalled"], m["parts"]) for m in synced["conversations"][0]["messages"]]
        assert shown == [(2, True, []), (3, False, [])]
        again = await patient.say(conversation, "写错了", "client-0001")
        assert (again["message"]["recalled"], again["message"]["parts"]) == (True, [])


async def test_the_last_reply_closes_and_nothing_more_is_taken(database: Database) -> None:
    conversation = new_id()
    async with Edge(database, conversation, quota=1) as edge:
        patient, doctor = await edge.client("patient"), await edge.client("doctor")
        ack = await doctor.say(conversation, "多喝水", "client-0001")
        assert ack["message"]["closes"] == "quota"
        assert await patient.say(conversation, "谢谢", "client-0002") == refused("conversation.closed", "conflict")
        assert await doctor.say(conversation, "再见", "client-0003") == refused("conversation.quota_exhausted", "conflict")
        assert await patient.call("typing", {"conversation_id": conversation}) == refused("conversation.closed", "conflict")
        assert await patient.call("receipt.read", {"conversation_id": conversation, "seq": 2}) == {"ok": True}
        synced = await patient.call("conversation.sync", {"cursors": {conversation: 0}})
        assert [(c["open"], c["seq"], c["more"]) for c in synced["conversations"]] == [(False, 2, False)]


async def test_receipts_rise_and_are_told_to_the_members(database: Database) -> None:
    conversation = new_id()
    async with Edge(database, conversation) as edge:
        patient, doctor = await edge.client("patient"), await edge.client("doctor")
        await patient.say(conversation, "在吗", "client-0001")
        assert await doctor.call("receipt.delivered", {"conversation_id": conversation, "seq": 2}) == {"ok": True}
        assert await doctor.call("receipt.read", {"conversation_id": conversation, "seq": 2}) == {"ok": True}
        assert await doctor.call("receipt.read", {"conversation_id": conversation, "seq": 1}) == {"ok": True}
        told = {"conversation_id": conversation, "account_id": DOCTOR, "delivered_seq": 2}
        assert await patient.hear("receipt", 2) == [{**told, "read_seq": 0}, {**told, "read_seq": 2}]
        assert await doctor.call("receipt.read", {"conversation_id": conversation, "seq": 9_000_000}) == {"ok": True}
        synced = await patient.call("conversation.sync", {})
        assert sorted(synced["conversations"][0]["receipts"], key=lambda r: r["account_id"]) == [
            {"conversation_id": conversation, "account_id": PATIENT, "delivered_seq": 2, "read_seq": 2},
            {"conversation_id": conversation, "account_id": DOCTOR, "delivered_seq": 2, "read_seq": 2},
        ]


async def test_unread_counts_the_others_messages_above_the_mark(database: Database) -> None:
    conversation = new_id()
    async with Edge(database, conversation) as edge:
        patient, doctor = await edge.client("patient"), await edge.client("doctor")
        for n in range(3):
            await patient.say(conversation, f"第{n}句", f"client-{n:04d}")
        before = await doctor.call("conversation.sync", {})
        await doctor.call("receipt.read", {"conversation_id": conversation, "seq": 3})
        after = await doctor.call("conversation.sync", {})
        own = await patient.call("conversation.sync", {})
        assert [s["conversations"][0]["unread"] for s in (before, after, own)] == [3, 1, 0]


async def test_typing_is_told_to_the_other_member_and_throttled(database: Database) -> None:
    conversation = new_id()
    async with Edge(database, conversation) as edge:
        patient, second_device, doctor = [await edge.client(t) for t in ("patient", "patient-2", "doctor")]
        for _ in range(5):
            assert await patient.call("typing", {"conversation_id": conversation}) == {"ok": True}
        await patient.say(conversation, "在吗", "client-0001")
        await doctor.hear("message.new")
        assert doctor.bodies("typing") == [{"conversation_id": conversation, "account_id": PATIENT}]
        assert second_device.bodies("typing") == []


async def test_sync_gives_what_was_missed_in_order_and_says_when_there_is_more(database: Database) -> None:
    conversation = new_id()
    async with Edge(database, conversation) as edge:
        patient = await edge.client("patient")
        await asyncio.gather(*(patient.say(conversation, str(n), f"client-{n:04d}") for n in range(149)))
        device = await edge.client("patient-2")
        first = await device.call("conversation.sync", {"cursors": {}})
        assert list(first) == ["ok", "epoch", "conversations"]
        assert first["epoch"] == 7
        (page,) = first["conversations"]
        assert list(page) == [
            "conversation_id", "order_id", "open", "closes_at", "seq", "messages", "more", "receipts", "unread",
        ]  # fmt: skip
        assert ([m["seq"] for m in page["messages"]], page["more"], page["seq"]) == (list(range(1, 101)), True, 150)
        assert page["messages"][0]["parts"] == [{"kind": "system", "event": "opened", "data": {}}]
        assert page["messages"][0]["sender"] == {"account_id": None, "role": "system", "name": None}
        rest = await device.call("conversation.sync", {"cursors": {conversation: 100}})
        (page,) = rest["conversations"]
        assert ([m["seq"] for m in page["messages"]], page["more"]) == (list(range(101, 151)), False)


async def test_a_large_backlog_comes_in_answers_that_a_slow_line_can_carry(database: Database) -> None:
    conversation = new_id()
    async with Edge(database, conversation) as edge:
        patient, device = await edge.client("patient"), await edge.client("patient-2")
        parts = [{"kind": "text", "text": "长" * 4_000} for _ in range(9)]
        for n in range(12):
            body = {"conversation_id": conversation, "client_id": f"client-{n:04d}", "parts": parts}
            assert (await patient.call("message.send", body))["ok"] is True
        got: list[int] = []
        more = True
        while more:
            synced = await device.call("conversation.sync", {"cursors": {conversation: got[-1] if got else 0}})
            (page,) = synced["conversations"]
            assert sum(len(p.get("text", "")) * 3 for m in page["messages"] for p in m["parts"]) <= 512 * 1024
            got += [m["seq"] for m in page["messages"]]
            more = page["more"]
        assert got == list(range(1, 14))


@pytest.mark.parametrize("name", ["message.send", "receipt.read", "receipt.delivered", "typing", "conversation.sync"])
async def test_someone_elses_conversation_looks_like_none_and_the_try_is_written_down(database: Database, name: str) -> None:
    conversation = new_id()
    bodies: dict[str, Any] = {
        "message.send": {"client_id": "client-0001", "parts": [{"kind": "text", "text": "hello"}]},
        "receipt.read": {"seq": 1},
        "receipt.delivered": {"seq": 1},
        "typing": {},
    }
    async with Edge(database, conversation) as edge:
        patient, stranger = await edge.client("patient"), await edge.client("stranger")
        await patient.say(conversation, "在吗", "client-0001")
        for place in (conversation, new_id(), "nonsense"):
            body = {"cursors": {place: 0}} if name == "conversation.sync" else {"conversation_id": place, **bodies[name]}
            assert await stranger.call(name, body) == refused("conversation.not_found", "not_found")
        assert patient.heard == []
        rows = await database[AUDIT].find({"hospital_id": "default", "outcome": "denied"}).to_list()
        assert [(r["action"], r["subject"]) for r in rows] == [("im.conversation_refused", conversation)]


async def test_a_conversation_that_is_not_ours_is_left_out_of_a_sync_of_several(database: Database) -> None:
    ours, missing = new_id(), new_id()
    async with Edge(database, ours) as edge:
        patient = await edge.client("patient")
        synced = await patient.call("conversation.sync", {"cursors": {missing: 3, ours: 0}})
        assert [c["conversation_id"] for c in synced["conversations"]] == [ours]


async def test_a_role_that_takes_no_part_is_refused(database: Database) -> None:
    conversation = new_id()
    async with Edge(database, conversation) as edge:
        staff = await edge.client("staff")
        for command in edge.commands:
            assert await staff.call(command.name, {}) == refused("request.forbidden", "forbidden")


async def test_a_message_without_an_acknowledgement_is_stored_all_the_same(database: Database) -> None:
    conversation = new_id()
    async with Edge(database, conversation) as edge:
        patient, doctor = await edge.client("patient"), await edge.client("doctor")
        parts = [{"kind": "text", "text": "在吗"}]
        await patient.sio.emit("message.send", {"conversation_id": conversation, "client_id": "client-0001", "parts": parts})
        assert [m["seq"] for m in await doctor.hear("message.new")] == [2]


@pytest.mark.parametrize("transports", [["polling"], ["polling", "websocket"]])
async def test_polling_clients_get_the_same_also_while_they_upgrade(database: Database, transports: list[str]) -> None:
    from dataclasses import replace

    from tests.support.socket_server import FAST

    conversation = new_id()
    async with Edge(database, conversation, options=replace(FAST, polling=True)) as edge:
        patient = await edge.client("patient", transports=transports)
        doctor = await edge.client("doctor", transports=transports)
        acks = [await patient.say(conversation, str(n), f"client-{n:04d}") for n in range(30)]
        assert await doctor.hear("message.new", 30) == [a["message"] for a in acks]
        assert (await patient.call("nope"))["error"]["code"] == "request.invalid"
        edge.sessions.dead.add("doctor")
        assert await doctor.hear("session.revoked") == [{"reason": "session_ended"}]
        await doctor.gone()
