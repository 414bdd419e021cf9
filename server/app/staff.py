"""Staff accounts by hand, for whoever runs the machine: the first ones of a hospital, and the last resort after a lost phone.

What is made is printed once, on standard output; nothing secret is taken from the command
line, which other users of the machine see.
"""

import re
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from getpass import getuser
from typing import Final
from urllib.parse import quote

from rich.console import Console

from accounts.domain.people import StaffAccount, duties_are_separate
from accounts.errors import StaffDutiesSeparate, StaffNotFound
from accounts.passwords import Argon2Passwords
from accounts.service.staff import StaffService
from server.app.embedded import databases
from server.app.ground import ground
from server.app.migrations import is_current
from server.app.people import people_of
from server.app.settings import Settings
from server.kernel.actor import Actor, StaffRole, system_actor
from server.kernel.errors import DomainError
from server.kernel.wire import unclean

_PASSWORD_BYTES: Final = 12
_MOST_NAME: Final = 60
_HOSPITAL: Final = re.compile("[A-Za-z0-9_-]{1,64}")

_out = Console(highlight=False, soft_wrap=True)
_err = Console(highlight=False, soft_wrap=True, stderr=True)


async def add_member(settings: Settings, hospital_id: str, username: str, name: str, roles: Sequence[str]) -> int:
    """An auditor's account is an auditor's alone, here as everywhere. 0 when it was added."""
    wrong = [role for role in roles if role not in set(StaffRole)]
    if wrong or unclean(name) or not 0 < len(name.strip()) <= _MOST_NAME:
        _err.print(f"[red]not added[/] roles are {', '.join(StaffRole)}; a name has 1 to {_MOST_NAME} characters")
        return 2
    wanted = [StaffRole(role) for role in roles]

    async def add(staff: StaffService, actor: Actor, password: str) -> StaffAccount:
        if not duties_are_separate(set(wanted)):
            raise StaffDutiesSeparate
        return await staff.add_staff(actor, username=username, name=name.strip(), password=password, roles=wanted)

    return await _do(settings, hospital_id, add, refused="not added")


async def renew_member(settings: Settings, hospital_id: str, username: str) -> int:
    """0 when it was renewed."""

    async def renew(staff: StaffService, actor: Actor, password: str) -> StaffAccount:
        known = await staff.find_staff(actor, username)
        if known is None:
            raise StaffNotFound
        return await staff.renew_credentials(actor, known.id, password)

    return await _do(settings, hospital_id, renew, refused="not renewed")


_Act = Callable[[StaffService, Actor, str], Awaitable[StaffAccount]]


async def _do(settings: Settings, hospital_id: str, act: _Act, *, refused: str) -> int:
    if not _HOSPITAL.fullmatch(hospital_id):
        _err.print(f"[red]{refused}[/] a hospital's id has 1 to 64 letters, digits, dashes or underscores")
        return 2
    password = secrets.token_urlsafe(_PASSWORD_BYTES)
    async with _staff(settings) as staff:
        if staff is None:
            _err.print(f"[red]{refused}[/] the database is not migrated: run `yunzhen migrate`")
            return 1
        try:
            account = await act(staff, system_actor(hospital_id, name=f"operator:{getuser()}"), password)
        except DomainError as error:
            reasons = "; ".join(f"{field} {reason}" for field, reason in error.fields.items())
            _err.print(f"[red]{refused}[/] {error.title} {reasons}".rstrip())
            return 1
    for line in member_lines(account, password):
        _out.print(line, markup=False)
    return 0


@asynccontextmanager
async def _staff(settings: Settings) -> AsyncIterator[StaffService | None]:
    passwords = Argon2Passwords()
    try:
        async with databases(settings) as found, ground(settings, found.mongo_url) as made:
            yield people_of(made, settings, passwords).staff if await is_current(made.database) else None
    finally:
        passwords.close()


def member_lines(account: StaffAccount, password: str) -> list[str]:
    """What the member needs, once."""
    label = quote(f"Yunzhen:{account.username}", safe=":")
    return [
        f"user name     {account.username}",
        f"roles         {', '.join(sorted(account.roles))}",
        f"password      {password}",
        f"TOTP secret   {account.totp_secret}",
        f"authenticator otpauth://totp/{label}?secret={account.totp_secret}&issuer=Yunzhen",
    ]
