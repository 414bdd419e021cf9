"""A patient's own password: optional, set while signed in, reset by SMS."""

from dataclasses import dataclass, replace

from accounts.domain.codes import Purpose, whole_seconds
from accounts.domain.people import PatientAccount, check_password
from accounts.domain.phones import check_phone
from accounts.domain.sessions import RevokeReason
from accounts.errors import AuthCodeRequired, AuthInvalid, AuthLocked
from accounts.ports import LimitRepository, Passwords, PatientAccountRepository
from accounts.service.codes import CodeService
from accounts.service.guesses import guess
from accounts.service.sessions import SessionService
from accounts.service.sign_in import BY_PASSWORD
from server.kernel.actor import PLATFORM, Actor, Role
from server.kernel.audit import Audit, Outcome, audit_row
from server.kernel.clock import Clock
from server.kernel.errors import Forbidden
from server.kernel.outbox import event_of


@dataclass(slots=True)
class PasswordService:
    accounts: PatientAccountRepository
    limits: LimitRepository
    codes: CodeService
    sessions: SessionService
    passwords: Passwords
    audit: Audit
    clock: Clock

    async def change_password(self, actor: Actor, password: str, current: str | None, code: str | None = None) -> None:
        """Set it; whoever has one must know it, and whoever has none must have the phone: an SMS code for resetting it. So a
        session alone, which may be stolen, gives nobody a lasting way in. All other sessions of the account end.

        Raises RequestInvalid, AuthCodeRequired, AuthInvalid, AuthLocked; Forbidden for whoever is not a patient.
        """
        check_password(password)
        account = await self.accounts.find(actor.account_id) if actor.role is Role.PATIENT else None
        if account is None:
            raise Forbidden
        if account.password_hash is not None:
            await self._check_current(actor, account, current)
        else:
            await self._check_phone(actor, account, code)
        await self._set(actor, account, password, "accounts.password_changed", keep=actor.session_id)

    async def reset_password(self, actor: Actor, phone: str, code: str, password: str) -> None:
        """Set it by an SMS code of that purpose. All sessions end. A phone without account gets the answer of a wrong code.

        Raises RequestInvalid, AuthInvalid, AuthLocked.
        """
        check_password(password)
        check_phone(phone)
        async with guess(self.limits, actor, self.sessions.policy.guesses, self.clock):
            account = await self._use_reset_code(actor, phone, code)
        holder = replace(actor, account_id=account.id, role=Role.PATIENT, hospital_id=PLATFORM)
        await self._set(holder, account, password, "accounts.password_reset", keep=None)
        await self.limits.clear(BY_PASSWORD, phone)

    async def _use_reset_code(self, actor: Actor, phone: str, code: str) -> PatientAccount:
        try:
            await self.codes.use_code(phone, Purpose.RESET_PASSWORD, code)
            account = await self.accounts.find_by_phone(phone)
            if account is None:
                raise AuthInvalid
        except (AuthInvalid, AuthLocked):
            await self._record_denial(actor, "accounts.password_reset", await self.codes.subject_of(phone))
            raise
        return account

    async def _record_denial(self, actor: Actor, action: str, subject: str) -> None:
        now = self.clock.now()
        row = audit_row(actor, action, subject=subject, at=now, outcome=Outcome.DENIED, hospital_id=PLATFORM)
        await self.audit.record(row)

    async def _check_phone(self, actor: Actor, account: PatientAccount, code: str | None) -> None:
        try:
            if code is None:
                raise AuthCodeRequired
            async with guess(self.limits, actor, self.sessions.policy.guesses, self.clock):
                await self.codes.use_code(account.phone, Purpose.RESET_PASSWORD, code)
        except (AuthCodeRequired, AuthInvalid, AuthLocked):
            await self._record_denial(actor, "accounts.password_changed", account.id)
            raise

    async def _check_current(self, actor: Actor, account: PatientAccount, current: str | None) -> None:
        rate = self.sessions.policy.password_tries
        wait = await self.limits.take(BY_PASSWORD, account.phone, rate, now=self.clock.now())
        if wait is not None:
            await self._record_denial(actor, "accounts.password_changed", account.id)
            raise AuthLocked(retry_after_seconds=whole_seconds(wait))
        if current is None or not await self.passwords.verify(account.password_hash, current):
            await self._record_denial(actor, "accounts.password_changed", account.id)
            raise AuthInvalid
        await self.limits.clear(BY_PASSWORD, account.phone)

    async def _set(self, actor: Actor, account: PatientAccount, password: str, action: str, *, keep: str | None) -> None:
        """The event carries what ends the sessions, should this process die before it has done so."""
        password_hash = await self.passwords.hash(password)
        credentials = account.credentials + 1
        event = event_of(
            actor,
            action,
            subject=account.id,
            at=self.clock.now(),
            hospital_id=PLATFORM,
            credentials=credentials,
            kept_session_id=keep,
        )
        if not await self.accounts.set_password(account, password_hash, event):
            raise AuthInvalid  # another change was quicker: what this one knew is not the password any more
        await self.sessions.end_stale_sessions(
            actor, account.id, PLATFORM, credentials, RevokeReason.PASSWORD_CHANGED, keep=keep
        )
