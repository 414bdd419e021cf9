"""Passwords by argon2id and one-time codes by TOTP (RFC 6238)."""

import asyncio
import hmac
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Final

import pyotp
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from server.kernel.clock import to_ms

_THREADS: Final = 2
_STEP_SECONDS: Final = 30
_NEIGHBOURS: Final = (0, -1, 1)


class Argon2Passwords:
    """`accounts.ports.Passwords`. RFC 9106's second choice (64 MiB, 3 passes). Two threads bound memory and processors: the
    rest waits its turn. Tests may hand in a cheaper hasher."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher()
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="argon2")
        self._decoy: str | None = None

    async def hash(self, password: str) -> str:
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._hasher.hash, password)

    async def verify(self, password_hash: str | None, password: str) -> bool:
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._verify, password_hash, password)

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _verify(self, password_hash: str | None, password: str) -> bool:
        if self._decoy is None:
            self._decoy = self._hasher.hash("nobody's password")
        try:
            return self._hasher.verify(password_hash or self._decoy, password) and password_hash is not None
        except (VerificationError, InvalidHashError):
            return False


class PyotpTotp:
    """`accounts.ports.Totp`: six digits, 30 s, one step of tolerance to each side."""

    def find_step(self, secret: str, code: str, now: datetime) -> int | None:
        totp = pyotp.TOTP(secret, interval=_STEP_SECONDS)
        present = to_ms(now) // 1000 // _STEP_SECONDS
        for step in (present + neighbour for neighbour in _NEIGHBOURS):
            if hmac.compare_digest(totp.generate_otp(step).encode(), code.encode()):
                return step
        return None


def new_totp_secret() -> str:
    """Base32 of 20 random bytes, as authenticator apps take it."""
    return pyotp.random_base32(32)


def totp_code(secret: str, now: datetime) -> str:
    """The code of this instant, as an authenticator app shows it."""
    return pyotp.TOTP(secret, interval=_STEP_SECONDS).generate_otp(to_ms(now) // 1000 // _STEP_SECONDS)
