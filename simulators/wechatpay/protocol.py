"""The gateway's cryptography: verify what the merchant signed, sign what the platform says, encrypt what it tells.

Requests are signed over `METHOD\\npath?query\\ntimestamp\\nnonce\\nbody\\n`, answers and callbacks over
`timestamp\\nnonce\\nbody\\n`, both RSA PKCS#1 v1.5 with SHA-256; resources are AES-256-GCM under the APIv3 key.
"""

import base64
import re
import secrets
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from simulators.keys import WechatKeys
from simulators.wechatpay.domain import GatewayError

SCHEMA: Final = "WECHATPAY2-SHA256-RSA2048"
_FIELD: Final = re.compile(r'(\w+)="([^"]*)"')
_WINDOW_MS: Final = 5 * 60 * 1000


class Protocol:
    """The platform's half of the contract."""

    def __init__(self, keys: WechatKeys) -> None:
        self._keys = keys
        self._merchant = _public_key(keys.merchant_certificate_path.read_bytes())
        self._platform = _private_key(keys.platform_private_key_path.read_bytes())
        self._aead = AESGCM(keys.api_v3_key.encode())
        self.certificate = keys.platform_certificate_path.read_text()

    def verify(self, authorization: str, method: str, path: str, body: bytes, now_ms: int) -> None:
        """Raises GatewayError 401 SIGN_ERROR unless this merchant signed exactly this request within five minutes."""
        schema, _, rest = authorization.partition(" ")
        fields = dict(_FIELD.findall(rest))
        timestamp, nonce = fields.get("timestamp", ""), fields.get("nonce_str", "")
        if schema != SCHEMA or not timestamp.isascii() or not timestamp.isdigit() or not nonce:
            raise _sign_error("Authorization 不合法")
        if fields.get("mchid") != self._keys.mchid or fields.get("serial_no", "").upper() != self._keys.merchant_serial:
            raise _sign_error("商户号或证书序列号不正确")
        if abs(int(timestamp) * 1000 - now_ms) > _WINDOW_MS:
            raise _sign_error("时间戳已过期")
        message = f"{method}\n{path}\n{timestamp}\n{nonce}\n".encode() + body + b"\n"
        try:
            signature = base64.b64decode(fields.get("signature", ""), validate=True)
            self._merchant.verify(signature, message, PKCS1v15(), SHA256())
        except (ValueError, InvalidSignature):
            raise _sign_error("签名错误，请检查后再试") from None

    def sign(self, body: bytes, now_ms: int) -> dict[str, str]:
        """The headers that prove that the platform said this, now."""
        return signed_headers(self._platform, self._keys.platform_serial, body, now_ms)

    def encrypt(self, plaintext: bytes, associated_data: str) -> dict[str, str]:
        """An `AEAD_AES_256_GCM` resource."""
        nonce = secrets.token_hex(6)
        sealed = self._aead.encrypt(nonce.encode(), plaintext, associated_data.encode())
        return {
            "algorithm": "AEAD_AES_256_GCM",
            "nonce": nonce,
            "associated_data": associated_data,
            "ciphertext": base64.b64encode(sealed).decode(),
        }


def signed_headers(key: rsa.RSAPrivateKey, serial: str, body: bytes, now_ms: int) -> dict[str, str]:
    timestamp, nonce = str(now_ms // 1000), secrets.token_hex(16)
    signature = key.sign(f"{timestamp}\n{nonce}\n".encode() + body + b"\n", PKCS1v15(), SHA256())
    return {
        "Wechatpay-Timestamp": timestamp,
        "Wechatpay-Nonce": nonce,
        "Wechatpay-Signature": base64.b64encode(signature).decode(),
        "Wechatpay-Signature-Type": SCHEMA,
        "Wechatpay-Serial": serial,
    }


def _sign_error(message: str) -> GatewayError:
    return GatewayError(401, "SIGN_ERROR", message)


def _public_key(certificate: bytes) -> rsa.RSAPublicKey:
    key = x509.load_pem_x509_certificate(certificate).public_key()
    if not isinstance(key, rsa.RSAPublicKey):
        raise TypeError("the merchant's certificate is not RSA")
    return key


def _private_key(pem: bytes) -> rsa.RSAPrivateKey:
    key = load_pem_private_key(pem, None)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise TypeError("the platform's key is not RSA")
    return key
