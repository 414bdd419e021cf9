"""The patients of an account: whoever it consults for."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from accounts.domain import patients as rules
from accounts.domain.patients import Patient, PatientBook, PatientDetails
from accounts.errors import PatientNotFound
from accounts.ports import PatientRepository
from server.kernel.actor import DEFAULT_HOSPITAL, Actor, Role
from server.kernel.audit import Audit, Outcome, audit_row
from server.kernel.clock import Clock
from server.kernel.errors import Forbidden, RequestInvalid, Unavailable
from server.kernel.ids import is_id
from server.kernel.outbox import event_of

DEFAULT_LIMIT: Final = 5
_ATTEMPTS: Final = 50


@dataclass(slots=True)
class PatientService:
    """`limit` patients an account at the hospital `hospital_id`.

    A change is decided over the account's whole book and saved under its version; whoever loses decides again. For adding, each
    round has a winner, so that after `limit` rounds all others are refused.
    """

    patients: PatientRepository
    audit: Audit
    clock: Clock
    limit: int = DEFAULT_LIMIT
    hospital_id: str = DEFAULT_HOSPITAL

    async def list_patients(self, actor: Actor) -> Sequence[Patient]:
        """The actor's own, the default first."""
        self._check_role(actor)
        book = await self.patients.load(self.hospital_id, actor.account_id)
        await self._record_read(actor, "accounts.patients_listed", actor.account_id)
        return book.listed()

    async def access_patient(self, actor: Actor, patient_id: str) -> Patient:
        """One of the actor's own. Missing and not theirs are the same: PatientNotFound, audited as a refused look."""
        book = await self.patients.load(self.hospital_id, actor.account_id) if actor.role is Role.PATIENT else None
        patient = book.find(patient_id) if book is not None else None
        if patient is None:
            await self._record_denial(actor, "accounts.patient_read", patient_id)
            raise PatientNotFound
        await self._record_read(actor, "accounts.patient_read", patient_id)
        return patient

    async def find_patient_for_order(self, patient_id: str, account_id: str) -> Patient | None:
        """For the product itself, which has checked who asks and audits that."""
        return (await self.patients.load(self.hospital_id, account_id)).find(patient_id)

    async def add_patient(
        self, actor: Actor, patient_id: str, details: PatientDetails, *, make_default: bool = False
    ) -> Patient:
        """One more. The same id again is the same patient. Raises RequestInvalid, PatientDuplicate, PatientLimitReached."""
        self._check_role(actor)
        now = self.clock.now()

        def add(book: PatientBook) -> PatientBook:
            return rules.add_patient(book, patient_id, details, make_default=make_default, limit=self.limit, now=now)

        return (await self._change(actor, patient_id, "accounts.patient_added", add)).get(patient_id)

    async def change_patient(
        self, actor: Actor, patient_id: str, change: Callable[[PatientDetails], PatientDetails], make_default: bool | None
    ) -> Patient:
        """Replace details, make it the default, or both. There is always a default: it is changed by naming another.

        Raises PatientNotFound, PatientDuplicate, RequestInvalid.
        """
        self._check_role(actor)
        now = self.clock.now()

        def apply(book: PatientBook) -> PatientBook:
            patient = book.get(patient_id)
            if make_default is False and patient.is_default:
                raise RequestInvalid(default="make another patient the default instead")
            old = rules.details_of(patient)
            new = change(old)
            if new != old:
                book = rules.change_patient(book, patient_id, new, now=now)
            return rules.make_default(book, patient_id) if make_default else book

        return (await self._change(actor, patient_id, "accounts.patient_changed", apply)).get(patient_id)

    async def remove_patient(self, actor: Actor, patient_id: str) -> None:
        """Orders keep what they need of a patient; here it is gone. Raises PatientNotFound."""
        self._check_role(actor)
        await self._change(actor, patient_id, "accounts.patient_removed", lambda book: rules.remove_patient(book, patient_id))

    async def _change(
        self, actor: Actor, patient_id: str, action: str, rule: Callable[[PatientBook], PatientBook]
    ) -> PatientBook:
        """Decide over the book and save it if nobody was quicker; else decide again."""
        for _ in range(_ATTEMPTS):
            book = await self.patients.load(self.hospital_id, actor.account_id)
            try:
                new = rule(book)
            except PatientNotFound:
                await self._record_denial(actor, action, patient_id)
                raise
            if new == book:
                return book
            event = event_of(actor, action, subject=patient_id, at=self.clock.now(), hospital_id=self.hospital_id)
            if await self.patients.save(new, event):
                return replace(new, version=new.version + 1)
        raise Unavailable

    def _check_role(self, actor: Actor) -> None:
        if actor.role is not Role.PATIENT:
            raise Forbidden

    async def _record_read(self, actor: Actor, action: str, subject: str) -> None:
        await self._record(actor, action, subject)

    async def _record_denial(self, actor: Actor, action: str, patient_id: str) -> None:
        subject = patient_id if is_id(patient_id) else "patient"
        await self._record(actor, action, subject, outcome=Outcome.DENIED)

    async def _record(self, actor: Actor, action: str, subject: str, **more: Any) -> None:
        now = self.clock.now()
        await self.audit.record(audit_row(actor, action, subject=subject, at=now, hospital_id=self.hospital_id, **more))
