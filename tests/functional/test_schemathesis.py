"""The running server against its own OpenAPI: whatever is sent, by whomever, it answers as the document says and never fails.

Each operation is tried by each kind of caller with requests that the document allows and with requests that it forbids, at
random places and at places that exist. `YZ_TEST_FUZZ_EXAMPLES` asks for more than the everyday number.
"""

import asyncio
import json
import os
import re
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import aiohttp
import pyotp
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, ValidationError
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from examples.consult import Person, order_and_pay, picture, place_order, sign_in, text
from examples.consult import main as example
from server.app.edge import API
from server.app.schemas import listed_routes, schema_files
from server.kernel.actor import Role
from server.kernel.edge import Route
from tests.functional.conftest import Product

EXAMPLES = int(os.environ.get("YZ_TEST_FUZZ_EXAMPLES", "4"))
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
]


def documented_code(_context: Any, response: Any, case: Any) -> None:
    """The code of an error is one of those that the document names for its status."""
    if response.headers.get("content-type", [""])[0].startswith("application/problem+json"):
        problem = response.json()
        described = case.operation.definition.raw["responses"][str(response.status_code)]["description"]
        assert (problem["status"], f"`{problem['code']}`" in described) == (response.status_code, True), problem


CHECKS.append(documented_code)
ROUTES = {route.name: route for route in listed_routes()}
CALLERS = (Role.ANONYMOUS, Role.PATIENT, Role.DOCTOR, Role.STAFF)
_LAST = (
    "cancel_order",
    "decline_order",
    "finish_order",
    "remove_patient",
    "remove_doctor",
    "remove_favourite",
    "close_session",
    "change_password",
)
"""What ends things that other operations are tried on: at the end, and on things of its own where it would end a session."""


@dataclass
class World:
    """Who can ask, what there is to ask about, and the document."""

    http: requests.Session
    base_url: str
    schema: Any
    tokens: dict[Role, str]
    spare_tokens: dict[Role, str]
    places: dict[str, list[str]]
    consent: dict[str, Any]

    def headers(self, role: Role, *, spare: bool = False) -> dict[str, str]:
        token = (self.spare_tokens if spare else self.tokens).get(role)
        return {} if token is None else {"Authorization": f"Bearer {token}"}


async def _staff_token(http: aiohttp.ClientSession, demo: dict[str, Any]) -> str:
    """A one-time code is good once: another test may have used this one, then the next is taken already."""
    member = demo["staff"][0]
    totp = pyotp.TOTP(member["totp_secret"])
    now = int(time.time())
    device = {"device_id": uuid.uuid4().hex, "device_name": "fuzz"}
    for ahead in (0, 30):
        body = {
            "username": member["username"],
            "password": member["password"],
            "totp": totp.at(now + ahead),
            **device,
        }
        async with http.post(f"{demo['base_url']}{API}/auth/staff/sessions", json=body) as answer:
            session = await answer.json()
            if answer.status == 201:
                return str(session["access_token"])
    raise AssertionError(session)


async def _world(product: Product) -> World:
    """Everybody signed in, an order that goes on, one that waits for its payment, and one that is being refunded."""
    demo = product.demo
    async with aiohttp.ClientSession() as http:
        patient, other_patient = [await sign_in(http, demo, "patient", p["phone"]) for p in demo["patients"][-2:]]
        doctor, other_doctor = [await sign_in(http, demo, "doctor", d["phone"]) for d in demo["doctors"][-2:]]
        staff = await _staff_token(http, demo)
        patient_id = (await patient.call("GET", "/patients"))["items"][0]["id"]
        doctor_id, other_doctor_id = (d["doctor_id"] for d in demo["doctors"][-2:])
        image = await patient.upload(picture(), "a.jpg", "complaint")
        order = await order_and_pay(patient, demo, patient_id, doctor_id, [image])
        await patient.say(order["conversation_id"], text("您好"))
        await doctor.say(order["conversation_id"], text("您好"))
        unpaid = await place_order(patient, patient_id, doctor_id, [])
        cancelled = await order_and_pay(patient, demo, patient_id, doctor_id, [])
        await patient.call("POST", f"/orders/{cancelled['id']}/cancel", {})
        reply = await doctor.call("POST", "/desk/quick-replies", {"text": "您好"})
        consent = await patient.call("GET", "/consents/consult")
        refunds = f"{demo['base_url']}{API}/admin/refunds"
        async with http.get(refunds, headers={"Authorization": f"Bearer {staff}"}) as answer:
            refund_ids = [refund["refund_id"] for refund in (await answer.json())["items"]]
        for person in (patient, other_patient, doctor, other_doctor):
            await person.socket.disconnect()
    return World(
        http=requests.Session(),
        base_url=product.base_url + API,
        schema=schemathesis.openapi.from_url(f"{product.base_url}{API}/openapi.json"),
        tokens={
            Role.PATIENT: patient.session["access_token"],
            Role.DOCTOR: doctor.session["access_token"],
            Role.STAFF: staff,
        },
        spare_tokens={
            Role.PATIENT: other_patient.session["access_token"],
            Role.DOCTOR: other_doctor.session["access_token"],
        },
        places={
            "/admin/doctors/{doctor_id}": [other_doctor_id],
            "conversation_id": [order["conversation_id"]],
            "doctor_id": [doctor_id],
            "kind": ["consult"],
            "media_id": [image],
            "order_id": [order["id"], unpaid["id"], cancelled["id"]],
            "patient_id": [patient_id],
            "refund_id": refund_ids,
            "reply_id": [reply["id"]],
        },
        consent={"version": consent["version"], "sha256": consent["sha256"], "record_access": True},
    )


@pytest.fixture(scope="module")
def world(product: Product) -> Iterator[World]:
    made = asyncio.run(_world(product))
    with made.http:
        yield made


