"""What of referrals crosses the network."""

from pydantic import field_validator

from consult.domain.log import ReferralAct
from consult.domain.order import age_on
from consult.service.referrals import Offer, ShownReferral
from consult.wire import DoctorOfOrder, Reason, _not_blank
from server.kernel.wire import Id, Instant, Page, WireModel


class ReferralIn(WireModel):
    """`reason` is for the patient and the doctor whom it is offered to."""

    doctor_id: Id
    reason: Reason

    _says_something = field_validator("reason")(_not_blank)


class ReferralOut(WireModel):
    """`state`: proposed, accepted by `doctor`, agreed to by the patient; or refused, withdrawn."""

    id: str
    order_id: str
    doctor: DoctorOfOrder
    reason: str
    state: ReferralAct


class ReferralList(Page[ReferralOut]):
    """The one under way, if there is one."""


class OfferOut(WireModel):
    """An order that another doctor would hand over. Name, complaint and conversation are there once the patient agreed."""

    referral: ReferralOut
    by: DoctorOfOrder
    sex: str
    age: int | None
    deadline_at: Instant


class OfferList(Page[OfferOut]):
    """The soonest due first."""


def referral_out(shown: ShownReferral) -> ReferralOut:
    doctor = DoctorOfOrder(**shown.doctor.as_data())
    return ReferralOut(id=shown.id, order_id=shown.order_id, doctor=doctor, reason=shown.reason, state=shown.state)


def offer_out(offer: Offer) -> OfferOut:
    by = offer.by
    return OfferOut(
        referral=referral_out(offer.referral),
        by=DoctorOfOrder(id=by.id, name=by.name, title=by.title, department=by.department),
        sex=offer.patient.sex,
        age=age_on(offer.patient.birth_date, offer.made_at),
        deadline_at=offer.deadline_at,
    )
