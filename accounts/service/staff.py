"""Staff accounts: kept by the hospital's operators, those of auditors by auditors; and by the product's own seed.

Who decides who may see what may not decide it for oneself: nobody changes or ends the account that one asks with. And nobody
alone becomes both who acts and who watches: see `accounts.domain.people.kept_by`.
Whatever is changed ends the member's sessions, so that no token carries former roles.
"""

import os
from base64 import b32encode
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, NoReturn

from accounts.domain.people import StaffAccount, check_password, check_username, duties_are_separate, kept_by
from accounts.domain.renewals import Renewal, decide_renewal, require_agreed, second_office
from accounts.domain.sessions import RevokeReason
from accounts.errors import (
    StaffDutiesSeparate,
    StaffNotFound,
    StaffRenewalNotAgreed,
    StaffRenewalOver,
    StaffSelfRefused,
    StaffUsernameTaken,
)
from accounts.ports import Passwords, StaffRepository
from accounts.service.sessions import SessionService
from server.kernel.actor import Actor, Role, StaffRole
from server.kernel.audit import Audit, Outcome, audit_row
from server.kernel.clock import Clock
from server.kernel.errors import Forbidden, RequestInvalid, Unavailable
from server.kernel.ids import is_id, new_id
from server.kernel.outbox import event_of

STAFF_ADDED: Final = "accounts.staff_added"
STAFF_CHANGED: Final = "accounts.staff_changed"
STAFF_RENEWED: Final = "accounts.staff_credentials_renewed"
RENEWAL_ASKED: Final = "accounts.staff_renewal_asked"
RENEWAL_AGREED: Final = "accounts.staff_renewal_agreed"
RENEWAL_REFUSED: Final = "accounts.staff_renewal_refused"
STAFF_DISABLED: Final = "accounts.staff_disabled"
STAFF_LISTED: Final = "accounts.staff_listed"

_TOTP_BYTES: Final = 20
_TRIES: Final = 5
_KEEPERS: Final = frozenset({StaffRole.OPERATOR, StaffRole.AUDITOR})

_Change = Callable[[StaffAccount], StaffAccount]


