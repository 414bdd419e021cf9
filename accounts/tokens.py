"""Tokens: signed pointers at sessions. None of them is stored.

Access and media tokens are JWTs (HS256) that differ by audience, so that the cookie for media opens nothing else. A refresh
token is the session's id and generation with a keyed digest over both: there is nothing to steal from the database, and an old
one is told from a made-up one. Keys derive from the master key (`secret("access-token")`, `secret("refresh-token")`).
"""

import base64
import binascii
import hmac
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Final

import jwt
import orjson

from accounts.domain.sessions import AccessClaims, RefreshClaim, Session
from server.kernel.actor import Role, StaffRole
from server.kernel.clock import to_ms
from server.kernel.errors import AuthRequired
from server.kernel.ids import ID_BYTES, id_bytes

_ALGORITHM: Final = "HS256"
_ISSUER: Final = "yunzhen"
_ACCESS: Final = "access"
_MEDIA: Final = "media"
_GENERATION_BYTES: Final = 4
_MAX_TOKEN: Final = 4_000
_HEADER: Final = jwt.encode({}, bytes(32), algorithm=_ALGORITHM).partition(".")[0]
"""What every token of ours begins with."""


class SessionTokens:
    """`accounts.ports.Tokens`."""

    def __init__(self, access_secret: bytes, refresh_secret: bytes) -> None:
        self._access_secret = access_secret
        self._refresh_secret = refresh_secret

    def access(self, session: Session, *, now: datetime, life: timedelta) -> str:
        return self._sign(session, _ACCESS, now + life)

    def media(self, session: Session, *, now: datetime) -> str:
        return self._sign(session, _MEDIA, session.expires_at)

    def refresh(self, session: Session) -> str:
        data = id_bytes(session.id) + session.generation.to_bytes(_GENERATION_BYTES, "big")
        return base64.urlsafe_b64encode(data + self._digest(data)).decode().rstrip("=")

    def read_access(self, token: str) -> AccessClaims:
        return self._read(token, _ACCESS)

    def read_media(self, token: str) -> AccessClaims:
        return self._read(token, _MEDIA)

    def read_refresh(self, token: str) -> RefreshClaim:
        size = ID_BYTES + _GENERATION_BYTES
        try:
            raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        except (ValueError, binascii.Error):
            raise AuthRequired from None
        if len(raw) != size + sha256().digest_size or not hmac.compare_digest(raw[size:], self._digest(raw[:size])):
            raise AuthRequired
        return RefreshClaim(raw[:ID_BYTES].hex(), int.from_bytes(raw[ID_BYTES:size], "big"))

    def _digest(self, data: bytes) -> bytes:
        return hmac.digest(self._refresh_secret, data, sha256)

    def _sign(self, session: Session, audience: str, expires_at: datetime) -> str:
        holder = session.holder
        payload = {
            "iss": _ISSUER,
            "aud": audience,
            "sub": holder.account_id,
            "sid": session.id,
            "role": holder.role.value,
            "hid": holder.hospital_id,
            "did": session.device.id,
            "roles": sorted(role.value for role in holder.staff_roles),
            "exp": to_ms(expires_at) / 1000,
        }
        return jwt.encode(payload, self._access_secret, algorithm=_ALGORITHM)

    def _read(self, token: str, audience: str) -> AccessClaims:
        """The one form of JWT that `_sign` makes, and no other: nothing in a token chooses how it is verified.

        Not by the library, whose general reader takes 0.1 ms: this one runs at every connect and every request.
        """
        head, _, signature = token.rpartition(".")
        header, _, body = head.partition(".")
        if len(token) > _MAX_TOKEN or not token.isascii() or header != _HEADER:
            raise AuthRequired
        expected = base64.urlsafe_b64encode(hmac.digest(self._access_secret, head.encode(), sha256)).rstrip(b"=")
        if not hmac.compare_digest(expected, signature.encode()):
            raise AuthRequired
        payload = orjson.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
        if payload["aud"] != audience or payload["iss"] != _ISSUER:
            raise AuthRequired
        return AccessClaims(
            session_id=payload["sid"],
            account_id=payload["sub"],
            role=Role(payload["role"]),
            hospital_id=payload["hid"],
            device_id=payload["did"],
            staff_roles=frozenset(map(StaffRole, payload["roles"])),
            expires_at_ms=round(payload["exp"] * 1000),
        )
