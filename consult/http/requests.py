"""What an order that was asked for over HTTP says."""

from consult.domain.order import ConsentGiven, OrderKind
from consult.service.orders import OrderRequest
from consult.wire import AnyOrderIn


def order_request(body: AnyOrderIn, *, doctor_id: str | None = None, department_id: str | None = None) -> OrderRequest:
    """Of that doctor, or of the first free one of that department."""
    given = body.consent
    return OrderRequest(
        doctor_id=doctor_id,
        department_id=department_id,
        patient_id=body.patient_id,
        kind=OrderKind(body.kind),
        complaint=body.complaint,
        image_ids=tuple(body.image_ids),
        consent=None if given is None else ConsentGiven(given.version, given.sha256, given.record_access),
    )
