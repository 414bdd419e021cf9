"""What of critical values crosses the network: that there is one and how it stands, never what it says."""

from collections.abc import Sequence

from ehr_view.critical.domain import CriticalStatus, CriticalValue
from server.kernel.wire import Id, Instant, WireModel


class CriticalOut(WireModel):
    """`acknowledge_by`: when it is handed on (an SMS to the doctor, then the staff); null where no time runs.

    `record_id` is the report, as in the order's records: a doctor of one of `order_ids` may look at it if the patient agreed.
    """

    critical_id: Id
    record_id: Id
    order_ids: Sequence[Id]
    status: CriticalStatus
    raised_at: Instant
    acknowledge_by: Instant | None
    acknowledged_at: Instant | None


def critical_out(value: CriticalValue) -> CriticalOut:
    return CriticalOut(
        critical_id=value.id,
        record_id=value.record_id,
        order_ids=sorted({recipient.order_id for recipient in value.people.doctors}),
        status=value.status,
        raised_at=value.raised_at,
        acknowledge_by=value.deadline_at,
        acknowledged_at=value.acknowledged_at,
    )
