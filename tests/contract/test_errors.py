"""Every way to be refused has one code, which is written down and which some test shows."""

import ast
from pathlib import Path

from server.app.schemas import listed_commands, listed_routes
from server.kernel.errors import HTTP_STATUS, DomainError, ErrorKind, registered_errors

ROOT = Path(__file__).parents[2]

CONTRACT = {
    "auth.invalid",
    "auth.locked",
    "auth.phone_not_authorised",
    "conversation.closed",
    "conversation.flooded",
    "conversation.not_found",
    "conversation.quota_exhausted",
    "idempotency.in_progress",
    "idempotency.mismatch",
    "media.damaged",
    "media.too_large",
    "media.unsupported",
    "message.not_sender",
    "message.recall_expired",
    "order.consent_required",
    "order.daily_maximum",
    "order.doctor_unavailable",
    "order.not_found",
    "order.transition_refused",
    "payment.signature_invalid",
    "record.access_denied",
    "request.invalid",
    "request.rate_limited",
}
"""Codes that clients rely on from the first version."""


def product_errors() -> dict[str, type[DomainError]]:
    """The product's errors by code: importing the routes declares them all."""
    assert listed_routes()
    return {code: error for code, error in registered_errors().items() if not error.__module__.startswith("tests.")}


def _shown(tree: ast.AST) -> set[str]:
    """Names and texts that a test uses; an import alone shows nothing."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            found.add(node.id)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.add(node.value)
    return found


def test_every_code_is_written_down_with_its_kind_and_status() -> None:
    lines = (ROOT / "docs/errors.md").read_text().splitlines()
    documented = {cells[1].strip().strip("`"): cells for line in lines if line.startswith("| `") for cells in [line.split("|")]}
    errors = product_errors()
    assert documented.keys() == errors.keys()
    for code, cells in documented.items():
        assert (cells[2].strip(), int(cells[3])) == (errors[code].kind, errors[code]().status)


def test_every_code_is_triggered_by_some_test() -> None:
    used: set[str] = set()
    for kind in ("unit", "integration", "functional", "stress"):
        for file in (ROOT / "tests" / kind).glob("test_*.py"):
            used |= _shown(ast.parse(file.read_text()))
    errors = product_errors()
    assert {code for code, error in errors.items() if code not in used and error.__name__ not in used} == set()


def test_no_two_errors_share_a_code_or_a_name() -> None:
    errors = product_errors()
    assert len({error.__name__ for error in errors.values()}) == len(errors)
    assert all(code == error.code for code, error in errors.items())


def test_every_code_says_its_subject_and_its_kind_gives_the_status() -> None:
    assert HTTP_STATUS.keys() == set(ErrorKind)
    for code, error in product_errors().items():
        subject, dot, what = code.partition(".")
        assert dot
        assert subject.replace("_", "").isalnum()
        assert what.replace("_", "").isalpha()
        assert 400 <= error().status < 600
        assert (error().status >= 500) == (error.kind in (ErrorKind.UNAVAILABLE, ErrorKind.INTERNAL))
        assert error.title.endswith((".", "?"))


def test_the_codes_of_the_contract_exist_and_bad_input_is_never_our_fault() -> None:
    errors = product_errors()
    assert CONTRACT - errors.keys() == set()
    assert all(errors[code].kind not in (ErrorKind.UNAVAILABLE, ErrorKind.INTERNAL) for code in CONTRACT)


def test_every_error_that_a_route_or_command_names_is_a_registered_one() -> None:
    errors = product_errors()
    for entry in (*listed_routes(), *listed_commands()):
        for error in entry.errors:
            assert errors[error.code] is error
