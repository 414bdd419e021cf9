"""Staff accounts: made and disabled by the product's operators, from the command line or a seed."""

from collections.abc import Collection
from dataclasses import dataclass

from accounts.domain.people import StaffAccount, check_password, check_username
from accounts.domain.sessions import RevokeReason
from accounts.errors import StaffNotFound, StaffUsernameTaken
from accounts.ports import Passwords, StaffRepository
from accounts.service.sessions import SessionService
from server.kernel.actor import Actor, Role, StaffRole
from server.kernel.clock import Clock
from server.kernel.errors import Forbidden
from server.kernel.ids import new_id
from server.kernel.outbox import event_of


@dataclass(slots=True)
class StaffService:
    staff: StaffRepository
    sessions: SessionService
    passwords: Passwords
    clock: Clock

    async def add_staff(
        self,
        actor: Actor,
        *,
        username: str,
        name: str,
        password: str,
        totp_secret: str,
        roles: Collection[StaffRole],
        account_id: str | None = None,
    ) -> StaffAccount:
        """A new member of the actor's hospital's staff; `totp_secret` is base32 of 20 bytes.

        Raises StaffUsernameTaken, RequestInvalid; Forbidden for whoever is not the product itself.
        """
        _check_right(actor)
        account = StaffAccount(
            id=account_id or new_id(),
            hospital_id=actor.hospital_id,
            username=check_username(username),
            name=name,
            roles=frozenset(roles),
            password_hash=await self.passwords.hash(check_password(password)),
            totp_secret=totp_secret,
            totp_step=0,
            active=True,
            credentials=1,
        )
        event = event_of(actor, "accounts.staff_added", subject=account.id, at=self.clock.now())
        if not await self.staff.insert(account, event):
            raise StaffUsernameTaken
        return account

    async def find_staff(self, actor: Actor, username: str) -> StaffAccount | None:
        _check_right(actor)
        return await self.staff.find_by_username(actor.hospital_id, check_username(username))

    async def disable_staff(self, actor: Actor, username: str) -> None:
        """End the account and all its sessions. Raises StaffNotFound."""
        account = await self.find_staff(actor, username)
        if account is None or not account.active:
            raise StaffNotFound
        credentials = account.credentials + 1
        event = event_of(actor, "accounts.staff_disabled", subject=account.id, at=self.clock.now(), credentials=credentials)
        if not await self.staff.disable(account, event):
            raise StaffNotFound
        await self.sessions.end_stale_sessions(actor, account.id, account.hospital_id, credentials, RevokeReason.NOT_AUTHORISED)


def _check_right(actor: Actor) -> None:
    if actor.role is not Role.SYSTEM:
        raise Forbidden
