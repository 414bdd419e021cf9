"""Every way to a hospital record, tried by everyone who may not go it: refused alike, audited, and not one byte of a record."""

import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.support.contract import Answer, Client, Pair, World
from tests.support.records import opened

NAME = "欧阳静若"
MESSAGES = ("POST", "/conversations/{conversation_id}/messages")


@dataclass(frozen=True, slots=True)
class Way:
    """One way to a record. `action` is how the audit names a try. `who` may go it."""

    method: str
    path: str
    action: str
    who: str = "doctor"
    body: Callable[["Case"], Any] = lambda case: None
    needs_lease: bool = False
    others: tuple[int, str] = (404, "order.not_found")
    member: tuple[int, str] = (403, "record.access_denied")


@dataclass(slots=True)
class Case:
    """An order whose records its doctor has listed; what the hospital shows of it by kind."""

    order: Any
    items: dict[str, Any] = field(default_factory=dict)

    def ways(self) -> list[Way]:
        """All of them for this order, in the order of the published table."""
        base = f"/orders/{self.order['id']}"
        pages = []
        for kind, item in self.items.items():
            page = f"{base}/records/{item['record_id']}/pages"
            looks = ("", "?format=png", "?width=1600&theme=dark&format=webp") if kind == "lab" else ("",)
            numbers = {1, item["pages"]}  # the last of a laboratory report is its trend charts
            pages += [
                Way("GET", f"{page}/{n}{look}", "record.page_viewed", needs_lease=True) for n in numbers for look in looks
            ]
        talk = f"/conversations/{self.order['conversation_id']}/messages"
        card = {"kind": "card", "card": "record_shared", "data": {"record_id": self.items["lab"]["record_id"]}}
        share = {"client_id": uuid.uuid4().hex, "parts": [card]}
        return [
            Way("GET", f"{base}/records", "record.listed"),
            *pages,
            Way("GET", f"{base}/chat-mark", "record.chat_marked"),
            Way("GET", f"{base}/record-views", "record.views_listed", who="patient"),
            Way(
                "POST",
                talk,
                "record.shared",
                body=lambda case: share,
                needs_lease=True,
                others=(404, "conversation.not_found"),
                member=(403, "message.card_refused"),
            ),
        ]


def _template(way: Way) -> tuple[str, str]:
    """The way as the published table writes it."""
    parts = way.path.partition("?")[0].split("/")
    names = {"orders": "{order_id}", "conversations": "{conversation_id}", "records": "{record_id}", "pages": "{n}"}
    shown = [names.get(before, part) for before, part in zip(["", *parts], parts, strict=False)]
    return way.method, "/".join(shown)


_NO_ROW = frozenset({"auth.required", "message.card_refused"})
"""Refused before anybody is known, or whatever stood on the card."""

_ROWS = {"conversation.not_found": "im.conversation_refused"}


NOT_RECORDS = {
    ("GET", "/critical-values"),  # one's own list, and that there is one: `test_critical_values`
    ("POST", "/critical-values/{critical_id}/acknowledge"),
    ("POST", "/orders/{order_id}/record-access"),  # the patient's consent: `test_contract_orders`
}
"""Ways of the same family on which no record is to be had."""


async def _published(world: World) -> set[tuple[str, str]]:
    """All that has to do with records, as the running server says itself."""
    table = (await world.nobody.get("/openapi.json"))["paths"]
    return {
        (method.upper(), path.removeprefix("/api/v1"))
        for path, methods in table.items()
        for method, route in methods.items()
        if "records" in route["tags"] or "record" in path
    }


async def _listed(doctor: Client, order: Any) -> Case:
    listed = (await doctor.get(f"/orders/{order['id']}/records"))["items"]
    case = Case(order)
    for item in listed:
        kind = item["form"]
        if kind not in case.items or item["pages"] > case.items[kind]["pages"]:
            case.items[kind] = item
    assert set(case.items) == {"note", "prescription", "lab", "exam", "imaging"}
    return case


async def _ask(client: Client, way: Way, case: Case) -> Answer:
    return await client.ask(way.method, way.path, way.body(case))


def _says_nothing(answer: Answer, case: Case) -> None:
    said = json.dumps(answer.body, ensure_ascii=False)
    for word in (NAME, *(item["title"] for item in case.items.values()), *(i["record_id"] for i in case.items.values())):
        assert word not in said


