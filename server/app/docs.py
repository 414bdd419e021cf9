"""Documents that are made from the code: the error list, OpenAPI, AsyncAPI. A test compares them with what is committed."""

from collections.abc import Mapping
from typing import Final

from consult.errors import OrderNotFound
from ehr_view.errors import RecordAccessDenied, RecordIdentityMismatch, RecordNotFound, RecordSourceUnavailable
from media.errors import MediaNotFound
from server.kernel.errors import DomainError, registered_errors

RECORDS: Final = (RecordAccessDenied, RecordNotFound, RecordSourceUnavailable, RecordIdentityMismatch)
"""What a card that shares a record can be refused with."""

THROUGH_PORTS: Final[Mapping[str, tuple[type[DomainError], ...]]] = {
    "send_message": (MediaNotFound, *RECORDS),
    "get_chat_mark": (OrderNotFound,),
    "list_records": (OrderNotFound,),
    "render_record_page": (OrderNotFound,),
    "list_record_views": (OrderNotFound,),
    "message.send": (MediaNotFound, *RECORDS),
}
"""What routes and commands refuse through a port, by name: `im` knows no media and no records, so it cannot name their errors
itself; `ehr_view` knows no orders."""


def errors_markdown() -> str:
    """`docs/errors.md`: every code, its kind, its HTTP status and what it says."""
    rows = [
        f"| `{code}` | {error.kind.value} | {error().status} | {error.title} |"
        for code, error in sorted(registered_errors().items())
        if not error.__module__.startswith("tests")
    ]
    return (
        "# Errors\n\nMade by `yunzhen schemas` from the declared errors; do not edit.\n\n"
        "HTTP answers are `application/problem+json` with these codes; socket acks carry the code and the kind.\n\n"
        "| code | kind | HTTP | meaning |\n|---|---|---|---|\n" + "\n".join(rows) + "\n"
    )
