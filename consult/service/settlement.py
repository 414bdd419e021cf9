"""The event of an order's last word on money."""

from datetime import datetime
from typing import Final

from consult.domain.status import CloseReason, LogFacts
from server.kernel.actor import system_actor
from server.kernel.ids import derived_id
from server.kernel.outbox import Event, event_of

ORDER_SETTLED: Final = "consult.order_settled"


def settled_event(order_id: str, hospital_id: str, facts: LogFacts, at: datetime) -> Event | None:
    """The event of an order that is settled, the same whoever projects it; None of one that is not."""
    if facts.settled is None:
        return None
    reason = facts.close_reason or CloseReason.EXPIRED
    return event_of(
        system_actor(hospital_id, name="consult", request_id=derived_id(ORDER_SETTLED, order_id)),
        ORDER_SETTLED,
        subject=order_id,
        at=at,
        order_id=order_id,
        event_id=derived_id(ORDER_SETTLED, order_id, "event"),
        outcome=facts.settled.value,
        cause=reason.value,
        counted_replies=facts.counted_replies,
    )
