"""Passwords by argon2id and one-time codes by TOTP (RFC 6238)."""

import asyncio
import hmac
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from typing import Final

import pyotp
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from server.kernel.clock import to_ms
from server.kernel.errors import RequestRateLimited

_THREADS: Final = 2
_MOST_WAITING: Final = 100
_RETRY_SECONDS: Final = 2
_STEP_SECONDS: Final = 30
_NEIGHBOURS: Final = (0, -1, 1)


class Argon2Passwords:
    """`accounts.ports.Passwords`. RFC 9106's second choice (64 MiB, 3 passes). Two threads bound memory and processors: the
    rest waits its turn. Tests may hand in a cheaper hasher."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher()
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="argon2")
        self._decoy: str | None = None
        self._waiting = 0

    async def hash(self, password: str) -> str:
        with self._place():
            return await asyncio.get_running_loop().run_in_executor(self._pool, self._hasher.hash, password)

    async def verify(self, password_hash: str | None, password: str) -> bool:
        with self._place():
            return await asyncio.get_running_loop().run_in_executor(self._pool, self._verify, password_hash, password)

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    @contextmanager
    def _place(self) -> Iterator[None]:
        """One of the places in the queue. Raises RequestRateLimited when all are taken: who waits longer has gone away."""
        if self._waiting >= _MOST_WAITING:
            raise RequestRateLimited(retry_after_seconds=_RETRY_SECONDS)
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1

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
