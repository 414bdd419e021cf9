"""Signing in: by SMS code, by password, by password and one-time code."""

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from accounts.domain.codes import Purpose, whole_seconds
from accounts.domain.people import PatientAccount, StaffAccount
from accounts.domain.phones import check_phone
from accounts.domain.sessions import Device, Holder, OpenedSession
from accounts.errors import AuthInvalid, AuthLocked, PhoneNotAuthorised
from accounts.ports import (
    CodeRepository,
    DoctorRepository,
    LimitRepository,
    Passwords,
    PatientAccountRepository,
    StaffRepository,
    Totp,
)
from accounts.service.codes import CodeService
from accounts.service.guesses import guess
from accounts.service.sessions import SessionService
from server.kernel.actor import DEFAULT_HOSPITAL, PLATFORM, Actor, Role
from server.kernel.audit import Audit, Outcome, audit_row
from server.kernel.clock import Clock
from server.kernel.errors import DomainError
from server.kernel.ids import new_id
from server.kernel.outbox import event_of

BY_PASSWORD: Final = "patient_password"  # noqa: S105 (the name of a limit)
BY_STAFF: Final = "staff_sign_in"


@dataclass(slots=True)
class SignInService:
    """`hospital_id` is the hospital whose doctors and staff sign in here; patients belong to the platform.

    Every refusal is audited. A wrong password, an unknown phone and an account without password are the same answer after the
    same work.
    """

    accounts: PatientAccountRepository
    doctors: DoctorRepository
    staff: StaffRepository
    code_subjects: CodeRepository
    limits: LimitRepository
    codes: CodeService
    sessions: SessionService
    passwords: Passwords
    totp: Totp
    audit: Audit
    clock: Clock
    hospital_id: str = DEFAULT_HOSPITAL

    async def open_patient_by_code(self, actor: Actor, phone: str, code: str, device: Device) -> OpenedSession:
        """The first time registers. Raises AuthInvalid, AuthLocked."""
        async with self._guess(actor):
            await self._use_code(actor, phone, code)
        now, account_id = self.clock.now(), new_id()
        holder = replace(actor, account_id=account_id, role=Role.PATIENT, hospital_id=PLATFORM)
        event = event_of(holder, "accounts.patient_account_registered", subject=account_id, at=now)
        account = await self.accounts.register(phone, account_id=account_id, name=None, now=now, event=event)
        return await self._open_patient(actor, account, device)

    async def open_patient_by_password(self, actor: Actor, phone: str, password: str, device: Device) -> OpenedSession:
        """Raises AuthInvalid; AuthLocked after too many tries for this phone."""
        check_phone(phone)
        async with self._guess(actor):
            account = await self._check_password(actor, phone, password)
        await self.limits.clear(BY_PASSWORD, phone)
        return await self._open_patient(actor, account, device)

    async def open_doctor(self, actor: Actor, phone: str, code: str, device: Device) -> OpenedSession:
        """Whether a phone is on the hospital's list is told only to whoever holds the phone.

        Raises AuthInvalid, AuthLocked, PhoneNotAuthorised.
        """
        async with self._guess(actor):
            await self._use_code(actor, phone, code)
            doctor = await self.doctors.find_by_phone(self.hospital_id, phone)
            if doctor is None:
                raise await self._refused(actor, await self.code_subjects.subject_of(phone), PhoneNotAuthorised())

        async def still_good() -> bool:
            again = await self.doctors.find_by_phone(self.hospital_id, phone)
            return again is not None and (again.id, again.credentials) == (doctor.id, doctor.credentials)

        holder = Holder(doctor.id, Role.DOCTOR, doctor.hospital_id, doctor.credentials)
        return await self.sessions.open_session(actor, holder, device, still_good)

    async def open_staff(self, actor: Actor, username: str, password: str, code: str, device: Device) -> OpenedSession:
        """Password and one-time code, of which each step is good once. Raises AuthInvalid; AuthLocked after too many tries."""
        name = username.strip().lower()
        async with self._guess(actor):
            account = await self._check_staff(actor, name, password, code)
        await self.limits.clear(BY_STAFF, f"{self.hospital_id}/{name}")

        async def still_good() -> bool:
            again = await self.staff.find(account.id)
            return again is not None and again.active and again.credentials == account.credentials

        holder = Holder(account.id, Role.STAFF, account.hospital_id, account.credentials, account.roles)
        return await self.sessions.open_session(actor, holder, device, still_good)

    def _guess(self, actor: Actor) -> AbstractAsyncContextManager[None]:
        return guess(self.limits, actor, self.sessions.policy.guesses, self.clock)

    async def _check_password(self, actor: Actor, phone: str, password: str) -> PatientAccount:
        subject = await self.code_subjects.subject_of(phone)
        await self._take_try(actor, BY_PASSWORD, phone, subject)
        account = await self.accounts.find_by_phone(phone)
        right = await self.passwords.verify(account.password_hash if account else None, password)
        if account is None or not right:
            raise await self._refused(actor, subject, AuthInvalid())
        return account

    async def _check_staff(self, actor: Actor, name: str, password: str, code: str) -> StaffAccount:
        await self._take_try(actor, BY_STAFF, f"{self.hospital_id}/{name}", "staff")
        account = await self.staff.find_by_username(self.hospital_id, name)
        right = await self.passwords.verify(account.password_hash if account and account.active else None, password)
        if account is None or not right or not await self._use_totp(account, code, self.clock.now()):
            raise await self._refused(actor, account.id if account else "staff", AuthInvalid())
        return account

    async def _open_patient(self, actor: Actor, account: PatientAccount, device: Device) -> OpenedSession:
        async def still_good() -> bool:
            again = await self.accounts.find(account.id)
            return again is not None and again.credentials == account.credentials

        holder = Holder(account.id, Role.PATIENT, PLATFORM, account.credentials)
        return await self.sessions.open_session(actor, holder, device, still_good)

    async def _use_code(self, actor: Actor, phone: str, code: str) -> None:
        try:
            await self.codes.use_code(phone, Purpose.LOGIN, code)
        except (AuthInvalid, AuthLocked) as error:
            raise await self._refused(actor, await self.code_subjects.subject_of(phone), error) from None

    async def _use_totp(self, account: StaffAccount, code: str, now: datetime) -> bool:
        step = self.totp.find_step(account.totp_secret, code, now)
        return step is not None and await self.staff.use_totp_step(account, step)

    async def _take_try(self, actor: Actor, kind: str, subject: str, shown: str) -> None:
        """Tries are taken before they are judged, so that many at once are not more than the limit."""
        rate = self.sessions.policy.password_tries
        wait = await self.limits.take(kind, subject, rate, now=self.clock.now())
        if wait is not None:
            raise await self._refused(actor, shown, AuthLocked(retry_after_seconds=whole_seconds(wait)))

    async def _refused(self, actor: Actor, subject: str, error: DomainError) -> DomainError:
        now = self.clock.now()
        row = audit_row(
            actor,
            "accounts.session_refused",
            subject=subject,
            at=now,
            outcome=Outcome.DENIED,
            hospital_id=self.hospital_id,
        )
        await self.audit.record(row)
        return error