@st.composite
def _cases(draw: st.DrawFn, operation: Any, route: Route, world: World, mode: GenerationMode) -> Any:
    """A case of this operation; half of them are about things that exist."""
    case = draw(operation.as_strategy(generation_mode=mode))
    if draw(st.booleans()):
        for name in case.path_parameters or {}:
            known = world.places.get(route.path) or world.places.get(name)
            if known:
                case.path_parameters[name] = draw(st.sampled_from(known))
        if mode is GenerationMode.POSITIVE and isinstance(case.body, dict):
            for name in case.body.keys() & world.places.keys():
                case.body[name] = draw(st.sampled_from(world.places[name]))
            if "consent" in case.body:
                case.body["consent"] = world.consent
    return case


def _order(name: str) -> tuple[int, str]:
    return (_LAST.index(name) + 1 if name in _LAST else 0), name


@pytest.mark.parametrize("name", sorted(ROUTES, key=_order))
def test_whoever_sends_whatever_gets_what_the_document_says(world: World, name: str) -> None:
    route = ROUTES[name]
    operation = world.schema[API + route.path][route.method]

    for role in CALLERS:
        allowed = role in route.roles
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            cases = _cases(operation, route, world, mode)
            _try(cases, world.headers(role, spare=name in _LAST[-2:]), world.http, EXAMPLES if allowed else 1)


def _try(cases: Any, headers: dict[str, str], http: requests.Session, examples: int) -> None:
    @seed(20_260_101)
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(cases)
    def run(case: Any) -> None:
        response = case.call(session=http, headers=headers, timeout=20)
        case.validate_response(response, checks=CHECKS, headers=headers)

    run()


@pytest.mark.parametrize("name", sorted(ROUTES))
def test_whoever_has_not_the_role_is_refused_in_the_same_words_everywhere(world: World, name: str) -> None:
    route = ROUTES[name]
    path = re.sub(r"{(\w+)}", lambda found: (world.places.get(found[1]) or [uuid.uuid4().hex])[0], route.path)
    for role in set(CALLERS) - route.roles:
        response = world.http.request(route.method, world.base_url + path, headers=world.headers(role), timeout=20)
        expected = (401, "auth.required") if role is Role.ANONYMOUS else (403, "request.forbidden")
        if role is Role.STAFF and route.conceal is not None:
            expected = (404, f"{route.path.split('/')[1].removesuffix('s')}.not_found")
        assert (response.status_code, response.json()["code"]) == expected


def test_the_running_server_publishes_what_is_committed(product: Product, world: World) -> None:
    for name in ("openapi.json", "asyncapi.json"):
        response = world.http.get(f"{product.base_url}{API}/{name}", timeout=20)
        assert response.headers["Content-Type"].startswith("application/json")
        assert response.json() == json.loads(schema_files()[name])


class Conformance:
    """Holds what the example's people are told against both documents."""

    def __init__(self) -> None:
        documents = schema_files()
        self._http, self._socket = json.loads(documents["openapi.json"]), json.loads(documents["asyncapi.json"])
        self._paths = [(re.compile(re.sub(r"{\w+}", "[^/]+", path) + "$"), path) for path in self._http["paths"]]
        self.seen: set[str] = set()

    def answer(self, method: str, path: str, status: int, content: Any) -> None:
        place = next(template for pattern, template in self._paths if pattern.match(API + path.partition("?")[0]))
        operation = self._http["paths"][place][method.lower()]
        described = operation["responses"][str(status)]["content"]
        if isinstance(content, bytes):
            assert all(kind.startswith("image/") for kind in described)
        else:
            kind = "application/json" if status < 400 else "application/problem+json"
            self._check(self._http, described[kind]["schema"], content)
        self.seen.add(operation["operationId"])

    def message(self, name: str, content: Any) -> None:
        self._check(self._socket, self._socket["components"]["messages"][name]["payload"], content)
        self.seen.add(name)

    def _check(self, document: dict[str, Any], schema: dict[str, Any], content: Any) -> None:
        Draft202012Validator({**schema, "components": document["components"]}).validate(content)


async def test_every_answer_and_event_of_a_whole_consult_is_as_the_documents_say(
    product: Product, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    conformance = Conformance()
    request, emit, listener = Person.request, Person.emit, Person._listener

    async def checked_request(self: Person, method: str, path: str, *rest: Any, **more: Any) -> tuple[int, Any]:
        status, content = await request(self, method, path, *rest, **more)
        conformance.answer(method, path, status, content)
        return status, content

    async def checked_emit(self: Person, name: str, body: dict[str, Any]) -> dict[str, Any]:
        ack = await emit(self, name, body)
        conformance.message(f"ack.{name}", ack)
        conformance.message(f"command.{name}", body)
        return ack

    wrong: list[Exception] = []

    def checked_listener(self: Person, name: str) -> Any:
        listen = listener(self, name)

        async def hear(body: dict[str, Any]) -> None:
            try:
                conformance.message(f"event.{name}", body)
            except ValidationError as error:
                wrong.append(error)
            await listen(body)

        return hear

    monkeypatch.setattr(Person, "request", checked_request)
    monkeypatch.setattr(Person, "emit", checked_emit)
    monkeypatch.setattr(Person, "_listener", checked_listener)
    await example(product.demo)
    assert capsys.readouterr().out.endswith("done\n")
    assert wrong == []
    assert conformance.seen >= {
        "ack.conversation.sync", "ack.message.recall", "ack.message.send", "ack.receipt.read",
        "event.message.new", "event.notice", "event.order.changed", "event.receipt",
        "create_order", "get_order", "start_payment", "upload_media", "gift_replies", "rate_order", "cancel_order",
    }  # fmt: skip
