"""SMS that tell a doctor something: no code in them, no word of a patient."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from accounts.domain.codes import SmsState


@dataclass(frozen=True, slots=True)
class DoctorText:
    """One SMS to one doctor, stored before the first try. `id` follows from its cause, and is its OutId at the provider.

    The phone is looked up when it is sent: who was struck off meanwhile, or changed the number, is told nothing at the old
    one. After `expires_at` it is not worth sending.
    """

    id: str
    hospital_id: str
    doctor_id: str
    template: str
    params: Mapping[str, str]
    state: SmsState
    created_at: datetime
    expires_at: datetime
    next_at: datetime
    tries: int = 0
    queries: int = 0
