"""What is published is what is there: documents as committed, each route with its roles, each name once."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis

from server.app.edge import API
from server.app.schemas import listed_commands, listed_routes, schema_files
from server.kernel.edge import ANYONE, DOCTOR, PATIENT, PATIENT_OR_DOCTOR, SIGNED_IN, STAFF, Idempotency, Route

DOCS = Path(__file__).parents[2] / "docs"

ROLES = {
    "acknowledge_critical_value": PATIENT_OR_DOCTOR,
    "list_critical_values": PATIENT_OR_DOCTOR,
    "add_doctor": STAFF,
    "add_patient": PATIENT,
    "add_department_reply": STAFF,
    "accept_referral": DOCTOR,
    "agree_referral": PATIENT,
    "list_offers": DOCTOR,
    "list_quick_offers": SIGNED_IN,
    "create_quick_order": PATIENT,
    "list_pool": DOCTOR,
    "take_order": DOCTOR,
    "get_quick_price": STAFF,
    "put_quick_price": STAFF,
    "list_referrals": PATIENT_OR_DOCTOR,
    "propose_referral": DOCTOR,
    "refuse_referral": PATIENT_OR_DOCTOR,
    "withdraw_referral": DOCTOR,
    "add_favourite": DOCTOR,
    "add_note": DOCTOR | STAFF,
    "add_quick_reply": DOCTOR,
    "cancel_order": PATIENT,
    "change_department_reply": STAFF,
    "change_doctor": STAFF,
    "change_password": PATIENT,
    "change_patient": PATIENT,
    "change_quick_reply": DOCTOR,
    "claim_task": STAFF,
    "close_other_session": SIGNED_IN,
    "close_session": SIGNED_IN,
    "contest_reply": PATIENT,
    "create_media_link": SIGNED_IN,
    "create_order": PATIENT,
    "decline_order": DOCTOR,
    "delete_department_reply": STAFF,
    "delete_push_subscription": PATIENT_OR_DOCTOR,
    "delete_quick_reply": DOCTOR,
    "fetch_media": SIGNED_IN,
    "finish_order": DOCTOR,
    "finish_task": STAFF,
    "get_chat_mark": SIGNED_IN,
    "get_consent": SIGNED_IN,
    "get_desk_figures": DOCTOR,
    "get_desk_settings": DOCTOR,
    "get_doctor": SIGNED_IN,
    "get_me": SIGNED_IN,
    "get_notice_badge": SIGNED_IN,
    "get_order": PATIENT_OR_DOCTOR,
    "get_push_key": PATIENT_OR_DOCTOR,
    "get_reminder_policy": STAFF,
    "gift_replies": DOCTOR,
    "list_authorised_doctors": STAFF,
    "list_department_replies": STAFF,
    "list_departments": SIGNED_IN,
    "list_conversations": PATIENT_OR_DOCTOR,
    "list_doctors": SIGNED_IN,
    "label_favourite": DOCTOR,
    "list_favourites": DOCTOR,
    "list_messages": PATIENT_OR_DOCTOR,
    "list_notes": DOCTOR | STAFF,
    "list_notices": SIGNED_IN,
    "list_orders": PATIENT_OR_DOCTOR,
    "list_patients": PATIENT,
    "list_quick_replies": DOCTOR,
    "list_record_views": SIGNED_IN,
    "list_records": SIGNED_IN,
    "list_refunds": STAFF,
    "list_reply_flags": PATIENT,
    "list_staff_orders": STAFF,
    "list_tasks": STAFF,
    "open_doctor_session": ANYONE,
    "open_patient_session": ANYONE,
    "open_staff_session": ANYONE,
    "put_desk_settings": DOCTOR,
    "put_push_subscription": PATIENT_OR_DOCTOR,
    "put_reminder_policy": STAFF,
    "rate_order": PATIENT,
    "list_reconciliations": STAFF,
    "compare_bill": STAFF,
    "ask_after_sales": PATIENT,
    "get_after_sales": PATIENT,
    "list_after_sales": STAFF,
    "view_after_sales": STAFF,
    "decide_after_sales": STAFF,
    "read_notices": SIGNED_IN,
    "render_record_page": SIGNED_IN,
    "refresh_session": ANYONE,
    "refresh_session_by_cookie": ANYONE,
    "release_task": STAFF,
    "remove_doctor": STAFF,
    "remove_favourite": DOCTOR,
    "remove_patient": PATIENT,
    "request_sms_code": ANYONE,
    "reset_password": ANYONE,
    "restart_refund": STAFF,
    "search_audit": STAFF,
    "search_messages": PATIENT_OR_DOCTOR,
    "search_staff_messages": STAFF,
    "send_message": PATIENT_OR_DOCTOR,
    "set_record_access": PATIENT,
    "start_payment": PATIENT,
    "trace_leak": STAFF,
    "export_order": STAFF,
    "export_own_order": PATIENT,
    "upload_media": SIGNED_IN,
    "view_hospital_figures": STAFF,
    "view_order_timeline": STAFF,
    "view_reply_flag": STAFF,
    "view_staff_order": STAFF,
    "add_staff": STAFF,
    "change_staff": STAFF,
    "disable_staff": STAFF,
    "find_patient_account": STAFF,
    "get_own_staff_account": STAFF,
    "list_failed_hl7": STAFF,
    "list_staff": STAFF,
    "list_verifications": STAFF,
    "order_department_replies": STAFF,
    "renew_staff_credentials": STAFF,
    "ask_staff_renewal": STAFF,
    "decide_staff_renewal": STAFF,
    "retry_hl7": STAFF,
    "verify_history": STAFF,
    "ask_reveal": STAFF,
    "decide_reveal": STAFF,
    "list_reveals": STAFF,
    "show_reveal": STAFF,
    "view_board": STAFF,
    "view_daily_figures": STAFF,
    "view_order_dossier": STAFF,
    "wechatpay_payments_callback": ANYONE,
    "wechatpay_refunds_callback": ANYONE,
}
"""The role matrix: who may call what. A new route stands here first."""

COMMAND_ROLES = dict.fromkeys(
    (
        "conversation.sync",
        "critical.acknowledge",
        "message.recall",
        "message.send",
        "receipt.delivered",
        "receipt.read",
        "typing",
    ),
    PATIENT_OR_DOCTOR,
) | {"notes.watch": DOCTOR | STAFF, "pool.take": DOCTOR}


@pytest.fixture(scope="module")
def openapi() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(schema_files()["openapi.json"])
    return document


@pytest.fixture(scope="module")
def asyncapi() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(schema_files()["asyncapi.json"])
    return document


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for value in node.values():
            yield from _references(value)
    elif isinstance(node, list):
        for item in node:
            yield from _references(item)


def _resolves(document: dict[str, Any], reference: str) -> bool:
    node: Any = document
    for step in reference.removeprefix("#/").split("/"):
        key = step.replace("~1", "/").replace("~0", "~")
        if not isinstance(node, dict) or key not in node:
            return False
        node = node[key]
    return True


@pytest.mark.parametrize("name", ["openapi.json", "asyncapi.json", "errors.md"])
def test_what_is_committed_is_what_the_code_makes(name: str) -> None:
    assert (DOCS / name).read_text() == schema_files()[name], "run `yunzhen schemas` and commit docs/"


def test_openapi_is_valid_by_its_own_standard(openapi: dict[str, Any]) -> None:
    schemathesis.openapi.from_dict(openapi).validate()


def test_every_reference_leads_somewhere(openapi: dict[str, Any], asyncapi: dict[str, Any]) -> None:
    for document in (openapi, asyncapi):
        assert [each for each in _references(document) if not _resolves(document, each)] == []


def test_every_route_and_command_has_its_line_in_the_role_matrix() -> None:
    assert {route.name: route.roles for route in listed_routes()} == ROLES
    assert {command.name: command.roles for command in listed_commands()} == COMMAND_ROLES


def test_every_name_and_every_address_is_there_once() -> None:
    names = [route.name for route in listed_routes()]
    assert sorted(names) == sorted(set(names))
    places = [(route.method, route.path) for route in listed_routes()]
    assert sorted(places) == sorted(set(places))


def _takes_no_key(route: Route) -> bool:
    return route.idempotency is Idempotency.NONE and route.method != "GET" and route.roles != ANYONE


def test_every_write_of_whoever_is_signed_in_takes_an_idempotency_key() -> None:
    """Except where the answer is a secret that is good for a moment, the effect is the same the second time or there is none,
    or the body holds a password, which is not kept."""
    assert {route.name for route in listed_routes() if _takes_no_key(route)} == {
        "add_staff",
        "change_password",
        "close_session",
        "create_media_link",
        "find_patient_account",
        "renew_staff_credentials",
        "search_messages",
        "search_staff_messages",
        "trace_leak",
    }
    required = {route.name for route in listed_routes() if route.idempotency is Idempotency.REQUIRED}
    assert required == {"create_order", "create_quick_order", "start_payment"}


def test_every_operation_says_who_may_call_it_and_how_it_fails(openapi: dict[str, Any]) -> None:
    operations = {
        operation["operationId"]: operation for methods in openapi["paths"].values() for operation in methods.values()
    }
    assert operations.keys() == ROLES.keys()
    for route in listed_routes():
        operation = operations[route.name]
        assert openapi["paths"][API + route.path][route.method.lower()] is operation
        assert operation.get("x-roles", sorted(ANYONE)) == sorted(route.roles)
        assert ("security" in operation) == (route.roles != ANYONE)
        assert {"422", "503"} <= operation["responses"].keys()
        for status, response in operation["responses"].items():
            # A gateway wants refusals in a form of its own.
            form = "application/json" if route.callback else "application/problem+json"
            assert (status < "400") != (form in response.get("content", {}))


def test_what_is_a_kind_of_json_is_published_as_an_object_and_all_other_content_as_bytes(openapi: dict[str, Any]) -> None:
    published = {
        content_type: content["schema"]["type"]
        for methods in openapi["paths"].values()
        for operation in methods.values()
        for content_type, content in operation["responses"].get("200", {}).get("content", {}).items()
        if content_type != "application/json"
    }
    assert published["application/fhir+json"] == "object"
    assert set(published.values()) == {"object", "string"}


def test_asyncapi_names_every_command_and_event_of_the_contract(asyncapi: dict[str, Any]) -> None:
    commands = {name.removeprefix("command.") for name in asyncapi["operations"] if name.startswith("command.")}
    events = {name.removeprefix("event.") for name in asyncapi["operations"] if name.startswith("event.")}
    assert commands == COMMAND_ROLES.keys()
    assert events == {
        "critical.changed",
        "message.new",
        "receipt",
        "order.changed",
        "notice",
        "note.added",
        "pool.changed",
        "notices.read",
        "record.viewed",
        "typing",
        "session.revoked",
    }
