"""Renewing what a member of staff signs in with, after a lost phone: two people of different offices.

Whoever renews a member's credentials could sign in as that member, and what is done then stands in the audit under the
member's name. So whoever keeps the account asks, and somebody of the other office agrees, after having spoken with the member:
an auditor where operators keep it, an operator where auditors do. Neither appoints the other.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from accounts.errors import StaffRenewalNotAgreed, StaffRenewalOver
from server.kernel.actor import StaffRole

OPEN_FOR: Final = timedelta(hours=24)
"""So long a request waits for the answer, and so long after it the credentials can be renewed, once. Half-open."""


@dataclass(frozen=True, slots=True)
class Renewal:
    """The request that stands in a member's account. One that was refused stands in the audit alone."""

    id: str
    asked_by: str
    asked_at: datetime
    agreed_by: str | None = None
    agreed_at: datetime | None = None

    def is_over(self, now: datetime) -> bool:
        return now >= (self.agreed_at or self.asked_at) + OPEN_FOR


def second_office(keeper: StaffRole) -> StaffRole:
    """Who must agree where accounts are kept by `keeper`."""
    return StaffRole.OPERATOR if keeper is StaffRole.AUDITOR else StaffRole.AUDITOR


def decide_renewal(renewal: Renewal | None, renewal_id: str, account_id: str, *, agrees: bool, now: datetime) -> Renewal | None:
    """The request with the second person's agreement; None once it is refused, also after an agreement.

    Raises StaffRenewalOver for another request than the one that stands, StaffRenewalNotAgreed for who asked.
    """
    if renewal is None or renewal.id != renewal_id or renewal.is_over(now):
        raise StaffRenewalOver
    if account_id == renewal.asked_by:
        raise StaffRenewalNotAgreed
    if not agrees:
        return None
    return renewal if renewal.agreed_by is not None else replace(renewal, agreed_by=account_id, agreed_at=now)


def require_agreed(renewal: Renewal | None, account_id: str, *, now: datetime) -> None:
    """Only who asked may renew, and only what was agreed to. Raises StaffRenewalNotAgreed."""
    if renewal is None or renewal.agreed_at is None or renewal.asked_by != account_id or renewal.is_over(now):
        raise StaffRenewalNotAgreed
