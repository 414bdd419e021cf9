"""Links: a token that says which account may fetch which rendition of which medium until when, and that we said so.

`expires_ms (8 bytes) | HMAC-SHA-256 (32 bytes)` in URL-safe base64. It is no key of its own: who fetches must be signed in as
that account, and is asked about anew.
"""

import base64
import binascii
import hmac
from datetime import datetime
from hashlib import sha256
from typing import Final

from media.domain import LINK_TTL
from server.kernel.clock import to_ms
from server.kernel.streams import canonical

_EXPIRY_BYTES: Final = 8


class LinkSigner:
    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def sign(self, account_id: str, media_id: str, rendition: str, now: datetime) -> str:
        """A token good for `LINK_TTL` from now."""
        expires_ms = to_ms(now + LINK_TTL)
        head = expires_ms.to_bytes(_EXPIRY_BYTES, "big")
        return _encode(head + self._mac(account_id, media_id, rendition, expires_ms))

    def holds(self, token: str, account_id: str, media_id: str, rendition: str, now: datetime) -> bool:
        """Whether the token was made for exactly this and is not over; at its last instant it is."""
        try:
            raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            return False
        expires_ms = int.from_bytes(raw[:_EXPIRY_BYTES], "big")
        expected = self._mac(account_id, media_id, rendition, expires_ms)
        return hmac.compare_digest(raw[_EXPIRY_BYTES:], expected) and to_ms(now) < expires_ms

    def _mac(self, account_id: str, media_id: str, rendition: str, expires_ms: int) -> bytes:
        return hmac.digest(self._secret, canonical((account_id, media_id, rendition, expires_ms)), sha256)


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