async def _denied(world: World, case: Case) -> list[Any]:
    """Rows of what was refused about the order, oldest first."""
    auditor = await world.staff()
    pages = await auditor.pages(f"/admin/audit?order_id={case.order['id']}", 100)
    return [row for page in reversed(pages) for row in reversed(page) if row["outcome"] == "denied"]


async def _refuse_all(world: World, case: Case, tries: list[tuple[Client, list[Way], int, str]]) -> None:
    """Each of them, and exactly one row of each."""
    before = len(await _denied(world, case))
    expected = []
    for client, ways, status, code in tries:
        for way in ways:
            answer = await _ask(client, way, case)
            answer.refused(status, code)
            _says_nothing(answer, case)
            if code not in _NO_ROW:
                expected.append((client.account_id, _ROWS.get(code, way.action)))
    rows = (await _denied(world, case))[before:]
    assert sorted((row["actor"]["account_id"], row["action"]) for row in rows) == sorted(expected)


async def _pair(world: World) -> tuple[Pair, str]:
    """A pair whose patient has a name that stands nowhere else, and the doctor's phone."""
    patient = await world.patient()
    doctor, doctor_id, phone = await world.new_doctor()
    patient_id = (await world.new_patient(patient, name=NAME))["id"]
    return Pair(world, patient, patient_id, doctor, doctor_id), phone


async def _refer(pair: Pair, order: Any) -> tuple[Client, str]:
    """Hand the order to another doctor: who that is, and their phone."""
    new, doctor_id, phone = await pair.world.new_doctor()
    path = f"/orders/{order['id']}/referrals"
    referral = await pair.doctor.post(path, {"doctor_id": doctor_id, "reason": "请专科医生看看"}, 201)
    await new.post(f"{path}/{referral['id']}/accept", {})
    await pair.patient.post(f"{path}/{referral['id']}/agree", {})
    return new, phone


async def test_no_way_to_a_record_is_missing_here(world: World) -> None:
    case = Case({"id": "x", "conversation_id": "y"}, {"lab": {"record_id": "z", "pages": 1}})
    assert {_template(way) for way in case.ways()} - {MESSAGES} == await _published(world) - NOT_RECORDS


async def test_nobody_but_the_current_doctor_gets_a_byte_of_a_record(world: World) -> None:
    pair, _ = await _pair(world)
    order = await pair.paid()
    case = await _listed(pair.doctor, order)
    without_pictures = Case(
        order, {form: item for form, item in case.items.items() if form != "imaging"}
    )  # quick, however busy
    for way in (way for way in without_pictures.ways() if way.who == "doctor" and way.method == "GET"):
        (await _ask(pair.doctor, way, case)).ok()
    current, phone = await _refer(pair, order)
    ways = case.ways()
    of_doctor, of_patient = [w for w in ways if w.who == "doctor"], [w for w in ways if w.who == "patient"]
    leased = [w for w in of_doctor if w.needs_lease]
    before_listing = [(current, leased, 403, "record.access_denied")]
    await _refuse_all(world, case, before_listing)
    await current.get(f"/orders/{order['id']}/records")
    page = await current.ask("GET", leased[0].path)
    assert opened(page.ok()).width == 1080
    other = await world.pair()
    other_device = await world.doctor(phone)
    assert other_device.account_id == current.account_id
    others = [pair.doctor, other.doctor, other.patient]
    others += [await world.staff(number) for number in range(len(world.product.demo["staff"]))]
    tries = [(nobody, ways, 401, "auth.required") for nobody in (world.nobody, world.client({"access_token": "stolen"}))]
    tries += [(who, [way], *way.others) for who in others for way in ways]
    tries += [(pair.patient, [way], *way.member) for way in of_doctor]
    tries += [(current, of_patient, 403, "record.access_denied"), (other_device, leased, 403, "record.access_denied")]
    await _refuse_all(world, case, tries)
    (await current.ask("GET", leased[0].path)).ok()


async def test_a_closed_order_and_a_withdrawn_consent_show_their_doctor_nothing(world: World) -> None:
    pair, _ = await _pair(world)
    for end, path, body in (
        (pair.doctor, "decline", {"reason": "请线下就诊"}),
        (pair.patient, "record-access", {"granted": False}),
    ):
        order = await pair.paid()
        case = await _listed(pair.doctor, order)
        await end.post(f"/orders/{order['id']}/{path}", body)
        ways = [w for w in case.ways() if w.who == "doctor" and w.method == "GET" and w.action != "record.chat_marked"]
        await _refuse_all(world, case, [(pair.doctor, ways, 403, "record.access_denied")])
