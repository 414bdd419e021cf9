"""A browser that takes pushes and keeps its private key to itself: it opens them as RFC 8291 says, by that text alone."""

import base64
import os
from dataclasses import dataclass, field
from typing import Any, Final

import orjson
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

_POINT: Final = 65
_LAST_RECORD: Final = b"\x02"


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


@dataclass(frozen=True)
class PushBrowser:
    """`keys` is what its page hands to the server."""

    private: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    auth: bytes = field(default_factory=lambda: os.urandom(16))

    @property
    def public(self) -> bytes:
        return self.private.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)

    @property
    def keys(self) -> dict[str, str]:
        return {"p256dh": encoded(self.public), "auth": encoded(self.auth)}

    def open(self, body: bytes) -> bytes:
        """What was sealed for this browser; raises InvalidTag for whatever was not. One record, as a push is."""
        salt, size, sender = body[:16], int.from_bytes(body[16:20], "big"), body[21 : 21 + _POINT]
        sealed = body[21 + _POINT :]
        assert (body[20], len(sealed) <= size) == (_POINT, True)
        shared = self.private.exchange(ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), sender))
        material = _derived(shared, self.auth, b"WebPush: info\x00" + self.public + sender, 32)
        key = _derived(material, salt, b"Content-Encoding: aes128gcm\x00", 16)
        nonce = _derived(material, salt, b"Content-Encoding: nonce\x00", 12)
        padded = AESGCM(key).decrypt(nonce, sealed, None)
        content, mark, _ = padded.rstrip(b"\x00").rpartition(_LAST_RECORD)
        assert mark == _LAST_RECORD
        return content

    def read(self, body: str) -> Any:
        """The content of a push as it waits at the push service."""
        return orjson.loads(self.open(decoded(body)))


def _derived(secret: bytes, salt: bytes, info: bytes, length: int) -> bytes:
    return HKDF(hashes.SHA256(), length, salt, info).derive(secret)