@dataclass(slots=True)
class StaffService:
    staff: StaffRepository
    sessions: SessionService
    passwords: Passwords
    clock: Clock
    audit: Audit

    async def add_staff(
        self,
        actor: Actor,
        *,
        username: str,
        name: str,
        password: str,
        roles: Collection[StaffRole],
        totp_secret: str | None = None,
        account_id: str | None = None,
    ) -> StaffAccount:
        """A new member of the actor's hospital's staff; `totp_secret` is base32 of 20 bytes, made here where none is given.
        The same `account_id` and user name again are the same member.

        Raises StaffUsernameTaken, StaffDutiesSeparate, RequestInvalid; Forbidden for whoever keeps no staff.
        """
        await self._check_right(actor, STAFF_ADDED, "staff")
        wanted = _check_roles(roles)
        await self._check_duties(actor, STAFF_ADDED, "staff", kept_by(wanted), wanted)
        account = StaffAccount(
            id=account_id or new_id(),
            hospital_id=actor.hospital_id,
            username=check_username(username),
            name=name,
            roles=wanted,
            password_hash=await self.passwords.hash(check_password(password)),
            totp_secret=totp_secret or _new_secret(),
            totp_step=0,
            active=True,
            credentials=1,
        )
        event = event_of(actor, STAFF_ADDED, subject=account.id, at=self.clock.now())
        if await self.staff.insert(account, event):
            return account
        known = await self.staff.find(account.id)
        if known is None or (known.hospital_id, known.username) != (account.hospital_id, account.username):
            raise StaffUsernameTaken
        return known

    async def find_staff(self, actor: Actor, username: str) -> StaffAccount | None:
        await self._check_right(actor, STAFF_LISTED, "staff")
        return await self.staff.find_by_username(actor.hospital_id, check_username(username))

    async def get_own(self, actor: Actor) -> StaffAccount:
        """The member who asks, with the roles that the session holds. Raises Forbidden for anyone else."""
        account = await self.staff.find(actor.account_id) if actor.role is Role.STAFF else None
        if account is None:
            raise Forbidden
        return replace(_as_of(account, self.clock.now()), roles=actor.staff_roles)

    async def list_staff(self, actor: Actor, *, limit: int, after: str | None) -> tuple[list[StaffAccount], bool]:
        """At most `limit` of the hospital, by user name behind `after`, former ones too; and whether there are more."""
        await self._check_right(actor, STAFF_LISTED, "staff")
        found = await self.staff.list_of(actor.hospital_id, limit=limit + 1, after=after)
        now = self.clock.now()
        await self.audit.record(audit_row(actor, STAFF_LISTED, subject="staff", at=now))
        return [_as_of(account, now) for account in found[:limit]], len(found) > limit

    async def change_staff(
        self, actor: Actor, account_id: str, *, name: str | None = None, roles: Collection[StaffRole] | None = None
    ) -> StaffAccount:
        """Change what is given; other roles hold at once. Nobody becomes an auditor so, or ceases to be one.

        Raises StaffNotFound, StaffSelfRefused, StaffDutiesSeparate, RequestInvalid.
        """
        wanted = None if roles is None else _check_roles(roles)

        def change(old: StaffAccount) -> StaffAccount:
            return replace(old, name=old.name if name is None else name, roles=old.roles if wanted is None else wanted)

        return await self._save(actor, account_id, STAFF_CHANGED, change)

    async def renew_credentials(self, actor: Actor, account_id: str, password: str) -> StaffAccount:
        """Another password and TOTP secret, for who lost either, once two people agreed; the product's own needs nobody.

        Raises StaffNotFound, StaffSelfRefused, StaffDutiesSeparate, StaffRenewalNotAgreed, RequestInvalid.
        """
        await self._check_right(actor, STAFF_RENEWED, account_id)
        password_hash, secret = await self.passwords.hash(check_password(password)), _new_secret()

        def change(old: StaffAccount) -> StaffAccount:
            if actor.role is not Role.SYSTEM:
                require_agreed(old.renewal, actor.account_id, now=self.clock.now())
            return replace(old, password_hash=password_hash, totp_secret=secret, totp_step=0)

        try:
            return await self._save(actor, account_id, STAFF_RENEWED, change)
        except StaffRenewalNotAgreed:
            await self._deny(actor, STAFF_RENEWED, account_id)
            raise

    async def ask_renewal(self, actor: Actor, account_id: str, *, renewal_id: str) -> StaffAccount:
        """Ask that the member's credentials be renewed, as who keeps the account; it takes the place of an earlier request.

        Raises StaffNotFound, StaffSelfRefused, StaffDutiesSeparate.
        """
        for _ in range(_TRIES):
            old = await self._get_other(actor, account_id, RENEWAL_ASKED)
            if old.renewal is not None and old.renewal.id == renewal_id:
                return old
            asked = Renewal(renewal_id, actor.account_id, self.clock.now())
            event = event_of(actor, RENEWAL_ASKED, subject=old.id, at=asked.asked_at)
            if await self.staff.save_renewal(old, asked, event):
                return replace(old, renewal=asked)
        raise Unavailable

    async def decide_renewal(self, actor: Actor, account_id: str, renewal_id: str, *, agrees: bool) -> StaffAccount:
        """The answer of somebody of the other office, who takes an agreement back by refusing.

        Raises StaffNotFound, StaffSelfRefused, Forbidden for who is not of that office, StaffRenewalNotAgreed for who asked,
        StaffRenewalOver.
        """
        action = RENEWAL_AGREED if agrees else RENEWAL_REFUSED
        old = await self._find_other(actor, account_id, action)
        now = self.clock.now()
        try:
            if second_office(kept_by(old.roles)) not in actor.staff_roles:
                raise Forbidden
            decided = decide_renewal(old.renewal, renewal_id, actor.account_id, agrees=agrees, now=now)
        except (Forbidden, StaffRenewalNotAgreed, StaffRenewalOver):
            await self._deny(actor, action, account_id)
            raise
        if decided != old.renewal:
            event = event_of(actor, action, subject=old.id, at=now)
            if not await self.staff.save_renewal(old, decided, event):
                raise StaffRenewalOver
        return replace(old, renewal=decided)

    async def disable_account(self, actor: Actor, account_id: str) -> None:
        """End the account and all its sessions. Raises StaffNotFound, StaffSelfRefused, StaffDutiesSeparate."""
        account = await self._get_other(actor, account_id, STAFF_DISABLED)
        await self._disable(actor, account)

    async def disable_staff(self, actor: Actor, username: str) -> None:
        """End the account of this user name and all its sessions. Raises StaffNotFound."""
        account = await self.find_staff(actor, username)
        if account is None or not account.active:
            raise StaffNotFound
        await self._disable(actor, await self._get_other(actor, account.id, STAFF_DISABLED))

    async def _disable(self, actor: Actor, account: StaffAccount) -> None:
        credentials = account.credentials + 1
        event = event_of(actor, STAFF_DISABLED, subject=account.id, at=self.clock.now(), credentials=credentials)
        if not await self.staff.disable(account, event):
            raise StaffNotFound
        await self._end_sessions(actor, replace(account, credentials=credentials))

    async def _save(self, actor: Actor, account_id: str, action: str, change: _Change) -> StaffAccount:
        for _ in range(_TRIES):
            old = await self._get_other(actor, account_id, action)
            new = replace(change(old), credentials=old.credentials + 1)
            if new.roles != old.roles:
                if kept_by(new.roles) is not kept_by(old.roles):
                    await self._refuse(actor, action, new.id)
                await self._check_duties(actor, action, new.id, kept_by(old.roles), new.roles)
            event = event_of(actor, action, subject=new.id, at=self.clock.now(), credentials=new.credentials)
            if await self.staff.save(new, event):
                await self._end_sessions(actor, new)
                return replace(new, renewal=None)
        raise Unavailable

    async def _end_sessions(self, actor: Actor, account: StaffAccount) -> None:
        await self.sessions.end_stale_sessions(
            actor, account.id, account.hospital_id, account.credentials, RevokeReason.NOT_AUTHORISED
        )

    async def _get_other(self, actor: Actor, account_id: str, action: str) -> StaffAccount:
        """An active member of the actor's hospital who is not the actor, and whose account the actor keeps."""
        account = await self._find_other(actor, account_id, action)
        await self._check_duties(actor, action, account_id, kept_by(account.roles), None)
        return account

    async def _find_other(self, actor: Actor, account_id: str, action: str) -> StaffAccount:
        await self._check_right(actor, action, account_id)
        if account_id == actor.account_id:
            await self._deny(actor, action, account_id)
            raise StaffSelfRefused
        account = await self.staff.find(account_id) if is_id(account_id) else None
        if account is None or account.hospital_id != actor.hospital_id or not account.active:
            raise StaffNotFound
        return account

    async def _check_duties(
        self, actor: Actor, action: str, subject: str, keeper: StaffRole, roles: frozenset[StaffRole] | None
    ) -> None:
        """The actor is one who keeps such accounts, and the roles to be given go together. The product's own may do both."""
        if actor.role is Role.SYSTEM:
            return
        if keeper not in actor.staff_roles or (roles is not None and not duties_are_separate(roles)):
            await self._refuse(actor, action, subject)

    async def _refuse(self, actor: Actor, action: str, subject: str) -> NoReturn:
        await self._deny(actor, action, subject)
        raise StaffDutiesSeparate

    async def _check_right(self, actor: Actor, action: str, subject: str) -> None:
        """Operators and auditors only, and the product itself."""
        if actor.role is Role.SYSTEM or (actor.role is Role.STAFF and not _KEEPERS.isdisjoint(actor.staff_roles)):
            return
        await self._deny(actor, action, subject)
        raise Forbidden

    async def _deny(self, actor: Actor, action: str, subject: str) -> None:
        shown = subject if is_id(subject) else "staff"
        await self.audit.record(audit_row(actor, action, subject=shown, at=self.clock.now(), outcome=Outcome.DENIED))


def _as_of(account: StaffAccount, now: datetime) -> StaffAccount:
    """Without a request whose time is over."""
    return replace(account, renewal=None) if account.renewal is not None and account.renewal.is_over(now) else account


def _new_secret() -> str:
    return b32encode(os.urandom(_TOTP_BYTES)).decode()


def _check_roles(roles: Collection[StaffRole]) -> frozenset[StaffRole]:
    if not roles:
        raise RequestInvalid(roles="must name at least one")
    return frozenset(roles)
